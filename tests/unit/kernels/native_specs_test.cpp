// Which native kernels are offered (kernels/native/specs.cpp) and which of those are listed.
#include <sys/stat.h>

#include "harness.hpp"
#include "kernels/native/native.hpp"

namespace execd::kernels {
namespace {

using namespace std::string_literals;

Env programs(TempFolder const& folder, std::vector<std::pair<std::string, std::string>> const& scripts) {
    for (auto const& [name, text] : scripts) {
        folder.write(name, "#!/bin/sh\n" + text + "\n");
        ::chmod((folder.path() + "/" + name).c_str(), 0755);
    }
    return {{"PATH", folder.path()}};
}

TEST(NativeSpecs, AreOfTheInterpretersThatAreThere) {
    TempFolder const folder;
    auto const specs = native::kernelspecs(programs(folder, {{"python", ":"}, {"nodejs", ":"}}));
    ASSERT_EQ(specs.size(), 3U);
    EXPECT_EQ(specs[0].name, "execd-python3");
    EXPECT_EQ(specs[1].name, "execd-node");
    EXPECT_EQ(specs[2].name, "execd-typescript");
    for (auto const& each : specs) {
        EXPECT_EQ(each.program, "/proc/self/exe");
        EXPECT_EQ(each.transport, Transport::ipc);
        EXPECT_EQ(each.check[2], "check");
    }
    EXPECT_TRUE(native::kernelspecs(programs(TempFolder(), {})).empty());
}

TEST(NativeSpecs, AnInstalledKernelOfTheLanguageWins) {
    TempFolder const folder;
    folder.write("kernels/mine/kernel.json", R"({"argv":["x"],"language":"Python"})");
    auto const env = programs(folder, {{"python3", ":"}, {"bash", ":"}});
    auto const specs = KernelSpecs::scan({folder.path() + "/kernels"}, native::kernelspecs(env));
    ASSERT_EQ(specs.all().size(), 2U);
    EXPECT_EQ(specs.find("python")->name, "mine");
    EXPECT_EQ(specs.find("bash")->name, "execd-bash");
    EXPECT_TRUE(specs.without({"mine", "execd-bash"}).all().empty());
}

TEST(NativeSpecs, WhyOneDoesNotWork) {
    auto const why = [](std::vector<std::pair<std::string, std::string>> const& scripts,
                        std::string_view name) {
        TempFolder const folder;
        return native::why_not(*native::language_by_name(name), programs(folder, scripts));
    };
    EXPECT_EQ(why({}, "python3"), "there is no python3 or python on PATH");
    EXPECT_NE(why({{"python3", "exit 3"}}, "python3").find("does not start"), std::string::npos);
    auto const hello = R"({"t":"hello","version":"3.6.1","refusal":"too old"})"s;
    EXPECT_EQ(
        why({{"python3", "printf 'j\\063\\000\\000\\000%s' '" + hello + "' >&4; exec sleep 60"}}, "python3"),
        "too old");
    EXPECT_EQ(native::why_not(*native::language_by_name("bash"), native::process_env()), "");
}

std::vector<KernelSpec> three(Env const&) {
    std::vector<KernelSpec> out;
    for (auto const& [name, command] :
         {std::pair<std::string, std::string>{"sure", ""}, {"good", "true"}, {"bad", "false"}}) {
        KernelSpec spec;
        spec.name = spec.language = name;
        spec.argv = {"sh", "-c", "echo it cannot; exit 1"};
        if (!command.empty()) spec.check = {"sh", "-c", command};
        out.push_back(std::move(spec));
    }
    return out;
}

class BuiltIn : public KernelTest {
  protected:
    BuiltIn() : KernelTest({.env = test_env(), .home = "/nonexistent", .built_in = three}) {}
};

TEST_F(BuiltIn, OnlyThoseThatWorkAreListed) {
    auto const specs = run(contexts_.kernelspecs());
    ASSERT_TRUE(specs);
    EXPECT_NE((*specs)->by_name("sure"), nullptr);
    EXPECT_NE((*specs)->by_name("good"), nullptr);
    EXPECT_EQ((*specs)->by_name("bad"), nullptr);
    EXPECT_EQ(executions_.size(), 0U);  // the checks are nobody's executions
    auto const refused = run(contexts_.create({.language = "bad"}));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("it cannot"), std::string::npos);
}

}  // namespace
}  // namespace execd::kernels
