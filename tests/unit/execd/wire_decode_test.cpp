// The interpreter: places, policies, faults and how three dialects render them.
#include <gtest/gtest.h>

#include "tests/unit/execd/wire_dialects.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

namespace execd::wire_test {
namespace {

using wire::Faults;
using wire::Policy;
using wire::Sources;
using wire::TextPair;

template <class T>
Faults faults_of(T& out, std::string_view body, Policy const& policy = {}) {
    Faults faults;
    bool const good = wire::decode(out, Sources{.body_text = body}, policy, faults);
    EXPECT_EQ(good, faults.empty());
    return faults;
}
std::vector<std::string> short_forms(Faults const& faults) {
    std::vector<std::string> out;
    for (auto const& fault : faults) out.push_back(wire::dotted(fault.loc) + " " + std::string(fault.type));
    return out;
}
using Forms = std::vector<std::string>;

TEST(WireDecode, RequestFromEveryPlace) {
    TextPair const path[] = {{"session", "s1"}};
    TextPair const query[] = {{"tag", "a"}, {"limit", "5"}, {"tag", "b"}, {"limit", "6"}};
    TextPair const headers[] = {{"x-request-id", "r1"}};
    Sources const from{
        .body_text = R"({"dir":"/tmp","context":{"id":"c","language":"py"},"mode":"bg","other":1})",
        .path = path,
        .query = query,
        .headers = headers};
    WatchRequest request;
    Faults faults;
    ASSERT_TRUE(wire::decode(request, from, {}, faults));
    EXPECT_EQ(request.session, "s1");
    EXPECT_EQ(request.limit, 5);
    EXPECT_EQ(request.tags, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(request.request_id, "r1");
    EXPECT_EQ(request.path, "/tmp");
    EXPECT_EQ(request.debounce, 300);
    EXPECT_EQ(request.context, (Context{"c", "py"}));
    EXPECT_EQ(request.mode, Mode::background);
    WatchRequest last;
    ASSERT_TRUE(wire::decode(last, from, fastapi_policy(), faults));
    EXPECT_EQ(last.limit, 6);
    EXPECT_TRUE(wire::wants_body(wire::ops_of<WatchRequest>()));
    EXPECT_FALSE(wire::wants_body(wire::ops_of<UploadForm>()));
    EXPECT_TRUE(wire::wants_form(wire::ops_of<UploadForm>()));
}

TEST(WireDecode, FastApiListsEverything) {
    TextPair const query[] = {{"limit", "many"}};
    Json const body = Json::parse(
        R"({"debounce":7,"name":"UPPER","context":{"id":5},"mode":"x","ports":[1,"two",2.5,9999999999]})");
    WatchRequest request;
    Faults faults;
    EXPECT_FALSE(wire::decode(request, Sources{.body = &body, .query = query}, fastapi_policy(), faults));
    EXPECT_EQ(
        short_forms(faults),
        (Forms{"path.session missing", "query.limit int_parsing", "body.path missing",
               "body.debounce greater_than_equal", "body.name string_too_long", "body.context.id string_type",
               "body.context.language missing", "body.mode enum", "body.ports[1] int_parsing",
               "body.ports[2] int_from_float", "body.ports[3] less_than_equal"}));
    EXPECT_EQ(faults[5].label_path, "WatchRequest.context.id");
    EXPECT_EQ(faults[8].label_path, "WatchRequest.ports[1]");
    Json const detail = Json::parse(fastapi_error(faults))["detail"];
    EXPECT_EQ(detail[1], Json::parse(R"({"type":"int_parsing","loc":["query","limit"],"input":"many",
        "msg":"Input should be a valid integer, unable to parse string as an integer"})"));
    EXPECT_EQ(detail[3], Json::parse(R"({"type":"greater_than_equal","loc":["body","debounce"],"input":7,
        "msg":"Input should be greater than or equal to 50","ctx":{"ge":50}})"));
    EXPECT_EQ(
        detail[6],
        Json::parse(
            R"({"type":"missing","loc":["body","context","language"],"input":{"id":5},"msg":"Field required"})"));
    EXPECT_EQ(detail[7], Json::parse(R"({"type":"enum","loc":["body","mode"],"input":"x",
        "msg":"Input should be 'foreground' or 'bg'","ctx":{"expected":"'foreground' or 'bg'"}})"));
    EXPECT_EQ(detail[8]["loc"], Json::parse(R"(["body","ports",1])"));
    Policy first = fastapi_policy();
    first.first_fault_only = true;
    faults.clear();
    EXPECT_FALSE(wire::decode(request, Sources{.body = &body, .query = query}, first, faults));
    EXPECT_EQ(faults.size(), 1U);
}

TEST(WireDecode, FastApiBodyFaults) {
    Limits limits;
    EXPECT_EQ(fastapi_error(faults_of(limits, "{x", fastapi_policy())),
              R"({"detail":[{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error","input":{},)"
              R"("ctx":{"error":"Expecting property name enclosed in double quotes"}}]})");
    EXPECT_EQ(fastapi_error(faults_of(limits, "", fastapi_policy())),
              R"({"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]})");
    EXPECT_EQ(short_forms(faults_of(limits, "[1]", fastapi_policy())), Forms{"body model_attributes_type"});
    Policy lenient = fastapi_policy();
    lenient.empty_body_is_object = true;
    EXPECT_EQ(short_forms(faults_of(limits, " ", lenient)), Forms{"body.memory missing"});
    lenient.reject_unknown = true;
    EXPECT_EQ(short_forms(faults_of(limits, R"({"memory":1,"Memory":2})", lenient)),
              Forms{"body.Memory extra_forbidden"});
    EXPECT_EQ(short_forms(faults_of(limits, R"({"memory":-1,"cpu":0})", lenient)),
              (Forms{"body.cpu greater_than", "body.memory greater_than_equal"}));
}

TEST(WireDecode, GoIsLenientAndStopsAtTheFirst) {
    RunCommandRequest run;
    EXPECT_TRUE(
        faults_of(run, R"({"COMMAND":"ls","Timeout":null,"unknown":{},"context":null} trailing)", go_policy())
            .empty());
    EXPECT_EQ(run.command, "ls");
    EXPECT_EQ(run.timeout_ms, 0);
    EXPECT_EQ(go_error(faults_of(run, "", go_policy())), "EOF");
    EXPECT_EQ(go_error(faults_of(run, "{\"command\"", go_policy())), "unexpected EOF");
    EXPECT_EQ(go_error(faults_of(run, "x", go_policy())),
              "invalid character 'x' looking for beginning of value");
    EXPECT_EQ(go_error(faults_of(run, R"({"command":"","timeout":"5"})", go_policy())),
              "json: cannot unmarshal string into Go struct field RunCommandRequest.timeout of type int64");
    EXPECT_EQ(
        go_error(faults_of(run, R"({"timeout":1.5})", go_policy())),
        "json: cannot unmarshal number 1.5 into Go struct field RunCommandRequest.timeout of type int64");
    std::string const required =
        "Key: 'RunCommandRequest.Command' Error:Field validation for 'Command' failed on the 'required' tag";
    EXPECT_EQ(go_error(faults_of(run, "{}", go_policy())), required);
    EXPECT_EQ(go_error(faults_of(run, R"({"command":null})", go_policy())), required);
    EXPECT_EQ(go_error(faults_of(run, R"({"command":"","timeout":-1})", go_policy())),
              required +
                  "\nKey: 'RunCommandRequest.TimeoutMs' Error:Field validation for 'TimeoutMs' failed on the "
                  "'gte' tag");
    RunCommandRequest nested;
    EXPECT_TRUE(
        faults_of(nested, R"({"command":"ls","context":{"ID":"7"},"envs":{"A":null}})", go_policy()).empty());
    EXPECT_EQ(nested.context->id, "7");
    EXPECT_EQ(nested.envs.at("A"), "");
}

TEST(WireDecode, AgentRunIsFlatAndNested) {
    WatchRequest request;
    TextPair const path[] = {{"session", "s"}};
    Faults faults;
    EXPECT_FALSE(wire::decode(
        request, Sources{.body_text = R"({"path":null,"debounce":"60","ports":["x"]})", .path = path},
        agentrun_policy(), faults));
    EXPECT_EQ(request.debounce, 60);
    Json const body = Json::parse(agentrun_error(faults, "r1"));
    EXPECT_EQ(body["code"], "INVALID_REQUEST");
    EXPECT_EQ(body["message"], "body.path: Field required");
    EXPECT_EQ(body["requestId"], "r1");
    EXPECT_EQ(body["error"]["details"][1],
              Json::parse(R"({"field":"body.ports[0]","reason":"int_parsing"})"));
}

TEST(WireDecode, TriStateNullableOptional) {
    Everything e;
    auto const faults = faults_of(e, R"({"patch":null,"maybe":null,"nullable":null})");
    EXPECT_TRUE(e.patch.is_null());
    EXPECT_FALSE(e.maybe);
    for (auto const& fault : faults) {
        EXPECT_NE(wire::dotted(fault.loc), "body.patch");
        EXPECT_NE(wire::dotted(fault.loc), "body.nullable");
    }
    Everything absent;
    auto const missing = short_forms(faults_of(absent, "{}"));
    EXPECT_TRUE(absent.patch.absent());
    EXPECT_NE(std::find(missing.begin(), missing.end(), "body.nullable missing"), missing.end());
    EXPECT_EQ(std::find(missing.begin(), missing.end(), "body.patch missing"), missing.end());
    Everything set;
    faults_of(set, R"({"patch":"x"})");
    EXPECT_EQ(*set.patch, "x");
}

template <class T>
std::vector<std::string> forms(std::string_view body, T& out, Policy const& policy = {}) {
    Faults faults;
    Json const parsed = Json::parse(body);
    wire::decode(wire::ops_of<T>(), &out, Sources{.body = &parsed}, policy, faults);
    return short_forms(faults);
}

TEST(WireDecode, TaggedUnions) {
    Action action;
    EXPECT_EQ(forms(R"({"action_type":"TYPE","text":"hi"})", action), Forms{});
    EXPECT_EQ(std::get<Type>(action).text, "hi");
    EXPECT_EQ(forms(R"({"action_type":"CLICK","x":1,"num_clicks":4})", action),
              Forms{"body.num_clicks literal_error"});
    EXPECT_EQ(forms(R"({"x":1})", action), Forms{"body union_tag_not_found"});
    EXPECT_EQ(forms(R"({"action_type":"NO"})", action), Forms{"body union_tag_invalid"});
    EXPECT_EQ(forms("3", action), Forms{"body model_attributes_type"});
    Faults faults;
    Json const bad = Json::parse(R"({"action_type":"TYPE","text":""})");
    wire::decode(action, Sources{.body = &bad}, {}, faults);
    EXPECT_EQ(Json::parse(fastapi_error(faults))["detail"][0]["loc"],
              Json::parse(R"(["body","TYPE","text"])"));
    Pet pet;
    Policy closed;
    closed.reject_unknown = true;  // the tag is no unknown key although Dog has no member for it
    EXPECT_EQ(forms(R"({"kind":"dog","name":"Rex"})", pet, closed), Forms{});
    EXPECT_EQ(std::get<Dog>(pet).name, "Rex");
}

TEST(WireDecode, PlainUnionsPreferTheExactType) {
    std::variant<std::int64_t, std::string, Limits> v;
    EXPECT_EQ(forms(R"("17")", v, fastapi_policy()), Forms{});
    EXPECT_EQ(std::get<std::string>(v), "17");
    EXPECT_EQ(forms("17", v, fastapi_policy()), Forms{});
    EXPECT_EQ(std::get<std::int64_t>(v), 17);
    EXPECT_EQ(forms(R"({"memory":3})", v), Forms{});
    EXPECT_EQ(std::get<Limits>(v).memory, 3);
    EXPECT_EQ(forms("[]", v), (Forms{"body int_type", "body string_type", "body model_attributes_type"}));
    Policy brief;
    brief.union_branches = false;
    EXPECT_EQ(forms("[]", v, brief), Forms{"body union_error"});
}

TEST(WireDecode, FormsRestAndWholeBodies) {
    TextPair const form[] = {{"path", "/x"}, {"metadata", R"({"memory":5})"}, {"overwrite", "true"}};
    UploadForm upload;
    Faults faults;
    ASSERT_TRUE(wire::decode(upload, Sources{.form = form}, {}, faults));
    EXPECT_EQ(upload.metadata.memory, 5);
    EXPECT_EQ(upload.overwrite, true);
    TextPair const bad[] = {{"path", "/x"}, {"metadata", "{"}};
    EXPECT_FALSE(wire::decode(upload, Sources{.form = bad}, {}, faults));
    EXPECT_EQ(short_forms(faults), Forms{"body.metadata json_invalid"});
    Open open;
    EXPECT_EQ(forms(R"({"known":1,"a":[2],"b":null})", open), Forms{});
    EXPECT_EQ(open.rest.size(), 2U);
    EXPECT_EQ(open.rest.at("a"), Json::parse("[2]"));
    TextPair const path[] = {{"sandbox", "s"}};
    MoveAll moves;
    faults.clear();
    ASSERT_TRUE(wire::decode(moves, Sources{.body_text = R"([{"id":"a","language":"b"}])", .path = path}, {},
                             faults));
    EXPECT_EQ(moves.moves.at(0).id, "a");
    EXPECT_FALSE(
        wire::decode(moves, Sources{.body_text = R"([{"id":1,"language":"b"}])", .path = path}, {}, faults));
    EXPECT_EQ(short_forms(faults), Forms{"body[0].id string_type"});
}

TEST(WireDecode, ScalarsUnderPolicies) {
    Everything e;
    auto const fault_at = [&e](std::string_view body, std::string_view member,
                               Policy const& policy) -> std::string {
        for (auto const& fault : faults_of(e, body, policy)) {
            if (fault.loc.size() > 1 && fault.loc[1].key == member) return std::string(fault.type);
        }
        return "";
    };
    Policy const strict;
    auto const fastapi = fastapi_policy();
    EXPECT_EQ(fault_at(R"({"port":1.0})", "port", strict), "int_from_float");
    EXPECT_EQ(fault_at(R"({"port":1.0})", "port", fastapi), "");
    EXPECT_EQ(fault_at(R"({"port":"80"})", "port", strict), "int_type");
    EXPECT_EQ(fault_at(R"({"port":"80"})", "port", fastapi), "");
    EXPECT_EQ(fault_at(R"({"port":"8x"})", "port", fastapi), "int_parsing");
    EXPECT_EQ(fault_at(R"({"port":65536})", "port", strict), "less_than_equal");
    EXPECT_EQ(fault_at(R"({"tiny":-129})", "tiny", strict), "greater_than_equal");
    EXPECT_EQ(fault_at(R"({"large":18446744073709551615})", "large", strict), "");
    EXPECT_EQ(e.large, 18446744073709551615U);
    EXPECT_EQ(fault_at(R"({"large":1e30})", "large", strict), "less_than_equal");
    EXPECT_EQ(fault_at(R"({"id":"-9223372036854775808"})", "id", strict), "");
    EXPECT_EQ(e.id, std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(fault_at(R"({"flag":"YES"})", "flag", fastapi), "");
    EXPECT_EQ(fault_at(R"({"flag":2})", "flag", fastapi), "bool_parsing");
    EXPECT_EQ(fault_at(R"({"flag":1})", "flag", strict), "bool_type");
    EXPECT_EQ(fault_at(R"({"ratio":1e39})", "ratio", strict), "finite_number");
    EXPECT_EQ(fault_at(R"({"text":5})", "text", fastapi), "string_type");
    Policy loose = fastapi;
    loose.string_from_number = true;
    EXPECT_EQ(fault_at(R"({"text":5})", "text", loose), "");
    EXPECT_EQ(e.text, "5");
    EXPECT_EQ(fault_at(R"({"blob":"*"})", "blob", strict), "bytes_invalid_encoding");
    EXPECT_EQ(fault_at(R"({"at":"2026"})", "at", strict), "datetime_parsing");
    EXPECT_EQ(fault_at(R"({"at":1500})", "at", strict), "");
    EXPECT_EQ(e.at.at.time_since_epoch(), std::chrono::milliseconds(1500));
    EXPECT_EQ(fault_at(R"({"at":1e300})", "at", strict), "datetime_parsing");
    EXPECT_EQ(fault_at(R"({"at":9223372036854775807})", "at", strict), "datetime_parsing");
}

TEST(WireDecode, LengthsCountCodePointsAndItems) {
    WatchRequest request;
    TextPair const path[] = {{"session", "s"}};
    auto const types = [&](std::string_view body) {
        Faults faults;
        wire::decode(request, Sources{.body_text = body, .path = path}, {}, faults);
        return short_forms(faults);
    };
    EXPECT_EQ(types(R"({"path":"p","name":"\u00e9\u00e9\u00e9\u00e9"})"),
              Forms{"body.name string_pattern_mismatch"});
    EXPECT_EQ(types(R"({"path":"p","name":"abcde"})"), Forms{"body.name string_too_long"});
    EXPECT_EQ(types(R"({"path":"p","ports":[]})"), Forms{"body.ports too_short"});
    std::optional<Node> tree;
    EXPECT_EQ(
        forms(
            R"({"name":"r","kids":[{"name":"a","kids":[{"name":"b"},{"name":"c"},{"name":"d"},{"name":"e"}]}]})",
            tree),
        Forms{"body.kids[0].kids too_long"});
}

TEST(WireDecode, FaultsAndInputsAreBounded) {
    std::vector<int> numbers;
    Json many = Json::array();
    for (int i = 0; i < 1000; ++i) many.push_back(std::string(5000, 'x'));
    Faults faults;
    EXPECT_FALSE(wire::decode(numbers, Sources{.body = &many}, {}, faults));
    EXPECT_EQ(faults.size(), wire::kMaxFaults);
    for (auto const& fault : faults) EXPECT_LT(fault.input.size(), 1100U);
}

}  // namespace
}  // namespace execd::wire_test
