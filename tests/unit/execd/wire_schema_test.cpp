// JSON Schema and OpenAPI from the tables.
#include <gtest/gtest.h>

#include "execd/http/wire/schema.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

namespace execd::wire_test {
namespace other {
struct Context {
    int number = 0;
};
BOOST_DESCRIBE_STRUCT(Context, (), (number))
}  // namespace other

namespace {

std::vector<wire::RowDoc> rows() {
    return {
        {.method = "POST",
         .path = "/watch/{session}",
         .operation_id = "watch",
         .tag = "file",
         .doc = "Watch",
         .request = &wire::ops_of<WatchRequest>(),
         .answers = {{.status = 200, .body = &wire::ops_of<Everything>()},
                     {.status = 404, .doc = "Unknown session", .media = ""}},
         .auth = {"token"}},
        {.method = "GET",
         .path = "/raw/{path...}",
         .answers = {{.status = 200, .media = "application/octet-stream"}}},
        {.method = "POST", .path = "/upload", .request = &wire::ops_of<UploadForm>()},
        {.method = "GET",
         .path = "/other",
         .answers = {{.status = 200, .body = &wire::ops_of<other::Context>()}}},
    };
}

TEST(WireSchema, OpenApiFromRows) {
    auto const list = rows();
    Json const doc = Json::parse(wire::openapi(
        {.title = "t", .version = "1", .auth = {{.name = "token", .in = "header", .key = "X-Token"}}}, list));
    EXPECT_EQ(doc["openapi"], "3.1.0");
    Json const& watch = doc["paths"]["/watch/{session}"]["post"];
    EXPECT_EQ(watch["operationId"], "watch");
    EXPECT_EQ(watch["parameters"].size(), 4U);
    EXPECT_EQ(watch["parameters"][1],
              Json::parse(R"({"name":"limit","in":"query","required":false,"description":"How many",
        "schema":{"type":"integer","format":"int32","maximum":1000,"default":100}})"));
    EXPECT_EQ(watch["requestBody"]["content"]["application/json"]["schema"]["$ref"],
              "#/components/schemas/WatchRequest");
    EXPECT_EQ(watch["security"], Json::parse(R"([{"token":[]}])"));
    EXPECT_EQ(watch["responses"]["404"], Json::parse(R"({"description":"Unknown session"})"));
    EXPECT_TRUE(doc["paths"]["/raw/{path}"]["get"]["parameters"][0]["required"].get<bool>());
    Json const& form =
        doc["paths"]["/upload"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"];
    EXPECT_EQ(form["required"], Json::parse(R"(["path","metadata"])"));
    // Two structs of one name: the later one carries its namespaces.
    EXPECT_TRUE(doc["components"]["schemas"].contains("Context"));
    EXPECT_EQ(
        doc["paths"]["/other"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/execd__wire_test__other__Context");
    EXPECT_EQ(doc["components"]["securitySchemes"]["token"],
              Json::parse(R"({"type":"apiKey","in":"header","name":"X-Token"})"));
}

TEST(WireSchema, ComponentsSayWhatTheNotesSay) {
    auto const list = rows();
    Json const doc = Json::parse(wire::openapi({.title = "t", .version = "1"}, list));
    Json const& all = doc["components"]["schemas"];
    Json const& watch = all["WatchRequest"];
    EXPECT_EQ(watch["description"], "Start to watch");
    EXPECT_EQ(watch["required"], Json::parse(R"(["path"])"));
    EXPECT_FALSE(watch["properties"].contains("limit"));
    EXPECT_EQ(watch["properties"]["name"],
              Json::parse(R"({"type":"string","maxLength":4,"pattern":"^[a-z]+$","default":""})"));
    EXPECT_EQ(watch["properties"]["mode"],
              Json::parse(R"({"type":"string","enum":["foreground","bg"],"default":"foreground"})"));
    Json const& every = all["Everything"]["properties"];
    EXPECT_EQ(every["action"]["discriminator"]["mapping"]["CLICK"], "#/components/schemas/Click");
    EXPECT_EQ(every["tree"]["anyOf"][0]["$ref"], "#/components/schemas/Node");
    EXPECT_EQ(every["id"], Json::parse(R"({"type":"string","format":"int64"})"));
    EXPECT_EQ(
        all["Node"]["properties"]["kids"],
        Json::parse(
            R"({"type":"array","items":{"$ref":"#/components/schemas/Node"},"maxItems":3,"default":[]})"));
    EXPECT_EQ(all["Click"]["properties"]["num_clicks"],
              Json::parse(R"({"type":"integer","enum":[1,2,3],"default":1})"));
    EXPECT_EQ(all["Limits"]["properties"]["cpu"]["anyOf"][0],
              Json::parse(R"({"type":"number","exclusiveMinimum":0,"maximum":64})"));
    // Every reference leads somewhere.
    std::string const text = doc.dump();
    std::string_view const prefix = "#/components/schemas/";
    for (auto i = text.find(prefix); i != text.npos; i = text.find(prefix, i + 1)) {
        auto const start = i + prefix.size();
        EXPECT_TRUE(all.contains(text.substr(start, text.find('"', start) - start)));
    }
}

TEST(WireSchema, StandAloneForTools) {
    Json const schema = Json::parse(wire::json_schema(wire::ops_of<RunCommandRequest>()));
    EXPECT_EQ(schema["type"], "object");
    EXPECT_EQ(schema["properties"]["context"]["anyOf"][0]["$ref"], "#/$defs/Context");
    EXPECT_TRUE(schema["$defs"].contains("Context"));
    EXPECT_EQ(schema["properties"]["command"]["minLength"], 1);
}

}  // namespace
}  // namespace execd::wire_test
