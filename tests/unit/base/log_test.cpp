#include "base/log.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

namespace execd {
namespace {

nlohmann::json parsed(std::string const& line) { return nlohmann::json::parse(line); }

TEST(Log, RendersOneJsonObjectALine) {
    std::string const line = log::render(
        log::Level::warn, "a.b", {{"text", "q\"\\\n\t\x01"}, {"yes", true}, {"n", -5}, {"half", 0.5}}, 123);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    auto const json = parsed(line);
    EXPECT_EQ(json["ts"], 123);
    EXPECT_EQ(json["level"], "warn");
    EXPECT_EQ(json["event"], "a.b");
    EXPECT_EQ(json["text"], "q\"\\\n\t\x01");
    EXPECT_EQ(json["yes"], true);
    EXPECT_EQ(json["n"], -5);
    EXPECT_EQ(json["half"], 0.5);
    EXPECT_TRUE(line.starts_with(R"({"ts":123,"level":"warn","event":"a.b","text":)"));
}

TEST(Log, InvalidUtf8NeverThrows) {
    auto const json =
        parsed(log::render(log::Level::info, "x", {{"v", "a\xFF\xC3"}, {"nul", std::string("a\0b", 3)}}, 0));
    EXPECT_EQ(json["v"], "a\xEF\xBF\xBD\xEF\xBF\xBD");
    EXPECT_EQ(json["nul"], std::string("a\0b", 3));
}

TEST(Log, LevelsFilterAndShutdownIsRepeatable) {
    std::string path = testing::TempDir() + "execd-log-XXXXXX";
    ::close(::mkstemp(path.data()));
    std::string why;
    ASSERT_TRUE(log::init({log::Level::warn, path}, why)) << why;
    EXPECT_FALSE(log::enabled(log::Level::info));
    EXPECT_TRUE(log::enabled(log::Level::error));
    log::debug("no.debug");
    log::info("no.info");
    log::warn("yes.warn");
    log::error("yes.error", {{"k", "v"}});
    log::shutdown();
    log::shutdown();
    log::error("after.shutdown");
    std::ifstream in(path);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    ::unlink(path.c_str());
    EXPECT_NE(text.find("yes.warn"), std::string::npos);
    EXPECT_NE(text.find("yes.error"), std::string::npos);
    EXPECT_EQ(text.find("no."), std::string::npos);
    EXPECT_EQ(text.find("after."), std::string::npos);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(Log, AFileThatCannotBeOpenedIsReported) {
    std::string why;
    EXPECT_FALSE(log::init({log::Level::off, "/proc/nowhere/x.log"}, why));
    EXPECT_FALSE(why.empty());
    log::shutdown();
}

TEST(Log, ThreadsMayWriteWhileItShutsDown) {
    std::string path = testing::TempDir() + "execd-log-XXXXXX";
    ::close(::mkstemp(path.data()));
    std::string why;
    ASSERT_TRUE(log::init({log::Level::info, path}, why));
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        while (!stop) log::info("busy", {{"n", 1}});
    });
    log::shutdown();
    stop = true;
    writer.join();
    ::unlink(path.c_str());
}

}  // namespace
}  // namespace execd
