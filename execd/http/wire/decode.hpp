// The decoder: one interpreter for every described struct. It fills a struct from a request's body, form,
// path, query and headers under a dialect's policy and reports every fault with its location. Pure, no
// exceptions, any thread.
#pragma once
#include <span>
#include <string_view>

#include "execd/http/wire/fault.hpp"
#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/ops.hpp"

namespace execd::wire {

template <class T>
struct Codec;

enum class BoolText : std::uint8_t {
    none,
    basic,  // "true" "false" "1" "0"
    words,  // also yes no on off t f y n, any case, as pydantic does
};

/// How lenient a dialect is. The values of path, query, header and form are text: there numbers and booleans
/// are always read from text, with pydantic's words if `bool_text` says so.
struct Policy {
    bool any_case_keys = false;   // exact match first, then ASCII case-insensitive
    bool null_is_absent = false;  // for every member but optional, Nullable, Tri
    bool absent_is_zero = false;  // Go: only members noted `required` or `non_empty` must be there
    bool number_from_string = false;
    bool number_from_bool = false;
    bool string_from_number = false;
    bool bool_from_number = false;  // 0 and 1
    BoolText bool_text = BoolText::none;
    bool whole_float_is_int = false;  // 1.0 for an integer; 1.5 never
    bool reject_unknown = false;      // unknown keys of body objects
    bool empty_body_is_object = false;
    bool first_fault_only = false;
    bool union_branches = true;     // a plain union that fits nothing: the faults of every branch, or one
    bool last_of_repeated = false;  // ?a=1&a=2 for a single value: the last one (Starlette) or the first (Go)
    TimeFormat time = TimeFormat::unix_millis;  // what a number means for a Timestamp; text is RFC 3339
    ParsePolicy parse{};
};

/// A name and its decoded text. Views into the caller's request.
struct TextPair {
    std::string_view name;
    std::string_view value;
};

/// Where values come from; everything is borrowed for the call. `body` wins over `body_text`, which is parsed
/// here.
struct Sources {
    Json const* body = nullptr;
    std::string_view body_text{};
    std::span<TextPair const> form{};
    std::span<TextPair const> path{};
    std::span<TextPair const> query{};
    std::span<TextPair const> headers{};  // names in any case
};

/// True if some member is read from the body: otherwise a body is not looked at (and need not be read).
[[nodiscard]] bool wants_body(Ops const&);
[[nodiscard]] bool wants_form(Ops const&);

/// Fills `out` (a live object of the type that `ops` describes). False if at least one fault was added; `out`
/// then holds what could be read. If `ops` is no struct the whole body is decoded into it.
bool decode(Ops const& ops, void* out, Sources const&, Policy const&, Faults&);

template <class T>
bool decode(T& out, Sources const& from, Policy const& policy, Faults& faults) {
    return decode(Codec<T>::ops, &out, from, policy, faults);
}

/// The fault of a body that is not JSON: `json_invalid` at ["body", position].
[[nodiscard]] Fault syntax_fault(JsonError const&);

}  // namespace execd::wire
