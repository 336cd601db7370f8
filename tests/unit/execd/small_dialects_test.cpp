// The pure parts of the two small dialects: what a run becomes, templates, unencoded paths, times, escapes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "execd/claim_work.hpp"
#include "execd/dialects/cloud_sandbox/dialect.hpp"
#include "execd/dialects/cloud_sandbox/outcome.hpp"
#include "execd/dialects/sandbox_sdk/dialect.hpp"
#include "execd/dialects/sandbox_sdk/query_path.hpp"
#include "execd/dialects/sandbox_sdk/results.hpp"
#include "execd/dialects/sandbox_sdk/templates.hpp"
#include "execd/plain_text.hpp"

namespace execd {
namespace {

using kernels::OutputLog;
using kernels::RunOutcome;
using kernels::StreamText;
using wire::Json;

OutputLog::Page page_of(std::vector<kernels::Output> outputs) {
    OutputLog::Page page;
    for (auto& output : outputs)
        page.entries.push_back(
            {page.entries.size(), {}, std::make_shared<kernels::Output const>(std::move(output))});
    return page;
}

template <class T, class D>
Json rendered(T const& value, D const& dialect) {
    std::string text;
    wire::encode(value, dialect.writing(), text);
    return Json::parse(text);
}

RunOutcome raised(std::string name, std::string value, std::vector<std::string> traceback = {}) {
    RunOutcome out;
    out.kind = RunOutcome::Kind::error;
    out.error = kernels::ErrorOutput{std::move(name), std::move(value), std::move(traceback)};
    return out;
}

// ---- sandbox_sdk

Json sdk_answer(std::vector<kernels::Output> outputs, RunOutcome const& outcome = {}) {
    return rendered(sandbox_sdk::execute_answer(page_of(std::move(outputs)), outcome),
                    sandbox_sdk::Dialect());
}

TEST(SandboxSdkResults, EveryMimeTypeHasItsMember) {
    kernels::ExecuteResult result;
    result.count = 4;
    result.data = {{"text/plain", "t"},
                   {"text/html", "<b>"},
                   {"text/markdown", "*m*"},
                   {"image/svg+xml", "<svg/>"},
                   {"image/png", "UE5H"},
                   {"image/jpeg", "SlBH"},
                   {"application/pdf", "UERG"},
                   {"text/latex", "$x$"},
                   {"application/json", {{"a", {1, nullptr}}}},
                   {"application/javascript", "f()"},
                   {"application/vnd.dataresource+json", {{"data", Json::array()}}},
                   {"application/vnd.vegalite.v5+json", {{"mark", "bar"}}},
                   {"application/x-unheard-of", "gone"}};
    auto const answer = sdk_answer({result});
    Json const expected = {{"text", "t"},
                           {"html", "<b>"},
                           {"markdown", "*m*"},
                           {"svg", "<svg/>"},
                           {"png", "UE5H"},
                           {"jpeg", "SlBH"},
                           {"pdf", "UERG"},
                           {"latex", "$x$"},
                           {"json", {{"a", {1, nullptr}}}},
                           {"javascript", "f()"},
                           {"data", {{"data", Json::array()}}},
                           {"chart", {{"mark", "bar"}}},
                           {"is_main_result", true}};
    EXPECT_EQ(answer["results"], Json::array({expected}));
    EXPECT_EQ(answer["execution_count"], 4);
    EXPECT_EQ(answer["executionCount"], 4);
}

TEST(SandboxSdkResults, DisplaysAreNoMainResultAndTheirUpdatesReplaceThem) {
    kernels::DisplayData first;
    first.data = {{"text/plain", "0 %"}};
    first.display_id = "bar";
    kernels::DisplayData other;
    other.data = {{"text/plain", "x"}};
    kernels::DisplayData update = first;
    update.data = {{"text/plain", "100 %"}};
    update.update = true;
    auto const answer = sdk_answer({first, other, update});
    EXPECT_EQ(answer["results"], Json::array({{{"text", "100 %"}, {"is_main_result", false}},
                                              {{"text", "x"}, {"is_main_result", false}}}));
}

TEST(SandboxSdkResults, StreamsAreLinesWithoutTheirEnds) {
    auto const answer =
        sdk_answer({StreamText{false, "a\nb"}, StreamText{true, "e\n"}, StreamText{false, "c\n\nd"}});
    EXPECT_EQ(answer["logs"]["stdout"], (Json{"a", "bc", "", "d"}));
    EXPECT_EQ(answer["logs"]["stderr"], Json::array({"e"}));
    EXPECT_TRUE(answer["error"].is_null());
    EXPECT_EQ(answer["results"], Json::array());
    EXPECT_EQ(sdk_answer({})["logs"], (Json{{"stdout", Json::array()}, {"stderr", Json::array()}}));
}

TEST(SandboxSdkResults, AnErrorHasATracebackInOneTextWithoutColours) {
    auto const error =
        sdk_answer({}, raised("ValueError", "no", {"\x1b[31mTraceback\x1b[0m", "ValueError: no"}))["error"];
    EXPECT_EQ(error,
              (Json{{"name", "ValueError"}, {"value", "no"}, {"traceback", "Traceback\nValueError: no"}}));
    RunOutcome died;
    died.kind = RunOutcome::Kind::kernel_died;
    died.why = "killed";
    EXPECT_EQ(sdk_answer({}, died)["error"]["name"], "KernelDied");
    EXPECT_EQ(sdk_answer({}, died)["error"]["traceback"], "KernelDied: killed");
}

TEST(SandboxSdkPaths, AllThatFollowsTheNameIsThePath) {
    using sandbox_sdk::path_of_query;
    EXPECT_EQ(path_of_query("path=/a%20b&c=d+e"), "/a b&c=d+e");
    EXPECT_EQ(path_of_query("x=1&path=/%C3%A9"), "/\xc3\xa9");
    EXPECT_EQ(path_of_query("path=100%"), "100%");
    EXPECT_EQ(path_of_query("path=%zz%4"), "%zz%4");
    EXPECT_EQ(path_of_query("path=a%41"), "aA");
    EXPECT_EQ(path_of_query("path="), "");
    EXPECT_EQ(path_of_query("paths=/a"), std::nullopt);
    EXPECT_EQ(path_of_query(""), std::nullopt);
}

TEST(SandboxSdkTemplates, BuiltInOnesAreEverybodysAndOthersTheirAuthors) {
    sandbox_sdk::Templates templates;
    ASSERT_EQ(templates.list("a").size(), 3U);
    EXPECT_EQ(templates.find("python-3.11", "a")->language, "python");
    EXPECT_EQ(templates.find("node", "a")->language, "javascript");
    EXPECT_EQ(templates.find("bash", "a")->language, "bash");
    sandbox_sdk::Template made;
    made.author = "a";
    auto const added = templates.add(made);
    ASSERT_TRUE(added);
    EXPECT_EQ(templates.find((*added)->id, "a"), *added);
    EXPECT_EQ(templates.find((*added)->id, "b"), nullptr);
    EXPECT_EQ(templates.list("b").size(), 3U);
    auto const more = [&] { return templates.add(made).has_value(); };
    std::size_t count = 4;
    while (more()) ++count;
    EXPECT_EQ(count, 1000U);
    EXPECT_EQ(templates.add(made).error().code, Code::exhausted);
}

// ---- cloud_sandbox

cloud_sandbox::ExecuteAnswer cloud_answer(std::vector<kernels::Output> outputs,
                                          RunOutcome const& outcome = {}) {
    return cloud_sandbox::code_answer(page_of(std::move(outputs)), outcome);
}

TEST(CloudSandboxCode, ValuesAreNotEchoed) {
    kernels::ExecuteResult result;
    result.data = {{"text/plain", "42"}};
    auto const answer = cloud_answer({StreamText{false, "hi\n"}, result, StreamText{true, "e"}});
    EXPECT_EQ(answer.stdout_text, "hi\n");
    EXPECT_EQ(answer.stderr_text, "e");
    EXPECT_EQ(answer.exit_code, 0);
    EXPECT_FALSE(answer.error);
}

TEST(CloudSandboxCode, ExitsAreWhatAProgramWouldExitWith) {
    struct Case {
        std::string value;
        int code;
        std::string err;
    };
    for (auto const& [value, code, err] : std::vector<Case>{{"3", 3, ""},
                                                            {"", 0, ""},
                                                            {"None", 0, ""},
                                                            {"0", 0, ""},
                                                            {"-1", 255, ""},
                                                            {"256", 0, ""},
                                                            {"True", 1, ""},
                                                            {"bad input", 1, "bad input\n"},
                                                            {"3 times", 1, "3 times\n"}}) {
        auto const answer = cloud_answer({}, raised("SystemExit", value));
        EXPECT_EQ(answer.exit_code, code) << value;
        EXPECT_EQ(answer.stderr_text, err) << value;
        EXPECT_FALSE(answer.error);
    }
    EXPECT_EQ(cloud_answer({}, raised("ExitStatus", "7")).exit_code, 7);
    auto const shell = cloud_answer({}, raised("ShellExit", "4", {"the shell: it ended with exit status 4"}));
    EXPECT_EQ(shell.exit_code, 4);
    EXPECT_EQ(shell.stderr_text, "[execd: the shell: it ended with exit status 4]\n");
    auto const ended =
        cloud_answer({}, raised("InterpreterExit", "it ended with exit status 5; a new one runs"));
    EXPECT_EQ(ended.exit_code, 5);
    EXPECT_EQ(ended.stderr_text, "[execd: it ended with exit status 5; a new one runs]\n");
}

TEST(CloudSandboxCode, IPythonsHintAboutExitIsNoOutputOfTheProgram) {
    std::string const hint =
        "/x/interactiveshell.py:3587: UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n"
        "  warn(\"To exit: use 'exit', 'quit', or Ctrl-D.\", stacklevel=1)\n";
    auto const exit = raised("SystemExit", "0");
    EXPECT_EQ(cloud_answer({StreamText{true, "mine\n" + hint + "more\n"}}, exit).stderr_text, "mine\nmore\n");
    EXPECT_EQ(cloud_answer({StreamText{true, hint}}, exit).stderr_text, "");
    EXPECT_EQ(cloud_answer({StreamText{true, hint}}).stderr_text, hint);  // who did not exit printed it
}

TEST(CloudSandboxCode, ARaisedErrorIsATracebackOnStderrAndExitCodeOne) {
    auto const answer = cloud_answer(
        {StreamText{true, "w"}}, raised("ZeroDivisionError", "division by zero",
                                        {"\x1b[0;31mline\x1b[0m", "ZeroDivisionError: division by zero"}));
    EXPECT_EQ(answer.exit_code, 1);
    EXPECT_EQ(answer.stderr_text, "w\nline\nZeroDivisionError: division by zero\n");
    EXPECT_EQ(cloud_answer({}, raised("E", "v")).stderr_text, "E: v\n");
}

TEST(CloudSandboxCode, WhatDidNotEndByItselfHasNoExitCode) {
    RunOutcome late;
    late.kind = RunOutcome::Kind::timed_out;
    late.error = kernels::ErrorOutput{"KeyboardInterrupt", "", {"x"}};
    auto const stopped = cloud_answer({StreamText{false, "so far"}}, late);
    EXPECT_TRUE(stopped.timed_out);
    EXPECT_EQ(stopped.exit_code, -1);
    EXPECT_EQ(stopped.stdout_text, "so far");
    auto const running = cloud_sandbox::code_answer(page_of({}), std::nullopt);
    EXPECT_TRUE(running.timed_out);
    RunOutcome died;
    died.kind = RunOutcome::Kind::kernel_died;
    died.why = "out of memory";
    EXPECT_EQ(cloud_answer({}, died).exit_code, -1);
    EXPECT_EQ(cloud_answer({}, died).error, "out of memory");
    EXPECT_FALSE(cloud_answer({}, died).timed_out);
}

TEST(CloudSandboxTimes, TheAnswerIsALittleEarlierThanTheClientGivesUp) {
    using namespace std::chrono_literals;
    for (Duration const limit :
         {Duration(100ms), Duration(1s), Duration(2s), Duration(60s), Duration(300s)}) {
        auto const times = cloud_sandbox::times_of(limit);
        EXPECT_GT(times.stop, Duration::zero());
        EXPECT_LT(times.stop, times.answer);
        EXPECT_LT(times.answer, limit);
    }
    EXPECT_EQ(cloud_sandbox::times_of(1s).stop, 750ms);
    EXPECT_EQ(cloud_sandbox::times_of(300s).stop, 298s);
    EXPECT_EQ(cloud_sandbox::times_of(100ms).stop, 50ms);
}

// ---- both

TEST(SmallDialects, ErrorsAreTextsWhereTheirClientsLook) {
    Error error;
    error.code = Code::not_found;
    error.detail = "sandbox not found: x";
    sandbox_sdk::Dialect sdk;
    cloud_sandbox::Dialect cloud;
    auto const body = [](http::Answer const& answer) {
        return Json::parse(std::get<std::string>(answer.body));
    };
    EXPECT_EQ(sdk.error(error, nullptr).status, 404U);
    EXPECT_EQ(body(sdk.error(error, nullptr)),
              (Json{{"message", "sandbox not found: x"}, {"code", "not_found"}}));
    EXPECT_EQ(body(cloud.error(error, nullptr)),
              (Json{{"error", "sandbox not found: x"}, {"code", "not_found"}}));
    struct Case {
        Code code;
        unsigned sdk, cloud;
    };
    for (auto const& one : {Case{Code::gone, 404, 404}, Case{Code::exhausted, 429, 429},
                            Case{Code::unavailable, 503, 502}, Case{Code::conflict, 409, 409},
                            Case{Code::permission_denied, 403, 403}, Case{Code::no_space, 507, 507}}) {
        error.code = one.code;
        EXPECT_EQ(sdk.error(error, nullptr).status, one.sdk);
        EXPECT_EQ(cloud.error(error, nullptr).status, one.cloud);
    }
    http::Head const head;
    Error const none;
    EXPECT_EQ(sdk.unauthorized(head, none).status, 401U);
    EXPECT_EQ(body(cloud.unauthorized(head, none))["error"], "a token is required");
}

TEST(SmallDialects, TimesHaveThreeDigitsOfASecond) {
    cloud_sandbox::FileRow row;
    row.mod_time.at =
        std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(1'500'000'000'123'456'789));
    cloud_sandbox::FilesAnswer files;
    files.files.push_back(row);
    EXPECT_EQ(rendered(files, cloud_sandbox::Dialect())["files"][0]["mod_time"], "2017-07-14T02:40:00.123Z");
    EXPECT_EQ(rendered(cloud_sandbox::FilesAnswer(), cloud_sandbox::Dialect()),
              (Json{{"files", Json::array()}}));
}

TEST(SmallDialects, GivenTimesStayInRange) {
    EXPECT_EQ(bounded(0), Duration::zero());
    EXPECT_EQ(bounded(-1), Duration::zero());
    EXPECT_EQ(bounded(std::numeric_limits<double>::quiet_NaN()), Duration::zero());
    EXPECT_EQ(bounded(0.5), Duration(1));
    EXPECT_EQ(bounded(1e300), Duration(3'000'000'000'000'000'000));
}

TEST(PlainText, EscapesGoAndTextStays) {
    EXPECT_EQ(without_escapes("a\x1b[1;31mb\x1b[0m c"), "ab c");
    EXPECT_EQ(without_escapes("\x1b]8;;http://x\x1b\\link\x1b]8;;\a!"), "link!");
    EXPECT_EQ(without_escapes("end\x1b["), "end");
    EXPECT_EQ(without_escapes("end\x1b"), "end");
    EXPECT_EQ(without_escapes("\x1b]never ends"), "");
    EXPECT_EQ(lines_of("a\n\nb"), (std::vector<std::string>{"a", "", "b"}));
    EXPECT_TRUE(lines_of("").empty());
}

}  // namespace
}  // namespace execd
