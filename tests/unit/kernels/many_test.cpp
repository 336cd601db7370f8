// Many kernels. The short form runs always; scripts/test --full sets EXECD_SLOW_TESTS and asks for 50 at once
// and 1,000 in a row (PEERS.md asks for 10,000: at some 50 ms each that is a quarter of an hour), 20 of them
// cold.
#include "harness.hpp"
#include "kernels/python_kernels.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kPlain = false;
#else
constexpr bool kPlain = true;
#endif

/// The full number once, on the build that is shipped.
int count(int quick, int slow) {
    return std::getenv("EXECD_SLOW_TESTS") == nullptr || !kPlain ? quick : slow;
}

class Many : public KernelTest {
  protected:
    Many() : KernelTest({.env = test_env(), .home = "/nonexistent"}) {}

  public:
    struct One {
        std::shared_ptr<Context> context;
        RunPtr run;
        std::string error;
        bool done = false;
    };
    Task<void> make_and_print(One& one, int number) {
        ContextSpec wanted;
        auto made = co_await contexts_.create(std::move(wanted));
        if (made) {
            one.context = *made;
            RunSpec print{.code = "print(" + std::to_string(number) + ")"};
            auto submitted = one.context->submit(std::move(print));
            if (submitted) {
                one.run = *submitted;
                co_await one.run->wait(clock_, in(120));
            }
        } else {
            one.error = made.error().message();
        }
        one.done = true;
        ended_.notify_all();
    }
    Event ended_;
};

// PEERS.md 6.1, JUP nudge: the first output of a fresh kernel is never lost.
TEST_F(Many, StartsInARowLoseNoFirstOutput) {
    for (int i = 0; i < count(8, 1000); ++i) {
        auto const context = make();
        ASSERT_EQ(text(exec(context, "print(" + std::to_string(i) + ")")), std::to_string(i) + "\n") << i;
        ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    }
    for (int i = 0; i < count(1, 20); ++i) {
        auto const context = make({.env = {{"PYTHONHASHSEED", "1"}}});
        EXPECT_EQ(context->kernel()->kind(), StartKind::cold);
        ASSERT_EQ(text(exec(context, "print(" + std::to_string(i) + ")")), std::to_string(i) + "\n") << i;
        ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    }
    EXPECT_EQ(contexts_.size(), 0U);
}

TEST_F(Many, AtOnceLoseNoFirstOutput) {
    std::vector<One> all(static_cast<std::size_t>(count(6, 50)));
    for (std::size_t i = 0; i < all.size(); ++i)
        scope_.spawn("one", make_and_print(all[i], static_cast<int>(i)));
    for (std::size_t i = 0; i < all.size(); ++i) {
        ASSERT_TRUE(until(ended_, [&] { return all[i].done; }));
        ASSERT_TRUE(all[i].run) << all[i].error;
        EXPECT_EQ(text(all[i].run), std::to_string(i) + "\n");
    }
}

// The price of one more Python context: its private pages.
TEST_F(Many, AZygoteContextHasAtMost20MegabytesOfItsOwn) {
    make();
    auto const context = make();
    ASSERT_NE(context->kernel()->kind(), StartKind::cold);
    EXPECT_EQ(result(exec(context, "1+1")), "2");
    std::ifstream rollup("/proc/" + std::to_string(context->kernel()->pid()) + "/smaps_rollup");
    std::size_t kib = 0;
    for (std::string line; std::getline(rollup, line);)
        if (line.starts_with("Private_")) kib += std::stoul(line.substr(line.find(':') + 1));
    RecordProperty("private_kib", static_cast<int>(kib));
    EXPECT_GT(kib, 0U);
    EXPECT_LE(kib, 20U * 1024) << kib << " KiB";
}

}  // namespace
}  // namespace execd::kernels
