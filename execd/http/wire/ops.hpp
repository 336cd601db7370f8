// What the interpreter knows about a type: one constexpr table per type, no code but a few thunks.
// describe.hpp makes the tables; decode.cpp, encode.cpp and schema.cpp walk them. Everything here has static
// storage and never changes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "execd/http/wire/types.hpp"

namespace execd::wire {

enum class Kind : std::uint8_t {
    boolean,
    integer,
    number,
    string,
    bytes,
    timestamp,
    json,
    json_text,
    literal,
    enumeration,
    list,
    map,
    optional,
    nullable,
    tri,
    choice,
    object,
};

enum class TimeFormat : std::uint8_t {
    policy,
    rfc3339,
    rfc3339_millis,
    rfc3339_offset,
    unix_seconds,
    unix_millis
};

/// How an absent optional is written.
enum class Absent : std::uint8_t { policy, omit, null };

/// What a description cannot say about a member. A note that names no member does not compile.
struct Note {
    char const* field = "";         // the C++ member
    char const* wire = nullptr;     // its name on the wire, if that is not the member's
    char const* doc = nullptr;      // for OpenAPI
    char const* aliases = nullptr;  // further accepted names, separated by commas
    char const* format = nullptr;   // JSON Schema `format`; nothing is checked
    char const* pattern = nullptr;  // PCRE2 syntax, searched (anchor it yourself), strings only
    char const* label = nullptr;    // the name a dialect shows instead ("TimeoutMs" in Go's validator texts)
    double min = -std::numeric_limits<double>::infinity();
    double max = std::numeric_limits<double>::infinity();
    std::uint32_t min_len = 0;  // code points of a string, items of a list or map
    std::uint32_t max_len = std::numeric_limits<std::uint32_t>::max();
    Place place = Place::body;
    bool defaulted : 1 = false;      // may be absent: the initialiser stays and is the schema's default
    bool required : 1 = false;       // must be present even under Policy::absent_is_zero
    bool non_empty : 1 = false;      // Go's `required`: neither absent nor "", 0, false, [] or {}
    bool exclusive_min : 1 = false;  // `min` itself is refused
    bool exclusive_max : 1 = false;
    bool omit_empty : 1 = false;  // Go's `omitempty`: "", 0, false, [], {} are not written
    bool as_text : 1 = false;     // an integer that is a JSON string on the wire
    bool hidden : 1 = false;      // accepted and written, not documented
    Absent absent = Absent::policy;
    TimeFormat time = TimeFormat::policy;
};

struct Ops;

struct ListView {
    std::byte const* data;
    std::size_t size;
};
struct ListShape {
    void* (*grow)(void* list);
    ListView (*view)(void const* list);
    void (*clear)(void* list);
    std::size_t stride;
};

using MapVisitor = void (*)(void* context, std::string const& key, void const* value);
struct MapShape {
    void* (*slot)(void* map, std::string const& key);
    void (*each)(void const* map, void* context, MapVisitor);
    void (*clear)(void* map);
    std::size_t (*size)(void const* map);
};

/// optional, Nullable and Tri.
struct BoxShape {
    void* (*emplace)(void* box);
    void (*reset)(void* box, Presence to);
    void const* (*get)(void const* box);  // null unless there is a value
    Presence (*presence)(void const* box);
};

struct ChoiceShape {
    void* (*emplace)(void* variant, std::size_t index);
    std::size_t (*index)(void const* variant);
    void const* (*get)(void const* variant);
    Ops const* const* alternatives;
    std::size_t count;
    char const* tag;                 // the discriminator's wire name, null for a plain union
    std::string_view const* values;  // its value per alternative, null for a plain union
};

struct EnumItem {
    std::string_view name;
    std::int64_t value;
};
struct EnumShape {
    std::string_view name;
    EnumItem const* items;
    std::size_t count;
    bool literal;  // faults say `literal_error` (pydantic's Literal) and the schema is written in place
    bool numeric;  // the number itself is on the wire
};

struct Field {
    std::string_view name;  // on the wire
    char const* member;     // in C++
    Ops const* ops;
    Note const* note;  // never null
};

inline constexpr std::size_t kMaxFields = 64;

struct ObjectShape {
    std::string_view name;       // the type's name, "RunCommandRequest"
    std::string_view full_name;  // with its namespaces
    char const* doc;             // or null
    Field const* fields;
    std::size_t count;
    void (*locate)(void* object, void** members);  // the address of every member, in the order of `fields`
    void (*with_default)(void* context, void (*use)(void* context, void const* object));  // a fresh T{}

    [[nodiscard]] std::span<Field const> all() const { return {fields, count}; }
};

/// One type. Routes hold `Ops const*` for their request and their answers.
struct Ops {
    Kind kind;
    std::uint8_t width = 0;  // bytes of an integer, number or enumeration
    bool is_signed = false;
    Ops const* element = nullptr;  // of list, map, optional, nullable, tri
    union Shape {
        void const* none;
        ListShape const* list;
        MapShape const* map;
        BoxShape const* box;
        ChoiceShape const* choice;
        EnumShape const* enumeration;
        ObjectShape const* object;
        std::string_view const* literal;
    } shape{.none = nullptr};

    [[nodiscard]] bool may_be_absent() const { return kind == Kind::optional || kind == Kind::tri; }
};

}  // namespace execd::wire
