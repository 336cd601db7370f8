// The real bash_kernel: another language, another way to give a run its place.
#include "harness.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

class BashSpec {
  public:
    BashSpec() {
        Json const spec = {{"argv", {test_python(), "-m", "bash_kernel", "-f", "{connection_file}"}},
                           {"display_name", "Bash"},
                           {"language", "bash"},
                           {"env", {{"PS1", "$"}}}};
        folder_.write("kernels/bash/kernel.json", spec.dump());
    }
    [[nodiscard]] Contexts::Options options() const {
        Contexts::Options out{.env = test_env(), .home = "/nonexistent"};
        out.env["JUPYTER_PATH"] = folder_.path();
        return out;
    }

  private:
    TempFolder folder_;
};

class BashKernel : private BashSpec, public KernelTest {
  protected:
    BashKernel() : KernelTest(options()) {}
};

TEST_F(BashKernel, KeepsItsStateAndTakesARunsPlace) {
    TempFolder const folder;
    auto const context = make({.language = "sh"});
    EXPECT_EQ(context->kernel()->kind(), StartKind::cold);
    exec(context, "x=5");
    EXPECT_EQ(text(exec(context, "echo \"x is $x\"")), "x is 5\n");
    auto const before = text(exec(context, "pwd; echo \"[${A-unset}]\""));
    auto const placed = exec_spec(
        context,
        {.code = "pwd; echo \"$A\"", .cwd = folder.path(), .env = {{"A", "it's \"x\" $(id) `id` \\n"}}});
    EXPECT_EQ(text(placed), folder.path() + "\nit's \"x\" $(id) `id` \\n\n");
    EXPECT_EQ(text(exec(context, "pwd; echo \"[${A-unset}]\"")), before);
    auto const lost = exec_spec(context, {.code = "pwd", .cwd = "/no/such", .env = {{"A", "1"}}});
    EXPECT_EQ(lost->outcome().kind, RunOutcome::Kind::failed);
    EXPECT_EQ(lost->outcome().code, Code::not_found) << lost->outcome().why;
    // readonly fails half way: what was taken is given back.
    exec(context, "readonly B=1");
    auto const half =
        exec_spec(context, {.code = "pwd", .cwd = folder.path(), .env = {{"A", "1"}, {"B", "2"}}});
    EXPECT_EQ(half->outcome().kind, RunOutcome::Kind::failed);
    EXPECT_EQ(text(exec(context, "pwd; echo \"[${A-unset}]\"")), before);
}

class BashKernelInC : private BashSpec, public KernelTest {
  protected:
    BashKernelInC() : KernelTest(in_c(options())) {}
    static Contexts::Options in_c(Contexts::Options out) {
        out.env["LC_ALL"] = "C";
        return out;
    }
};

// bash_kernel types what it is given into a terminal.
TEST_F(BashKernelInC, ValuesArriveByteForByte) {
    std::string value;
    for (char c = 1; c < 0x7f; ++c) value += c;
    value += "\x7f 1\n\u00e9\u2028\U0001f600\0331";
    TempFolder const folder;
    auto const cwd = folder.path() + "/a\tb\x04\u00e9'\\";
    std::filesystem::create_directory(cwd);
    auto const context = make({.language = "bash"});
    auto const hex = [](std::string_view text) {
        std::string out;
        for (unsigned char const byte : text) {
            out += "0123456789abcdef"[byte >> 4];
            out += "0123456789abcdef"[byte & 15];
        }
        return out;
    };
    for (int round = 0; round < 2; ++round) {
        auto const placed =
            exec_spec(context, {.code = "printf %s \"$A\" | od -An -v -tx1 | tr -d ' \\n'; echo; "
                                        "printf %s \"$PWD\" | od -An -v -tx1 | tr -d ' \\n'",
                                .cwd = cwd,
                                .env = {{"A", value}}});
        EXPECT_EQ(placed->outcome().kind, RunOutcome::Kind::ok) << placed->outcome().why;
        EXPECT_EQ(text(placed), hex(value) + "\n" + hex(cwd) + "\n");
    }
    EXPECT_EQ(text(exec(context, "echo \"[${A-unset}]\"")), "[unset]\n");
}

TEST_F(BashKernel, IsInterrupted) {
    auto const context = make({.language = "bash"});
    auto const busy = submit(context, {.code = "sleep 60 & echo go; wait"});
    ASSERT_TRUE(wait_output(busy, [](Output const& o) { return std::holds_alternative<StreamText>(o); }));
    // `wait` and not a foreground sleep: bash (and bash_kernel with it) loses a SIGINT that comes while it
    // forks.
    bool ended = false;
    for (int presses = 0; presses < 6 && !ended; ++presses) {
        ASSERT_TRUE(run(context->interrupt()));
        ended = run(busy->wait(clock_, in(3)));
    }
    ASSERT_TRUE(ended);
    EXPECT_NE(busy->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_EQ(text(exec(context, "echo still here")), "still here\n");
}

}  // namespace
}  // namespace execd::kernels
