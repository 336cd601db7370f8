// One smoke test for each published kernel of another language. They are large, so only scripts/test --full
// installs them and names their environment in EXECD_KERNELS_VENV; without it there is nothing to
// instantiate.
#include <set>

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
    {"xpython", "print('hi')", "x = 20", "x + 1", "21",
     "print('on', flush=True); import time; time.sleep(60)", false},
    {"deno", "console.log('hi')", "var x = 20", "x + 1", "21", "while (true) {}", true},
    {"java", "System.out.println(\"hi\")", "int x = 20;", "x + 1", "21",
     "System.out.println(\"on\"); Thread.sleep(60000);", true},
    {"ir", "cat('hi\\n')", "x <- 20", "x + 1", "[1] 21", "cat('on\\n'); flush.console(); Sys.sleep(60)",
     true},
};

std::string kernels_venv() {
    char const* const text = std::getenv("EXECD_KERNELS_VENV");
    return text == nullptr ? "" : text;
}

std::vector<Example> installed() {
    if (kernels_venv().empty()) return {};
    return {std::begin(kExamples), std::end(kExamples)};
}

std::vector<Example> installed_python() {
    if (kernels_venv().empty()) return {};
    return {{"python3", "", "", "", "", "", true}};
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
    // One that prints is in its code then; one that cannot may not be yet: like a person, press again.
    bool const prints = std::string_view(example.forever).find("on") != std::string_view::npos;
    ASSERT_TRUE(wait_output(busy, [prints](Output const& o) {
        return prints ? std::holds_alternative<StreamText>(o) : std::holds_alternative<StatusChange>(o);
    }));
    for (int presses = 0; presses < 10 && busy->state() != RunState::finished; ++presses)
        ASSERT_TRUE(run(context->interrupt(3s)));
    ASSERT_EQ(busy->state(), RunState::finished);
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::cancelled) << busy->outcome().why;
    auto const after = exec(context, example.value);
    EXPECT_EQ(value(after).find(example.result) != std::string::npos, example.survives);
    EXPECT_EQ(context->generation(), example.survives ? 1 : 2);
}

class RInC : public KernelTest, public ::testing::WithParamInterface<Example> {
  protected:
    RInC() : KernelTest(in_c(with_venv())) {}
    static Contexts::Options in_c(Contexts::Options out) {
        out.env["LC_ALL"] = "C";
        return out;
    }
};

TEST_P(RInC, ValuesOfARunArriveByteForByte) {
    TempFolder const folder;
    auto const cwd = folder.path() + "/\u00e9";
    std::filesystem::create_directory(cwd);
    auto const context = make({.language = GetParam().kernel});
    auto const placed = exec_spec(context, {.code = "cat(as.integer(charToRaw(Sys.getenv('A')))); "
                                                    "cat('', tail(as.integer(charToRaw(getwd())), 2))",
                                            .cwd = cwd,
                                            .env = {{"A", "'\"\\\t\x01\x04\u00e9\u2028\U0001f600"}}});
    EXPECT_EQ(placed->outcome().kind, RunOutcome::Kind::ok) << placed->outcome().why;
    EXPECT_EQ(text(placed), "39 34 92 9 1 4 195 169 226 128 168 240 159 152 128 195 169");
}

class Plotting : public KernelTest, public ::testing::WithParamInterface<Example> {
  protected:
    Plotting() : KernelTest(with_numpy()) {}
    static Contexts::Options with_numpy() {
        auto out = with_venv();
        out.preload = {"numpy"};
        return out;
    }
};

TEST_P(Plotting, MatplotlibIsInlineAndNumpyDiffersHoweverTheKernelCameUp) {
    ASSERT_TRUE(run(contexts_.prewarm()));
    auto const pooled = make({.language = GetParam().kernel});
    ASSERT_EQ(pooled->kernel()->kind(), StartKind::pooled);
    auto const forked = make({.language = GetParam().kernel});
    auto const cold = make({.language = GetParam().kernel, .env = {{"PYTHONHASHSEED", "1"}}});
    ASSERT_EQ(cold->kernel()->kind(), StartKind::cold);
    std::set<std::string> numbers;
    for (auto const& context : {pooled, forked, cold}) {
        numbers.insert(text(exec(context, "import numpy; print(numpy.random.random())")));
        auto const plot =
            exec(context, "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('done')");
        EXPECT_EQ(plot->outcome().kind, RunOutcome::Kind::ok);
        EXPECT_EQ(text(plot), "done\n");
        auto const shown = all<DisplayData>(plot);
        ASSERT_EQ(shown.size(), 1U) << to_string(context->kernel()->kind());
        EXPECT_TRUE(text_of(shown[0].data, "image/png").starts_with("iVBORw0KGgo"));
    }
    EXPECT_EQ(numbers.size(), 3U);
}

std::vector<Example> installed_r() {
    if (kernels_venv().empty()) return {};
    return {{"ir", "", "", "", "", "", true}};
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RInC);
INSTANTIATE_TEST_SUITE_P(Full, RInC, ::testing::ValuesIn(installed_r()),
                         [](auto const& each) { return std::string(each.param.kernel); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Plotting);
INSTANTIATE_TEST_SUITE_P(Full, Plotting, ::testing::ValuesIn(installed_python()),
                         [](auto const& each) { return std::string(each.param.kernel); });

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RealKernel);
INSTANTIATE_TEST_SUITE_P(Full, RealKernel, ::testing::ValuesIn(installed()),
                         [](auto const& each) { return std::string(each.param.kernel); });

}  // namespace
}  // namespace execd::kernels
