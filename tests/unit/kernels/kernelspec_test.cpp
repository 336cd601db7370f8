#include "kernels/kernelspec.hpp"

#include "harness.hpp"

namespace execd::kernels {
namespace {

KernelSpec spec(std::string name, std::string language, std::vector<std::string> argv = {"x"}) {
    KernelSpec out;
    out.name = std::move(name);
    out.language = std::move(language);
    out.argv = std::move(argv);
    return out;
}

TEST(KernelDirs, AreJupytersInJupytersOrder) {
    SearchContext context{{{"JUPYTER_PATH", "/a:/b/"}}, "/home/u", "/opt/venv", false};
    EXPECT_EQ(kernel_dirs(context),
              (std::vector<std::string>{"/a/kernels", "/b/kernels", "/home/u/.local/share/jupyter/kernels",
                                        "/opt/venv/share/jupyter/kernels", "/usr/local/share/jupyter/kernels",
                                        "/usr/share/jupyter/kernels", "/home/u/.ipython/kernels"}));
    context.env["JUPYTER_PREFER_ENV_PATH"] = "1";
    EXPECT_EQ(kernel_dirs(context)[2], "/opt/venv/share/jupyter/kernels");
    context.env["JUPYTER_PREFER_ENV_PATH"] = "Off";
    EXPECT_EQ(kernel_dirs(context)[2], "/home/u/.local/share/jupyter/kernels");
    context.env.erase("JUPYTER_PREFER_ENV_PATH");
    context.prefix_is_venv = true;
    EXPECT_EQ(kernel_dirs(context)[2], "/opt/venv/share/jupyter/kernels");
    context.env["JUPYTER_DATA_DIR"] = "/data";
    EXPECT_EQ(kernel_dirs(context)[3], "/data/kernels");
    context.env.erase("JUPYTER_DATA_DIR");
    context.env["XDG_DATA_HOME"] = "/xdg";
    EXPECT_EQ(kernel_dirs(context)[3], "/xdg/jupyter/kernels");
}

TEST(KernelSpec, IsReadWithItsPolicies) {
    auto const python =
        parse_kernelspec("python3", "/v/share/jupyter/kernels/python3",
                         R"({"argv":["python","-m","ipykernel_launcher","-f","{connection_file}"],
                                            "display_name":"P","language":"python","env":{"A":"1","B":2}})");
    ASSERT_TRUE(python);
    EXPECT_EQ(python->transport, Transport::ipc);
    EXPECT_EQ(python->interrupt, Interrupt::signal);
    EXPECT_EQ(python->prefix, "/v");
    EXPECT_EQ(python->env, (Env{{"A", "1"}}));
    auto const deno =
        parse_kernelspec("deno", "/d", R"({"argv":["/x/deno","jupyter","--conn","{connection_file}"],
                                                        "language":"typescript"})");
    EXPECT_EQ(deno->transport, Transport::tcp);
    EXPECT_EQ(deno->interrupt, Interrupt::message);
    auto const xeus =
        parse_kernelspec("xpython", "/d", R"({"argv":["python","-m","xpython","-f","{connection_file}"],
                                                           "language":"python"})");
    EXPECT_EQ(xeus->transport, Transport::tcp);
    EXPECT_EQ(xeus->interrupt, Interrupt::restart);
    auto const java =
        parse_kernelspec("java", "/d", R"({"argv":["java"],"language":"java","interrupt_mode":"message"})");
    EXPECT_EQ(java->interrupt, Interrupt::message);
    for (auto const* bad : {"", "[]", "{}", R"({"argv":[]})", R"({"argv":["a",1]})", R"({"argv":[""]})",
                            R"({"argv":["a"],"interrupt_mode":"x"})"})
        EXPECT_FALSE(parse_kernelspec("x", "/d", bad)) << bad;
    EXPECT_FALSE(parse_kernelspec("a b", "/d", R"({"argv":["a"]})"));
}

TEST(KernelSpec, ArgumentsAndEnvironmentAreRendered) {
    auto one =
        spec("x", "y", {"/bin/k", "{resource_dir}/a.js", "-f={connection_file}", "{other}", "{", "{prefix}"});
    one.dir = "/res";
    one.prefix = "/v";
    EXPECT_EQ(render_argv(one, "/c.json"),
              (std::vector<std::string>{"/bin/k", "/res/a.js", "-f=/c.json", "{other}", "{", "/v"}));
    one.env = {{"P", "$A:${B}:$$:$none:${none}:$"}, {"Q", "${A"}};
    auto const env = render_env(one, {{"A", "1"}, {"B", "2"}});
    EXPECT_EQ(env.at("P"), "1:2:$:$none:${none}:$");
    EXPECT_EQ(env.at("Q"), "${A");
    EXPECT_EQ(env.at("A"), "1");
}

TEST(KernelSpecs, PreferenceIsTheContracts) {
    auto const name = [](KernelSpecs const& specs, char const* wanted) {
        auto const found = specs.find(wanted);
        return found ? found->name : "-";
    };
    auto const python3 = spec("python3", "python", {"python", "-m", "ipykernel_launcher"});
    auto const xpython = spec("xpython", "python", {"python", "-m", "xpython"});
    EXPECT_EQ(name(KernelSpecs({python3}), "python"), "python3");
    EXPECT_EQ(name(KernelSpecs({python3, spec("mine", "python")}), "python"), "mine");
    EXPECT_EQ(name(KernelSpecs({spec("mine", "python"), spec("python", "python"), python3}), "Python"),
              "python");
    EXPECT_EQ(name(KernelSpecs({xpython, python3}), "python"), "python3");
    EXPECT_EQ(name(KernelSpecs({xpython}), "py"), "xpython");
    EXPECT_EQ(name(KernelSpecs({python3, xpython}), "xpython"), "xpython");
    EXPECT_EQ(name(KernelSpecs({python3, spec("mine", "python")}), "python3"), "python3");
    EXPECT_EQ(name(KernelSpecs({spec("jslab", "javascript"), spec("tslab", "typescript")}), "ts"), "tslab");
    EXPECT_EQ(name(KernelSpecs({spec("jslab", "javascript"), spec("tslab", "typescript")}), "js"), "jslab");
    EXPECT_EQ(name(KernelSpecs({spec("ir", "R")}), "r"), "ir");
}

TEST(KernelSpecs, AMissingOneSaysWhatExistsAndHowToMend) {
    auto const none = KernelSpecs({spec("bash", "bash")}, {"/a/kernels"}).find("python");
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Code::unavailable);
    auto const text = none.error().message();
    for (auto const* part :
         {"'python'", "bash (bash)", "pip install ipykernel", "JUPYTER_PATH", "/a/kernels"})
        EXPECT_NE(text.find(part), std::string::npos) << text;
    auto const unknown = KernelSpecs().find("cobol");
    EXPECT_EQ(unknown.error().code, Code::not_found);
    EXPECT_NE(unknown.error().message().find("installed: none"), std::string::npos);
}

TEST(KernelSpecs, ScanSkipsBrokenOnesAndKeepsTheFirst) {
    TempFolder const folder;
    folder.write("a/kernels/One/kernel.json", R"({"argv":["first"],"language":"x"})");
    folder.write("a/kernels/broken/kernel.json", "{");
    folder.write("a/kernels/nothing/readme", "");
    folder.write("a/kernels/file", "");
    folder.write("b/kernels/one/kernel.json", R"({"argv":["second"],"language":"x"})");
    folder.write("b/kernels/two/kernel.json", R"({"argv":["two"],"language":"y"})");
    auto const specs = KernelSpecs::scan(
        {folder.path() + "/a/kernels", folder.path() + "/none", folder.path() + "/b/kernels"});
    ASSERT_EQ(specs.all().size(), 2U);
    EXPECT_EQ(specs.by_name("one")->argv, std::vector<std::string>{"first"});
    ASSERT_EQ(specs.problems().size(), 1U);
    EXPECT_NE(specs.find("cobol").error().message().find("broken/kernel.json"), std::string::npos);
}

}  // namespace
}  // namespace execd::kernels
