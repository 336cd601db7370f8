// The pure parts of the AgentRun dialect: what a run's outputs become, modes, ids, the heartbeat.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "execd/dialects/agentrun/claims.hpp"
#include "execd/dialects/agentrun/dialect.hpp"
#include "execd/dialects/agentrun/entries.hpp"
#include "execd/dialects/agentrun/execute.hpp"
#include "execd/dialects/agentrun/heartbeat.hpp"

namespace execd::agentrun {
namespace {

using kernels::OutputLog;
using kernels::RunOutcome;
using wire::Json;

OutputLog::Page page_of(std::vector<kernels::Output> outputs) {
    OutputLog::Page page;
    for (auto& output : outputs)
        page.entries.push_back(
            {page.entries.size(), {}, std::make_shared<kernels::Output const>(std::move(output))});
    return page;
}

Json rendered(OutputLog::Page const& page, RunOutcome const& outcome) {
    std::string text;
    Dialect dialect;
    wire::encode(execute_answer(page, outcome), dialect.writing(), text);
    return Json::parse(text);
}

TEST(AgentRunExecute, OneItemARunOfOneStreamWithoutItsLastLineEnd) {
    using kernels::StreamText;
    auto const answer = rendered(page_of({StreamText{false, "a\n"}, StreamText{false, "b\n\n"},
                                          StreamText{true, "e"}, StreamText{false, "c\n"}}),
                                 {});
    Json const expected = {{{"type", "stdout"}, {"text", "a\nb\n"}},
                           {{"type", "stderr"}, {"text", "e"}},
                           {{"type", "stdout"}, {"text", "c"}},
                           {{"type", "endOfExecution"}, {"status", "ok"}}};
    EXPECT_EQ(answer["results"], expected);
    EXPECT_EQ(answer["stdout"], "a\nb\n\nc\n");
    EXPECT_EQ(answer["stderr"], "e");
    EXPECT_EQ(answer["exitCode"], 0);
}

TEST(AgentRunExecute, ResultsKeepTheirBundle) {
    kernels::ExecuteResult result;
    result.count = 3;
    result.data = {{"text/plain", "'x'"}, {"application/json", {{"a", 1}}}};
    kernels::DisplayData display;
    display.data = {{"image/png", "AAAA"}};
    auto const answer = rendered(page_of({result, display}), {});
    EXPECT_EQ(answer["results"][0]["text"], "'x'");
    EXPECT_EQ(answer["results"][0]["executionCount"], 3);
    EXPECT_EQ(answer["results"][0]["data"]["application/json"], (Json{{"a", 1}}));
    EXPECT_EQ(answer["results"][1]["data"], (Json{{"image/png", "AAAA"}}));
    EXPECT_FALSE(answer["results"][1].contains("text"));
}

TEST(AgentRunExecute, ErrorsHaveAPlainText) {
    RunOutcome outcome;
    outcome.kind = RunOutcome::Kind::error;
    outcome.error = kernels::ErrorOutput{
        "ValueError", "no", {"\x1b[31mTraceback\x1b[39m", "\x1b[1;31mValueError\x1b[0m: no"}};
    auto const answer = rendered(page_of({kernels::StreamText{false, "x"}}), outcome);
    EXPECT_EQ(answer["results"][1]["text"], "Traceback\nValueError: no");
    EXPECT_EQ(answer["results"][1]["name"], "ValueError");
    EXPECT_EQ(answer["results"][1]["traceback"].size(), 2U);
    EXPECT_EQ(answer["results"][2]["status"], "error");
    EXPECT_EQ(answer["stderr"], "Traceback\nValueError: no\n");
    EXPECT_EQ(answer["exitCode"], 1);
}

TEST(AgentRunExecute, ATimeoutIsAnErrorWithItsOwnStatus) {
    RunOutcome outcome;
    outcome.kind = RunOutcome::Kind::timed_out;
    outcome.error = kernels::ErrorOutput{"KeyboardInterrupt", "", {"KeyboardInterrupt"}};
    auto const answer = rendered(page_of({}), outcome);
    EXPECT_EQ(answer["results"][0]["type"], "timeout");
    EXPECT_EQ(answer["results"][1]["name"], "TimeoutError");
    EXPECT_FALSE(answer["results"][1]["text"].get<std::string>().empty());
    EXPECT_EQ(answer["results"][2], (Json{{"type", "endOfExecution"}, {"status", "timeout"}}));
    EXPECT_EQ(answer["status"], "timeout");
}

TEST(AgentRunExecute, WhatWasDroppedIsSaidButIsNoStderrItem) {
    auto page = page_of({kernels::StreamText{false, "end"}});
    page.lost_events = 2;
    page.lost_bytes = 7;
    auto const answer = rendered(page, {});
    EXPECT_EQ(answer["results"][0]["type"], "notice");
    EXPECT_NE(answer["stderr"].get<std::string>().find("7 bytes"), std::string::npos);
    for (auto const& item : answer["results"]) EXPECT_NE(item["type"], "stderr");
}

TEST(AgentRunExecute, EscapesThatAreCutOff) {
    EXPECT_EQ(without_escapes("a\x1b[31mb\x1b[0"), "ab");
    EXPECT_EQ(without_escapes("a\x1b"), "a");
    EXPECT_EQ(without_escapes("\x1b(Bx"), "(Bx");
}

TEST(AgentRunErrors, AreFlatAndNestedWithOneRequestId) {
    Dialect dialect;
    auto const answer = dialect.error(Error{Code::not_found, "", 0, "no \"such\" thing"}, nullptr);
    EXPECT_EQ(answer.status, 404U);
    auto const body = Json::parse(std::get<std::string>(answer.body));
    EXPECT_EQ(body["code"], "NOT_FOUND");
    EXPECT_EQ(body["error"]["code"], "NOT_FOUND");
    EXPECT_EQ(body["message"], body["error"]["message"]);
    ASSERT_NE(answer.headers.find("x-request-id"), nullptr);
    EXPECT_EQ(body["requestId"], *answer.headers.find("x-request-id"));
}

TEST(AgentRunModes, AreDigitsHoweverTheyAreSpelled) {
    auto const bits = [](Json const& mode) { return mode_of(mode).value().value_or(0); };
    EXPECT_EQ(bits("644"), 0644U);
    EXPECT_EQ(bits("0755"), 0755U);
    EXPECT_EQ(bits("0o600"), 0600U);
    EXPECT_EQ(bits(644), 0644U);
    EXPECT_EQ(bits(420), 0644U);
    EXPECT_EQ(bits(1777), 01777U);
    EXPECT_FALSE(mode_of(std::nullopt).value());
    EXPECT_FALSE(mode_of(Json(nullptr)).value());
    for (Json const& bad :
         {Json("888"), Json("rw"), Json(-1), Json(9999), Json(6.5), Json::array(), Json("77777")})
        EXPECT_FALSE(mode_of(bad)) << bad.dump();
}

TEST(AgentRunClaims, IdsAreUlids) {
    auto const id = new_sandbox_id(WallTime(std::chrono::milliseconds(1469918176385)));
    EXPECT_EQ(id.size(), 26U);
    EXPECT_EQ(id.substr(0, 10), "01ARYZ6S41");
    EXPECT_NE(id, new_sandbox_id(WallTime(std::chrono::milliseconds(1469918176385))));
}

TEST(AgentRunHeartbeat, WarnsOnceAndThenCloses) {
    using Due = Heartbeat::Due;
    using std::chrono::seconds;
    TimePoint const start{};
    Heartbeat heart(start);
    EXPECT_EQ(heart.due(start + seconds(89)), Due::nothing);
    EXPECT_EQ(heart.next(), Deadline(start + seconds(90)));
    EXPECT_EQ(heart.due(start + seconds(90)), Due::warn);
    EXPECT_EQ(heart.due(start + seconds(91)), Due::nothing);
    EXPECT_EQ(heart.next(), Deadline(start + seconds(120)));
    EXPECT_EQ(heart.due(start + seconds(120)), Due::close);
    heart.heard(start + seconds(119));
    EXPECT_EQ(heart.due(start + seconds(120)), Due::nothing);
    EXPECT_EQ(heart.due(start + seconds(209)), Due::warn);
}

}  // namespace
}  // namespace execd::agentrun
