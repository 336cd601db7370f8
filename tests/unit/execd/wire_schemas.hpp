// Described structs of every kind that the wire tables can say, for the wire tests.
#pragma once
#include <nlohmann/json.hpp>

#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/encode.hpp"

namespace execd::wire_test {

using wire::Json;

enum class Mode { foreground, background };
BOOST_DESCRIBE_ENUM(Mode, foreground, background)
constexpr auto wire_enum(Mode const*) { return wire::enum_names({{"background", "bg"}}); }

enum class Clicks : std::uint8_t { one = 1, two = 2, three = 3 };
BOOST_DESCRIBE_ENUM(Clicks, one, two, three)
constexpr auto wire_enum(Clicks const*) { return wire::enum_style({.literal = true, .numeric = true}); }

struct Limits {
    std::optional<double> cpu;
    std::int64_t memory = 0;
    bool operator==(Limits const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Limits, (), (cpu, memory))
constexpr auto wire_notes(Limits const*) {
    return wire::notes({{.field = "cpu", .min = 0, .max = 64, .exclusive_min = true},
                        {.field = "memory", .doc = "Bytes", .min = 0, .max = 1e12}});
}

struct Click {
    wire::Literal<"CLICK"> action_type;
    double x = 0;
    Clicks num_clicks = Clicks::one;
    bool operator==(Click const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Click, (), (action_type, x, num_clicks))
constexpr auto wire_notes(Click const*) { return wire::notes({{.field = "num_clicks", .defaulted = true}}); }
struct Type {
    wire::Literal<"TYPE"> action_type;
    std::string text;
    bool operator==(Type const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Type, (), (action_type, text))
constexpr auto wire_notes(Type const*) { return wire::notes({{.field = "text", .min_len = 1}}); }
using Action = std::variant<Click, Type>;
constexpr auto wire_union(Action const*) { return wire::tagged_by("action_type"); }

struct Cat {
    int lives = 9;
    bool operator==(Cat const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Cat, (), (lives))
struct Dog {
    std::string name;
    bool operator==(Dog const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Dog, (), (name))
using Pet = std::variant<Cat, Dog>;
constexpr auto wire_union(Pet const*) { return wire::tagged_by("kind", {"cat", "dog"}); }

struct Node {
    std::string name;
    std::vector<Node> kids;
    bool operator==(Node const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Node, (), (name, kids))
constexpr auto wire_notes(Node const*) {
    return wire::notes({{.field = "kids", .max_len = 3, .defaulted = true, .omit_empty = true}});
}

struct Everything {
    bool flag = false;
    std::int8_t tiny = 0;
    std::uint16_t port = 0;
    std::uint64_t large = 0;
    std::int64_t id = 0;
    float ratio = 0;
    std::string text;
    wire::Bytes blob;
    wire::Timestamp at;
    Mode mode = Mode::foreground;
    std::vector<Limits> limits;
    std::map<std::string, std::vector<int>> groups;
    std::optional<std::string> maybe;
    wire::Nullable<int> nullable;
    wire::Tri<std::string> patch;
    std::variant<std::int64_t, std::string, Limits> plain;
    Action action;
    Pet pet;
    std::optional<Node> tree;
    Json any;
    wire::JsonText raw;
    bool operator==(Everything const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Everything, (),
                      (flag, tiny, port, large, id, ratio, text, blob, at, mode, limits, groups, maybe,
                       nullable, patch, plain, action, pet, tree, any, raw))
constexpr auto wire_notes(Everything const*) { return wire::notes({{.field = "id", .as_text = true}}); }

struct Context {
    std::string id;
    std::string language;
    bool operator==(Context const&) const = default;
};
BOOST_DESCRIBE_STRUCT(Context, (), (id, language))

/// In OpenSandbox's manner: nothing is required but what a validator says.
struct RunCommandRequest {
    std::string command;
    std::int64_t timeout_ms = 0;
    bool background = false;
    std::optional<Context> context;
    std::map<std::string, std::string> envs;
};
BOOST_DESCRIBE_STRUCT(RunCommandRequest, (), (command, timeout_ms, background, context, envs))
constexpr auto wire_notes(RunCommandRequest const*) {
    return wire::notes({{.field = "command", .label = "Command", .non_empty = true},
                        {.field = "timeout_ms", .wire = "timeout", .label = "TimeoutMs", .min = 0}});
}

/// In FastAPI's manner: parameters from everywhere, many limits.
struct WatchRequest {
    std::string session;
    int limit = 100;
    std::vector<std::string> tags;
    std::string request_id;
    std::string path;
    int debounce = 300;
    std::string name;
    std::optional<Context> context;
    Mode mode = Mode::foreground;
    std::vector<int> ports;
};
BOOST_DESCRIBE_STRUCT(WatchRequest, (),
                      (session, limit, tags, request_id, path, debounce, name, context, mode, ports))
constexpr char const* wire_doc(WatchRequest const*) { return "Start to watch"; }
constexpr auto wire_notes(WatchRequest const*) {
    return wire::notes(
        {{.field = "session", .place = wire::Place::path},
         {.field = "limit", .doc = "How many", .max = 1000, .place = wire::Place::query, .defaulted = true},
         {.field = "tags", .wire = "tag", .place = wire::Place::query, .defaulted = true},
         {.field = "request_id", .wire = "X-Request-Id", .place = wire::Place::header, .defaulted = true},
         {.field = "path", .aliases = "dir,folder"},
         {.field = "debounce", .min = 50, .max = 5000, .defaulted = true},
         {.field = "name", .pattern = "^[a-z]+$", .max_len = 4, .defaulted = true},
         {.field = "mode", .defaulted = true},
         {.field = "ports", .min_len = 1, .defaulted = true}});
}

/// Multipart fields, a structured one among them, and unknown keys kept.
struct UploadForm {
    std::string path;
    Limits metadata;
    std::optional<bool> overwrite;
};
BOOST_DESCRIBE_STRUCT(UploadForm, (), (path, metadata, overwrite))
constexpr auto wire_notes(UploadForm const*) {
    return wire::notes({{.field = "path", .place = wire::Place::form},
                        {.field = "metadata", .place = wire::Place::form},
                        {.field = "overwrite", .place = wire::Place::form}});
}

struct Open {
    int known = 0;
    std::map<std::string, Json> rest;
};
BOOST_DESCRIBE_STRUCT(Open, (), (known, rest))
constexpr auto wire_notes(Open const*) {
    return wire::notes({{.field = "rest", .place = wire::Place::rest}});
}

struct MoveAll {
    std::string sandbox;
    std::vector<Context> moves;
};
BOOST_DESCRIBE_STRUCT(MoveAll, (), (sandbox, moves))
constexpr auto wire_notes(MoveAll const*) {
    return wire::notes(
        {{.field = "sandbox", .place = wire::Place::path}, {.field = "moves", .place = wire::Place::whole}});
}

}  // namespace execd::wire_test

extern template struct execd::wire::Codec<execd::wire_test::Everything>;
extern template struct execd::wire::Codec<execd::wire_test::RunCommandRequest>;
extern template struct execd::wire::Codec<execd::wire_test::WatchRequest>;
extern template struct execd::wire::Codec<execd::wire_test::UploadForm>;
extern template struct execd::wire::Codec<execd::wire_test::Open>;
extern template struct execd::wire::Codec<execd::wire_test::MoveAll>;
