// What only kernels from the zygote and the pool have to prove.
#include <signal.h>

#include "harness.hpp"
#include "kernels/python_kernels.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

class Zygotes : public KernelTest {
  protected:
    Zygotes() : KernelTest({.env = test_env(), .home = "/nonexistent"}) {}

  public:
    using KernelTest::text;
    PythonKernels::Status status() const { return contexts_.python()->status().at(0); }
    void wait_pool(std::size_t count) {
        auto const deadline = in(30);
        while (status().ready < count && !deadline.passed(clock_)) run(clock_.sleep_for(10ms));
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
}

TEST_F(Zygotes, WhatTheForkCannotGiveIsStartedCold) {
    auto const path = make({.env = {{"PYTHONPATH", "/some/where"}}});
    EXPECT_EQ(path->kernel()->kind(), StartKind::cold);
    EXPECT_NE(text(exec(path, "import sys; print(sys.path)")).find("/some/where"), std::string::npos);
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
    exec(context, "import atexit; atexit.register(lambda: open('bye', 'w').write('x'))");
    ASSERT_TRUE(run(contexts_.remove(context->id(), 10s)));
    EXPECT_TRUE(std::filesystem::exists(folder.path() + "/bye"));
}

TEST_F(Zygotes, ManyAtOnce) {
    constexpr int kMany = 12;
    struct One {
        static Task<void> go(Zygotes* test, int* good, int* done) {
            ContextSpec wanted;
            auto made = co_await test->contexts_.create(std::move(wanted));
            if (made) {
                RunSpec spec;
                spec.code = "print('first')";
                auto run_ = (*made)->submit(std::move(spec));
                bool const ended = co_await (*run_)->wait(test->clock_, Deadline::in(test->clock_, 60s));
                if (ended && test->text(*run_) == "first\n") ++*good;
            } else {
                ADD_FAILURE() << made.error().message();
            }
            ++*done;
        }
    };
    int good = 0;
    int done = 0;
    for (int i = 0; i < kMany; ++i) scope_.spawn("one", One::go(this, &good, &done));
    while (done < kMany) run(clock_.sleep_for(5ms));
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
