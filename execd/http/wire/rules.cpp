#include "execd/http/wire/decoder.hpp"
#include "execd/http/wire/pattern.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire::detail {

namespace {
std::string plural(std::size_t n, std::string_view word) {
    return std::to_string(n) + " " + std::string(word) + (n == 1 ? "" : "s");
}
}  // namespace

bool Decoder::rules(Ops const& boxed_ops, void const* boxed_value, Note const& note, Json const& in,
                    At const& at) {
    Ops const& ops = unboxed(boxed_ops);
    void const* const value = unboxed(boxed_ops, boxed_value);
    if (note.non_empty && (value == nullptr || is_zero(ops, value))) {
        return fail(at, Stage::rule, "non_empty", "Input should not be empty", &in, &boxed_ops);
    }
    if (value == nullptr) return true;
    switch (ops.kind) {
        case Kind::integer:
            return number_rules(static_cast<double>(load_integer(ops, value)), note, in, at, ops);
        case Kind::number: return number_rules(load_number(ops, value), note, in, at, ops);
        case Kind::string: return string_rules(*static_cast<std::string const*>(value), note, in, at, ops);
        case Kind::bytes: return size_rules(static_cast<Bytes const*>(value)->data.size(), note, in, at, ops);
        case Kind::list: return size_rules(ops.shape.list->view(value).size, note, in, at, ops);
        case Kind::map: return size_rules(ops.shape.map->size(value), note, in, at, ops);
        default: return true;
    }
}

bool Decoder::number_rules(double value, Note const& note, Json const& in, At const& at, Ops const& ops) {
    if (note.exclusive_min ? value <= note.min : value < note.min) {
        auto const limit = decimal(note.min);
        return note.exclusive_min
                   ? fail(at, Stage::rule, "greater_than", "Input should be greater than " + limit, &in, &ops,
                          {{"gt", limit}})
                   : fail(at, Stage::rule, "greater_than_equal",
                          "Input should be greater than or equal to " + limit, &in, &ops, {{"ge", limit}});
    }
    if (note.exclusive_max ? value >= note.max : value > note.max) {
        auto const limit = decimal(note.max);
        return note.exclusive_max
                   ? fail(at, Stage::rule, "less_than", "Input should be less than " + limit, &in, &ops,
                          {{"lt", limit}})
                   : fail(at, Stage::rule, "less_than_equal",
                          "Input should be less than or equal to " + limit, &in, &ops, {{"le", limit}});
    }
    return true;
}

bool Decoder::string_rules(std::string_view text, Note const& note, Json const& in, At const& at,
                           Ops const& ops) {
    // Counting is needed only where bytes alone cannot tell.
    if (text.size() < note.min_len || (note.min_len > 0 && code_points(text) < note.min_len)) {
        return fail(at, Stage::rule, "string_too_short",
                    "String should have at least " + plural(note.min_len, "character"), &in, &ops,
                    {{"min_length", std::to_string(note.min_len)}});
    }
    if (text.size() > note.max_len && code_points(text) > note.max_len) {
        return fail(at, Stage::rule, "string_too_long",
                    "String should have at most " + plural(note.max_len, "character"), &in, &ops,
                    {{"max_length", std::to_string(note.max_len)}});
    }
    if (note.pattern != nullptr && !matches(note.pattern, text)) {
        return fail(at, Stage::rule, "string_pattern_mismatch",
                    "String should match pattern '" + std::string(note.pattern) + "'", &in, &ops,
                    {{"pattern", json_quoted(note.pattern)}});
    }
    return true;
}

bool Decoder::size_rules(std::size_t size, Note const& note, Json const& in, At const& at, Ops const& ops) {
    std::string const what = ops.kind == Kind::list ? "List" : ops.kind == Kind::map ? "Dictionary" : "Data";
    bool const is_short = size < note.min_len;
    if (!is_short && size <= note.max_len) return true;
    std::size_t const limit = is_short ? note.min_len : note.max_len;
    if (ops.kind == Kind::bytes) {
        return fail(at, Stage::rule, is_short ? "bytes_too_short" : "bytes_too_long",
                    what + " should have at " + (is_short ? "least " : "most ") + plural(limit, "byte"), &in,
                    &ops, {{is_short ? "min_length" : "max_length", std::to_string(limit)}});
    }
    return fail(at, Stage::rule, is_short ? "too_short" : "too_long",
                what + " should have at " + (is_short ? "least " : "most ") + plural(limit, "item") +
                    " after validation, not " + std::to_string(size),
                &in, &ops,
                {{"field_type", json_quoted(what)},
                 {is_short ? "min_length" : "max_length", std::to_string(limit)},
                 {"actual_length", std::to_string(size)}});
}

}  // namespace execd::wire::detail
