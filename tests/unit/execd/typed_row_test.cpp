// route<Req, Res> end to end, in three dialects: Go's leniency and texts, FastAPI's 422 list, AgentRun's flat
// and nested object. Each is a whole small dialect: errors, unknown paths, wrong methods, decoding, encoding.
#include "execd/http/typed_row.hpp"

#include <nlohmann/json.hpp>

#include "execd/http/openapi.hpp"
#include "http_harness.hpp"
#include "tests/unit/execd/wire_dialects.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

namespace execd::http {
namespace {

using namespace wire_test;
using wire::Json;

struct SmallDialect : Dialect, Manners {
    wire::Policy policy;
    wire::EncodePolicy encoding;
    [[nodiscard]] wire::Policy const& reading() const override { return policy; }
    [[nodiscard]] wire::EncodePolicy const& writing() const override { return encoding; }
    static Answer json(unsigned status, std::string text) {
        return Answer::bytes(status, "application/json", std::move(text));
    }
};

struct GoDialect final : SmallDialect {
    GoDialect() { policy = go_policy(); }
    static Answer refusal(unsigned status, std::string const& text) {
        return json(status, Json{{"code", status}, {"message", text}}.dump());
    }
    [[nodiscard]] std::string_view name() const override { return "go"; }
    Answer error(Error const& e, Call const*) override { return refusal(500, e.message()); }
    Answer not_found(Head const&) override { return Answer::bytes(404, "text/plain", "404 page not found"); }
    Answer method_not_allowed(Head const& head, std::vector<std::string> const&) override {
        return not_found(head);
    }
    Answer unauthorized(Head const&, Error const&) override { return refusal(401, "no"); }
    Answer refused(wire::Faults const& faults, Call const&) override {
        return refusal(400, go_error(faults));
    }
};

struct FastDialect final : SmallDialect {
    FastDialect() {
        policy = fastapi_policy();
        encoding.absent = wire::Absent::null;
    }
    static Answer detail(unsigned status, std::string_view text) {
        return json(status, Json{{"detail", text}}.dump());
    }
    [[nodiscard]] std::string_view name() const override { return "fast"; }
    Answer error(Error const& e, Call const*) override {
        return detail(e.code == Code::too_large ? 413 : 500, e.message());
    }
    Answer not_found(Head const&) override { return detail(404, "Not Found"); }
    Answer method_not_allowed(Head const&, std::vector<std::string> const&) override {
        return detail(405, "Method Not Allowed");
    }
    Answer unauthorized(Head const&, Error const&) override { return detail(401, "Not authenticated"); }
    Answer refused(wire::Faults const& faults, Call const&) override {
        return json(422, fastapi_error(faults));
    }
};

struct AgentDialect final : SmallDialect {
    AgentDialect() { policy = agentrun_policy(); }
    static Answer both(unsigned status, std::string_view code, std::string const& text) {
        return json(status, Json{{"code", code},
                                 {"message", text},
                                 {"requestId", "r"},
                                 {"error", {{"code", code}, {"message", text}}}}
                                .dump());
    }
    [[nodiscard]] std::string_view name() const override { return "agent"; }
    Answer error(Error const& e, Call const*) override { return both(500, "INTERNAL", e.message()); }
    Answer not_found(Head const&) override { return both(404, "NOT_FOUND", "no such route"); }
    Answer method_not_allowed(Head const&, std::vector<std::string> const&) override {
        return both(405, "METHOD_NOT_ALLOWED", "no");
    }
    Answer unauthorized(Head const&, Error const&) override { return both(401, "UNAUTHORIZED", "no"); }
    Answer refused(wire::Faults const& faults, Call const&) override {
        return json(400, agentrun_error(faults, "r"));
    }
};

Task<Result<Context>> run(Call&, RunCommandRequest request) {
    if (request.command == "fail") co_return fail(Code::io, "run", "it failed");
    co_return Context{request.command, std::to_string(request.timeout_ms)};
}
Task<Result<Context>> watch(Call&, WatchRequest request) {
    co_return Context{request.session, request.path + " " + std::to_string(request.limit)};
}
Task<Result<Nothing>> upload(Call&, UploadForm form) {
    if (form.path != "/x" || form.metadata.memory != 7 || form.overwrite != true)
        co_return fail(Code::internal, "upload", "not what was sent");
    co_return Nothing();
}
Task<Result<Answer>> stream(Call&, Nothing) { co_return Answer::bytes(202, "text/plain", "as it is"); }

Row bare(std::string method, std::string path) {
    Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = row.method + row.path;
    return row;
}

struct Dialects : testing::Test {
    GoDialect go;
    FastDialect fast;
    AgentDialect agent;
    Harness h{{}};
    Dialects() {
        std::vector<Row> rows;
        for (auto* dialect : std::initializer_list<SmallDialect*>{&go, &fast, &agent}) {
            std::string const at = "/" + std::string(dialect->name());
            rows.push_back(route<RunCommandRequest, Context>(bare("POST", at + "/run"), *dialect, run));
            rows.push_back(
                route<WatchRequest, Context>(bare("POST", at + "/watch/{session}"), *dialect, watch));
            rows.push_back(route<UploadForm, Nothing>(bare("POST", at + "/upload"), *dialect, upload));
            rows.push_back(route<Nothing, Answer>(bare("GET", at + "/stream"), *dialect, stream));
        }
        auto built =
            Router::build(std::move(rows), {{"/go", &go}, {"/fast", &fast}, {"/agent", &agent}, {"", &go}});
        EXPECT_TRUE(built) << built.error().message();
        auto old = std::move(h.router);
        h.router = std::move(*built);
        h.server =
            std::make_unique<Server>(h.loop, *h.router, Limits(), h.authorize, std::vector<TargetStage>());
    }
    std::string post(std::string const& target, std::string const& body,
                     std::string const& type = "application/json") {
        return h.ask("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + type +
                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
};

TEST_F(Dialects, GoIsLenientAndStopsAtTheFirstFault) {
    auto answer = post("/go/run", R"({"COMMAND":"ls","timeout":5,"envs":null,"other":1} trailing)");
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_EQ(body_of(answer), R"({"id":"ls","language":"5"})");
    answer = post("/go/run", R"({"command":"ls","timeout":"x"})");
    EXPECT_EQ(status_of(answer), 400);
    EXPECT_EQ(Json::parse(body_of(answer))["message"],
              "json: cannot unmarshal string into Go struct field RunCommandRequest.timeout of type int64");
    EXPECT_EQ(Json::parse(body_of(post("/go/run", "{}")))["message"],
              "Key: 'RunCommandRequest.Command' Error:Field validation for 'Command' failed on the "
              "'required' tag");
    EXPECT_EQ(status_of(post("/go/run", R"({"command":"fail"})")), 500);
    EXPECT_EQ(body_of(h.ask("GET /go/nope HTTP/1.1\r\nHost: x\r\n\r\n")), "404 page not found");
}

TEST_F(Dialects, FastApiListsEveryFaultWithItsPlace) {
    auto answer =
        post("/fast/watch/s%2F1?limit=5&tag=a", R"({"folder":"/tmp","context":{"id":"c","language":"p"}})");
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_EQ(Json::parse(body_of(answer)), (Json{{"id", "s/1"}, {"language", "/tmp 5"}}));
    answer = post("/fast/watch/s?limit=many", R"({"debounce":7,"context":{"id":5}})");
    EXPECT_EQ(status_of(answer), 422);
    Json const list = Json::parse(body_of(answer))["detail"];
    ASSERT_EQ(list.size(), 5U) << list.dump();
    EXPECT_EQ(list[0]["loc"], Json::parse(R"(["query","limit"])"));
    EXPECT_EQ(list[1]["type"], "missing");
    EXPECT_EQ(list[3]["loc"], Json::parse(R"(["body","context","id"])"));
    EXPECT_EQ(body_of(h.ask("GET /fast/nope HTTP/1.1\r\nHost: x\r\n\r\n")), R"({"detail":"Not Found"})");
    EXPECT_EQ(status_of(h.ask("GET /fast/run HTTP/1.1\r\nHost: x\r\n\r\n")), 405);
}

TEST_F(Dialects, AgentRunSaysItFlatAndNested) {
    auto const answer = post("/agent/run", R"({"command":"ls","timeout":-1})");
    EXPECT_EQ(status_of(answer), 400);
    Json const body = Json::parse(body_of(answer));
    EXPECT_EQ(body["code"], "INVALID_REQUEST");
    EXPECT_EQ(body["code"], body["error"]["code"]);
    EXPECT_EQ(body["message"], body["error"]["message"]);
    EXPECT_EQ(body["error"]["details"][0]["field"], "body.timeout");
    EXPECT_EQ(body_of(post("/agent/run", R"({"command":"ls","timeout":"7","background":false,"envs":{}})")),
              R"({"id":"ls","language":"7"})");
}

TEST_F(Dialects, FormsAreReadInBothEncodings) {
    EXPECT_EQ(status_of(post("/fast/upload", "path=%2Fx&metadata=%7B%22memory%22%3A7%7D&overwrite=on",
                             "application/x-www-form-urlencoded")),
              204);
    std::string multipart;
    for (auto const& [name, value] :
         {std::pair("path", "/x"), std::pair("metadata", R"({"memory":7})"), std::pair("overwrite", "true")})
        multipart += std::string("--b\r\nContent-Disposition: form-data; name=\"") + name + "\"\r\n\r\n" +
                     value + "\r\n";
    EXPECT_EQ(status_of(post("/fast/upload", multipart + "--b--\r\n", "multipart/form-data; boundary=b")),
              204);
    EXPECT_EQ(status_of(post("/fast/upload", multipart, "multipart/form-data; boundary=b")), 500);
    EXPECT_EQ(status_of(post("/fast/upload", "overwrite=maybe", "application/x-www-form-urlencoded")), 422);
}

TEST_F(Dialects, AnAnswerMayBeSentAsItIs) {
    EXPECT_EQ(body_of(h.ask("GET /go/stream HTTP/1.1\r\nHost: x\r\n\r\n")), "as it is");
}

TEST_F(Dialects, DeepJsonIsRefusedInTheOwnersShapeBeforeATreeIsMade) {
    for (std::string const& body :
         {std::string(100'000, '['), std::string(R"({"command":)") + std::string(100'000, '['),
          std::string(200, '[') + std::string(200, ']')}) {
        EXPECT_EQ(status_of(post("/go/run", body)), 400);
        EXPECT_EQ(status_of(post("/fast/run", body)), 422);
        EXPECT_TRUE(Json::parse(body_of(post("/fast/run", body))).contains("detail"));
        EXPECT_EQ(status_of(post("/agent/run", body)), 400);
    }
}

TEST_F(Dialects, TheDocumentHasBothStructs) {
    Json const document =
        Json::parse(openapi_of(h.router->rows(), "fast", "1", [](std::string_view) { return DialectDoc(); }));
    auto const& operation = document["paths"]["/fast/watch/{session}"]["post"];
    EXPECT_TRUE(operation.contains("requestBody")) << operation.dump();
    EXPECT_TRUE(operation["responses"].contains("200"));
    EXPECT_FALSE(operation["parameters"].empty());
    EXPECT_FALSE(document["paths"].contains("/go/run"));
}

}  // namespace
}  // namespace execd::http
