// One smoke test for each published kernel of another language. They are large, so only scripts/test --full
// installs them and names their environment in EXECD_KERNELS_VENV; without it there is nothing to
// instantiate.
#include "harness.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

struct Example {
    char const* kernel;
    char const* print;    // writes "hi" and a line end
    char const* set;      // x = 20
    char const* value;    // x + 1
    char const* result;   // its text/plain
    char const* forever;  // until it is interrupted
    bool survives;        // an interrupt keeps the variables
};

constexpr Example kExamples[] = {
    {"xpython", "print('hi')", "x = 20", "x + 1", "21", "import time; time.sleep(60)", false},
    {"deno", "console.log('hi')", "var x = 20", "x + 1", "21", "while (true) {}", true},
    {"java", "System.out.println(\"hi\")", "int x = 20;", "x + 1", "21", "Thread.sleep(60000);", true},
    {"ir", "cat('hi\\n')", "x <- 20", "x + 1", "[1] 21", "Sys.sleep(60)", true},
};

std::string kernels_venv() {
    char const* const text = std::getenv("EXECD_KERNELS_VENV");
    return text == nullptr ? "" : text;
}

std::vector<Example> installed() {
    if (kernels_venv().empty()) return {};
    return {std::begin(kExamples), std::end(kExamples)};
}

Contexts::Options with_venv() {
    Contexts::Options out{.env = test_env(), .home = "/nonexistent"};
    out.env["JUPYTER_PATH"] = kernels_venv() + "/share/jupyter";
    return out;
}

class RealKernel : public KernelTest, public ::testing::WithParamInterface<Example> {
  protected:
    RealKernel() : KernelTest(with_venv()) {}
    // R displays what others answer with; Deno colours it.
    static std::string value(RunPtr const& run_) {
        auto const shown = all<DisplayData>(run_);
        return shown.empty() ? result(run_) : text_of(shown.back().data, "text/plain");
    }
};

TEST_P(RealKernel, PrintsAnswersAndIsInterrupted) {
    auto const& example = GetParam();
    auto const context = make({.language = example.kernel});
    EXPECT_EQ(text(exec(context, example.print)), "hi\n");
    exec(context, example.set);
    EXPECT_NE(value(exec(context, example.value)).find(example.result), std::string::npos);
    EXPECT_EQ(exec(context, "this is no code in any language (")->outcome().kind, RunOutcome::Kind::error);
    auto const busy = submit(context, {.code = example.forever});
    ASSERT_TRUE(wait_output(busy, [](Output const& o) { return std::holds_alternative<StatusChange>(o); }));
    run(clock_.sleep_for(300ms));  // a kernel may not be in the code yet when it says that it is busy
    ASSERT_TRUE(context->cancel(busy->id()));
    ASSERT_TRUE(run(busy->wait(clock_, in(30))));
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled) << busy->outcome().why;
    auto const after = exec(context, example.value);
    EXPECT_EQ(value(after).find(example.result) != std::string::npos, example.survives);
    EXPECT_EQ(context->generation(), example.survives ? 1 : 2);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RealKernel);
INSTANTIATE_TEST_SUITE_P(Full, RealKernel, ::testing::ValuesIn(installed()),
                         [](auto const& each) { return std::string(each.param.kernel); });

}  // namespace
}  // namespace execd::kernels
