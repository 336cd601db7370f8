// What only kernels from the zygote and the pool have to prove.
#include <signal.h>

#include "harness.hpp"
#include "kernels/python_kernels.hpp"
#include "shell/cgroup.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

class Zygotes : public KernelTest {
  protected:
    explicit Zygotes(shell::Executions::Options executions = {})
        : KernelTest({.env = test_env(), .home = "/nonexistent"}, std::move(executions)) {}

  public:
    using KernelTest::text;
    PythonKernels::Status status() const { return contexts_.python()->status().at(0); }
    void wait_pool(std::size_t count) {
        // Comes back when nobody fills it any more.
        ASSERT_TRUE(run(contexts_.prewarm()));
        ASSERT_EQ(status().ready, count);
    }
};

TEST_F(Zygotes, KernelsComeFromTheZygoteThenFromThePool) {
    auto const first = make();
    EXPECT_EQ(first->kernel()->kind(), StartKind::zygote);
    wait_pool(1);
    TempFolder const folder;
    auto const second = make({.cwd = folder.path(), .env = {{"EXECD_T", "x y"}, {"TZ", "Asia/Tokyo"}}});
    EXPECT_EQ(second->kernel()->kind(), StartKind::pooled);
    auto const place =
        exec(second, "import os, time; print(os.getcwd(), os.environ['EXECD_T'], time.tzname[0])");
    EXPECT_EQ(text(place), folder.path() + " x y JST\n");
    // Its count begins at one: the silent cell that warmed it up left no trace.
    EXPECT_EQ(place->execution_count(), 1);
}

TEST_F(Zygotes, PrewarmFillsThePool) {
    auto const warmed = run(contexts_.prewarm());
    ASSERT_TRUE(warmed) << warmed.error().message();
    EXPECT_EQ(status().ready, 1U);
    EXPECT_EQ(make()->kernel()->kind(), StartKind::pooled);
}

TEST_F(Zygotes, SistersDiffer) {
    auto const one = make();
    auto const two = make();
    auto const* const code =
        "import random, uuid, tempfile, os; print(random.random(), uuid.uuid4(), os.urandom(4))";
    EXPECT_NE(text(exec(one, code)), text(exec(two, code)));
    EXPECT_EQ(text(exec(one, "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))")), "True\n");
    // No descriptor of the zygote, no open control socket.
    EXPECT_EQ(text(exec(one,
                        "import os, socket, stat\n"
                        "print([f for f in range(3, 200) if os.path.exists(f'/proc/self/fd/{f}') and "
                        "stat.S_ISSOCK(os.stat(f).st_mode) and "
                        "socket.socket(fileno=os.dup(f)).type == socket.SOCK_SEQPACKET])")),
              "[]\n");
}

TEST_F(Zygotes, TheFirstErrorImportsNothing) {
    auto const context = make();
    exec(context, "import sys; before = set(sys.modules)");
    EXPECT_EQ(exec(context, "1/0")->outcome().kind, RunOutcome::Kind::error);
    EXPECT_EQ(text(exec(context, "print(sorted(set(sys.modules) - before))")), "[]\n");
}

TEST_F(Zygotes, ADeadZygoteIsReplacedAndItsKernelsLive) {
    auto const one = make();
    exec(one, "x = 1");
    for (auto const& execution : executions_.list())
        if (execution->label() == "zygote") {
            (void)execution->signal(SIGKILL);
            ASSERT_TRUE(run(execution->ended(in(20))));
        }
    EXPECT_EQ(result(exec(one, "x")), "1");
    wait_pool(1);
    auto const two = make();
    EXPECT_NE(two->kernel()->kind(), StartKind::cold);
    // Whoever clears away what the dead one left must not take its kernels for that.
    EXPECT_EQ(result(exec(one, "x")), "1");
    EXPECT_EQ(one->generation(), 1);
}

TEST_F(Zygotes, EveryKernelCarriesItsOwnMark) {
    make();
    wait_pool(1);
    for (auto const& context : {make(), make()}) {
        auto const mark = text(exec(context,
                                    "import os\n"
                                    "seen = open('/proc/self/environ').read().split('\\0')\n"
                                    "print([e for e in seen if e.startswith('EXECD_EXECUTION=')] == "
                                    "['EXECD_EXECUTION=' + os.environ['EXECD_EXECUTION']])\n"
                                    "print(os.environ['EXECD_EXECUTION'])"));
        EXPECT_TRUE(mark.starts_with("True\n")) << mark;
        bool known = false;
        for (auto const& execution : executions_.list())
            known = known || (mark == "True\n" + execution->id() + "\n" &&
                              execution->pid() == context->kernel()->pid());
        EXPECT_TRUE(known) << mark;
    }
}

TEST_F(Zygotes, TheEnvironmentIsTheSameHoweverTheKernelCameUp) {
    make();
    wait_pool(1);
    auto const pooled = make();
    ASSERT_EQ(pooled->kernel()->kind(), StartKind::pooled);
    auto const cold = make({.env = {{"PYTHONHASHSEED", "1"}}});
    ASSERT_EQ(cold->kernel()->kind(), StartKind::cold);
    auto const* const code =
        "import os\n"
        "print(sorted(e for e in os.environ.items() if e[0] not in ('EXECD_EXECUTION', 'PYTHONHASHSEED')))";
    EXPECT_NE(text(exec(cold, code)).find("MPLBACKEND"), std::string::npos);
    EXPECT_EQ(text(exec(pooled, code)), text(exec(cold, code)));
    auto const mine = make({.env = {{"MPLBACKEND", "agg"}, {"EXECD_T", "1"}}});
    EXPECT_EQ(text(exec(mine, "import os; print(os.environ['MPLBACKEND'], os.environ['EXECD_T'])")),
              "agg 1\n");
}

TEST_F(Zygotes, AnInterruptThatStrikesInACallbackIsNotLost) {
    auto const context = make();
    // Python ignores what is raised in __del__.
    auto const busy = submit(context, {.code = "import time\n"
                                               "class Late:\n"
                                               "    def __del__(self):\n"
                                               "        print('on', flush=True)\n"
                                               "        while True: pass\n"
                                               "late = Late()\ndel late\ntime.sleep(600)"});
    ASSERT_TRUE(wait_output(busy, [](Output const& o) { return std::holds_alternative<StreamText>(o); }));
    auto const ended = run(context->interrupt(60s));
    ASSERT_TRUE(ended);
    EXPECT_TRUE(*ended);
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled);
    ASSERT_TRUE(busy->outcome().error);
    EXPECT_EQ(busy->outcome().error->name, "KeyboardInterrupt");
    EXPECT_EQ(text(exec(context, "print('alive')")), "alive\n");
}

shell::Executions::Options with_cgroups() {
    shell::Executions::Options out;
    out.cgroups = shell::Cgroups::detect();
    return out;
}

class Contained : public Zygotes {
  protected:
    Contained() : Zygotes(with_cgroups()), cgroups_(shell::Cgroups::detect()) {}
    [[nodiscard]] bool can(std::string const& controller) const {
        auto const& known = cgroups_->controllers();
        return std::find(known.begin(), known.end(), controller) != known.end();
    }
    std::shared_ptr<shell::Cgroups> cgroups_;
};

TEST_F(Contained, OutOfMemoryIsToldWhateverTheStart) {
    if (!can("memory")) GTEST_SKIP() << "no memory cgroup may be made here";
    make();
    wait_pool(1);
    ContextSpec forked;
    forked.resources.memory = 160U << 20;
    ContextSpec cold = forked;
    cold.env["PYTHONHASHSEED"] = "1";
    for (auto const& spec : {forked, cold}) {
        auto const context = make(spec);
        EXPECT_EQ(context->kernel()->kind(), spec.env.empty() ? StartKind::zygote : StartKind::cold);
        EXPECT_TRUE(context->kernel()->not_enforced().empty());
        auto const full = exec(context, "x = b'x' * (400 << 20)");
        EXPECT_EQ(full->outcome().kind, RunOutcome::Kind::kernel_died);
        EXPECT_EQ(full->outcome().cause, "oom_killed") << full->outcome().why;
        EXPECT_NE(full->outcome().why.find("memory"), std::string::npos) << full->outcome().why;
        EXPECT_EQ(text(exec(context, "print('anew')")), "anew\n");
    }
}

TEST_F(Contained, NothingOfAKernelSurvivesItsContext) {
    if (!cgroups_->can_kill()) GTEST_SKIP() << "no cgroup.kill here";
    auto const first = make();
    wait_pool(1);
    for (auto const& context : {first, make()}) {
        // Out of the process group and the session, without a trace in the environment or of its parents.
        auto const pid = std::stoi(text(exec(context,
                                             "import os, subprocess\n"
                                             "p = subprocess.run(['setsid', '-f', 'env', '-i', 'sh', '-c', "
                                             "'echo $$; exec 1>&- 2>&-; exec sleep 600'], "
                                             "capture_output=True)\nprint(p.stdout.decode())")));
        ASSERT_EQ(::kill(pid, 0), 0);
        ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
        EXPECT_EQ(::kill(pid, 0), -1);
    }
}

TEST_F(Zygotes, WhatTheForkCannotGiveIsStartedCold) {
    auto const path = make({.env = {{"PYTHONPATH", "/some/where"}}});
    EXPECT_EQ(path->kernel()->kind(), StartKind::cold);
    EXPECT_NE(text(exec(path, "import sys; print(sys.path)")).find("/some/where"), std::string::npos);
}

class FastAnswer : public KernelTest {
  protected:
    FastAnswer() : KernelTest({.env = test_env(), .home = "/nonexistent", .zygote_answer = 500ms}) {}
};

TEST_F(FastAnswer, AStuckZygoteIsReplacedAndTheColdStartSaysSo) {
    ASSERT_TRUE(run(contexts_.prewarm()));
    make();  // the one from the pool
    for (auto const& execution : executions_.list())
        if (execution->label() == "zygote") ::kill(execution->pid(), SIGSTOP);
    auto const cold = make();
    EXPECT_EQ(cold->kernel()->kind(), StartKind::cold);
    EXPECT_NE(cold->kernel()->why_cold().find("no answer"), std::string::npos) << cold->kernel()->why_cold();
    EXPECT_NE(make()->kernel()->kind(), StartKind::cold);
}

// A Python that cannot be a zygote (it refuses -c), and is a good kernel otherwise.
TEST_F(Zygotes, AFailingZygoteIsToldByTheColdStart) {
    TempFolder const folder;
    folder.write("python",
                 "#!/bin/sh\ncase \" $* \" in *\" -c \"*) echo no zygotes here >&2; exit 7;; esac\nexec " +
                     test_python() + " \"$@\"\n");
    std::filesystem::permissions(folder.path() + "/python", std::filesystem::perms::owner_all);
    Json const spec = {
        {"argv", {folder.path() + "/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"}},
        {"language", "python"}};
    folder.write("kernels/python3/kernel.json", spec.dump());
    Contexts::Options options{.env = test_env(), .home = "/nonexistent"};
    options.env["JUPYTER_PATH"] = folder.path();
    Contexts contexts(loop_, executions_, reaper_, options);
    auto const made = run(contexts.create({}));
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_EQ((*made)->kernel()->kind(), StartKind::cold);
    EXPECT_NE((*made)->kernel()->why_cold().find("no zygotes here"), std::string::npos)
        << (*made)->kernel()->why_cold();
    EXPECT_EQ(result(exec(*made, "6*7")), "42");
    run(contexts.close(in(20)));
}

TEST_F(Zygotes, WhatSubprocessesWroteBelongsToTheirCell) {
    auto const context = make();
    // Who reads the pipe is slow.
    auto const slow = exec(context,
                           "import subprocess, sys, time\nwrite = sys.stdout.write\n"
                           "sys.stdout.write = lambda text: (time.sleep(0.02), write(text))\n"
                           "_ = subprocess.run(['seq', '1', '10000'])");
    EXPECT_EQ(text(slow).size(), 48'894U);
}

TEST_F(Zygotes, SubprocessesThreadsAndExitHandlersWork) {
    TempFolder const folder;
    auto const context = make({.cwd = folder.path()});
    EXPECT_EQ(
        text(exec(context,
                  "import subprocess; print(subprocess.run(['echo', 'a'], capture_output=True).stdout)")),
        "b'a\\n'\n");
    EXPECT_NE(text(exec(context, "!echo from shell")).find("from shell"), std::string::npos);
    EXPECT_NE(text(exec(context, "import os; os.system('echo to fd 1')")).find("to fd 1"), std::string::npos);
    EXPECT_EQ(text(exec(context,
                        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: "
                        "print(p.map(abs, [-1, -2]))")),
              "[1, 2]\n");
    // What the zygote does with signals and threads does not reach its kernels.
    EXPECT_EQ(text(exec(context,
                        "import threading, signal, os\n"
                        "t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()\n"
                        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []), "
                        "signal.getsignal(signal.SIGINT) is signal.default_int_handler, "
                        "signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGCHLD))\n"
                        "old = os.umask(0o22); os.umask(old); print(oct(old))")),
              "thread\nset() True 0 0\n0o22\n");
    exec(context, "import atexit; atexit.register(lambda: open('bye', 'w').write('x'))");
    ASSERT_TRUE(run(contexts_.remove(context->id(), 10s)));
    EXPECT_TRUE(std::filesystem::exists(folder.path() + "/bye"));
}

TEST_F(Zygotes, ManyAtOnce) {
    constexpr int kMany = 6;
    struct One {
        static Task<void> go(Zygotes* test, int* good, int* done, Event* ended) {
            ContextSpec wanted;
            auto made = co_await test->contexts_.create(std::move(wanted));
            if (made) {
                RunSpec spec;
                spec.code = "print('first')";
                auto run_ = (*made)->submit(std::move(spec));
                bool const in_time = co_await (*run_)->wait(test->clock_, Deadline::in(test->clock_, 60s));
                if (in_time && test->text(*run_) == "first\n") ++*good;
            } else {
                ADD_FAILURE() << made.error().message();
            }
            ++*done;
            ended->notify_all();
        }
    };
    Event ended;
    int good = 0;
    int done = 0;
    for (int i = 0; i < kMany; ++i) scope_.spawn("one", One::go(this, &good, &done, &ended));
    ASSERT_TRUE(until(ended, [&] { return done >= kMany; }));
    EXPECT_EQ(good, kMany);
}

TEST_F(Zygotes, WithoutIpykernelTheColdStartSaysSo) {
    TempFolder const folder;
    folder.write(
        "kernels/python3/kernel.json",
        R"({"argv":["/no/such/python","-m","ipykernel_launcher","-f","{connection_file}"],"language":"python"})");
    Contexts::Options options{.env = test_env(), .home = "/nonexistent"};
    options.env["JUPYTER_PATH"] = folder.path();
    Contexts contexts(loop_, executions_, reaper_, options);
    auto const made = run(contexts.create({}));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::unavailable);
    EXPECT_NE(made.error().message().find("/no/such/python"), std::string::npos) << made.error().message();
    run(contexts.close(in(20)));
}

}  // namespace
}  // namespace execd::kernels
