// What happens when system calls fail, viewers come and go, and many things run: nothing leaks, nothing is
// invented.
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>

#include "base/fault.hpp"
#include "harness.hpp"
#include "shell/login_environment.hpp"
#include "shell/terminal.hpp"

namespace execd::shell {
namespace {

std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* listing = ::opendir("/proc/self/fd");
    while (::readdir(listing) != nullptr) ++count;
    ::closedir(listing);
    return count;
}

TEST(Faults, EachFailingOperationOfAStartIsReportedAndLeaksNothing) {
    Harness h;
    h.verdict(h.start("echo warm"));
    for (bool const terminal : {false, true}) {
        std::size_t const before = open_descriptors();
        int reported = 0;
        for (std::uint64_t n = 1; n < 50; ++n) {
            auto spec = h.shell("echo hi");
            spec.input = Input::bytes;
            spec.input_bytes = "x";
            if (terminal) spec.terminal = WindowSize{};
            fault::arm("*", n, EMFILE);
            auto started = h.run(h.executions.start(std::move(spec)));
            bool good = started.has_value();
            if (good) {
                auto const verdict = h.verdict(*started);
                // A pipe that cannot be read is closed, and its writer told so.
                good =
                    verdict.success() || verdict.kind() == "failed_to_start" || verdict.kind() == "signaled";
                EXPECT_TRUE(good) << verdict.text();
                good = verdict.success() && h.read(**started).find("hi") != std::string::npos;
            }
            bool const struck = fault::struck();
            fault::disarm();
            if (!good) ++reported;
            EXPECT_EQ(h.executions.running(), 0U);
            h.verdict(h.start("true"));  // the next one is not harmed
            EXPECT_EQ(open_descriptors(), before) << n;
            if (!struck) break;
        }
        EXPECT_GE(reported, 2);
    }
    EXPECT_EQ(h.reaper.registered(), 0U);
}

TEST(Faults, ManyCommandsLeaveNothingBehind) {
    Executions::Options options;
    options.finished = 10;
    Harness h(nullptr, options);
    h.verdict(h.start("true"));
    std::size_t const before = open_descriptors();
    for (int i = 0; i < 100; ++i) {
        ExecutionSpec spec;
        spec.argv = {"/bin/true"};
        h.verdict(h.start(std::move(spec)));
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(h.executions.size(), 10U);
    EXPECT_EQ(h.reaper.registered(), 0U);
}

TEST(Faults, ManyAtOnce) {
    Harness h;
    std::vector<std::shared_ptr<Execution>> all;
    for (int i = 0; i < 100; ++i)
        all.push_back(h.start("echo " + std::to_string(i) + "; exit " + std::to_string(i)));
    for (int i = 0; i < 100; ++i) {
        auto const& run = all[static_cast<std::size_t>(i)];
        EXPECT_EQ(h.verdict(run).exit_code(), i);
        EXPECT_EQ(h.read(*run), std::to_string(i) + "\n");
    }
}

/// Reads from where the last one stopped, a random amount, then goes away.
Task<void> restless_viewer(std::shared_ptr<Execution> run, Deadline deadline, unsigned seed,
                           std::string* text) {
    std::mt19937 random(seed);
    ReadFrom from;
    from.streams = mask_of(Stream::out);
    Batch batch;
    while (true) {
        Cursor cursor = run->journal().reader(from);
        for (unsigned reads = 1 + random() % 3; reads > 0; --reads) {
            auto const next = co_await cursor.next(batch, deadline, 1 + random() % 100'000);
            if (next != Next::data) co_return;
            for (auto const& slice : batch.slices) {
                if (slice.lost > 0) *text += std::string(slice.lost, '?');  // a declared gap
                *text += slice.bytes;
            }
        }
        from.position = cursor.position();
    }
}

TEST(Viewers, WhatAllSawIsWhatWasWrittenOrADeclaredGap) {
    for (Keep const keep : {Keep::all, Keep::window}) {
        Harness h;
        auto spec = h.shell(
            "for i in $(seq 1 60); do head -c 50000 /dev/zero | tr '\\0' \"\\\\$((i % 8 + 60))\"; done");
        spec.journal = {.keep = keep, .ring = 200'000, .spill = 0};
        auto run = h.start(std::move(spec));
        Scope scope(h.loop, "viewers");
        std::string seen[3];
        for (unsigned i = 0; i < 3; ++i) scope.spawn("viewer", restless_viewer(run, h.soon(), i, &seen[i]));
        h.run(scope.drain(h.soon()));
        for (auto const& text : seen) {
            ASSERT_EQ(text.size(), 3'000'000U);
            bool good = true;
            for (std::size_t i = 0; i < text.size(); ++i) {
                char const expected = static_cast<char>('0' + (i / 50'000 + 1) % 8);
                good = good && (text[i] == expected || text[i] == '?');
            }
            EXPECT_TRUE(good);
        }
    }
}

TEST(Viewers, ACancelledReaderHarmsNobody) {
    Harness h;
    auto run = h.start("read -t 0.1 x < <(sleep 1); echo end");
    Scope scope(h.loop, "viewers");
    std::string text;
    Scope::Handle handle;
    scope.spawn("viewer", restless_viewer(run, h.soon(), 1, &text), handle);
    h.io.poll();
    handle.cancel();
    h.run(scope.drain(h.soon()));
    EXPECT_EQ(text, "");
    EXPECT_EQ(h.read(*run), "end\n");
}

TEST(PidReuse, AnOldRecordNeverSeesTheNewProcess) {  // PEERS 6.1, E2B pid_reuse_test
    Harness h;
    auto first = h.start("exit 3");
    h.verdict(first);
    pid_t const pid = first->pid();
    std::shared_ptr<Execution> same;
    for (int i = 0; i < 20 && !same; ++i) {
        std::ofstream("/proc/sys/kernel/ns_last_pid")
            << pid - 1;  // only root may; otherwise the rest holds trivially
        auto next = h.start("exec sleep 1000");
        if (next->pid() == pid)
            same = next;
        else
            h.run(next->stop(0s));
    }
    EXPECT_EQ(first->signal(SIGKILL).error().code, Code::gone);
    EXPECT_EQ(first->verdict()->exit_code(), 3);
    if (same) {
        EXPECT_TRUE(same->running());
        h.run(same->stop(0s));
        EXPECT_EQ(first->verdict()->exit_code(), 3);
    }
}

TEST(Executions, RetentionByCountAgeAndMemory) {
    Executions::Options options;
    options.finished = 3;
    options.finished_age = 50ms;
    Harness h(nullptr, options);
    std::set<std::string> ids;
    for (int i = 0; i < 5; ++i) {
        auto run = h.start("true");
        h.verdict(run);
        ids.insert(run->id());
    }
    EXPECT_LE(h.executions.size(), 3U);
    h.run(h.start("sleep 0.2")->ended(h.soon()));
    EXPECT_LE(h.executions.size(), 1U);
    EXPECT_EQ(h.executions.find("unknown"), nullptr);
    EXPECT_FALSE(h.executions.remove("unknown"));
}

TEST(Executions, OwnersAreEndedTogether) {
    Harness h;
    auto mine = h.shell("sleep 1000");
    mine.owner = "claim-1";
    auto run = h.start(std::move(mine));
    auto other = h.start("sleep 1000");
    EXPECT_EQ(h.executions.list("claim-1").size(), 1U);
    h.run(h.executions.stop_owner("claim-1", 0s));
    EXPECT_FALSE(run->running());
    EXPECT_TRUE(other->running());
}

TEST(Executions, LimitsOnHowManyAreTold) {
    Executions::Options options;
    options.running = 1;
    Harness h(nullptr, options);
    auto run = h.start("sleep 1000");
    EXPECT_EQ(h.run(h.executions.start(h.shell("true"))).error().code, Code::exhausted);
    h.run(run->stop(0s));
    h.verdict(h.start("true"));
}

TEST(Executions, AStoppedProcessStillStopsPolitely) {
    Harness h;
    auto run = h.start("trap 'exit 0' TERM; kill -STOP $$; sleep 1000");
    auto watcher = h.start("until grep -q '^State:.T' /proc/" + std::to_string(run->pid()) +
                           "/status; do sleep 0.01; done");
    h.verdict(watcher);
    h.run(run->stop(10s));
    EXPECT_EQ(std::get<Exited>(run->verdict()->status).code, 0);
}

TEST(Login, TheProfileIsRead) {
    Harness h;
    std::string pattern = ::testing::TempDir() + "homeXXXXXX";
    std::string const home = ::mkdtemp(pattern.data());
    std::ofstream(home + "/.profile") << "echo noise; export FROM_PROFILE='a\nb'\n";
    auto const environment = h.run(login_environment(
        h.executions, Environment({"PATH=/usr/bin:/bin", "HOME=" + home}), std::nullopt, h.soon()));
    ASSERT_TRUE(environment.has_value()) << environment.error().message();
    EXPECT_EQ(environment->get("FROM_PROFILE"), "a\nb");
    EXPECT_FALSE(environment->get("EXECD_EXECUTION").has_value());
}

}  // namespace
}  // namespace execd::shell
