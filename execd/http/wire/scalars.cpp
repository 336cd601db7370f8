#include <charconv>
#include <cmath>

#include "base/base64.hpp"
#include "execd/http/wire/decoder.hpp"
#include "execd/http/wire/formats.hpp"
#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire::detail {

namespace {

// The whole of `text`, surrounded by nothing.
template <class N>
bool read_all(std::string_view text, N& value) {
    if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
    auto const [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    return ec == std::errc{} && stop == text.data() + text.size();
}

std::optional<bool> bool_of(std::string_view text, BoolText accepted) {
    if (accepted == BoolText::none) return std::nullopt;
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    if (accepted == BoolText::basic) return std::nullopt;
    for (auto const* yes : {"true", "t", "yes", "y", "on"}) {
        if (same_any_case(text, yes)) return true;
    }
    for (auto const* no : {"false", "f", "no", "n", "off"}) {
        if (same_any_case(text, no)) return false;
    }
    return std::nullopt;
}

constexpr double kExactLimit = 9007199254740992.0;  // 2^53

}  // namespace

bool Decoder::boolean(Ops const& ops, void* out, Json const& in, At const& at) {
    if (in.is_boolean()) {
        *static_cast<bool*>(out) = in.get<bool>();
        return true;
    }
    if (in.is_number() && policy_.bool_from_number) {
        auto const n = in.get<double>();
        if (n == 0 || n == 1) {
            *static_cast<bool*>(out) = n == 1;
            return true;
        }
        return fail(at, Stage::type, "bool_parsing",
                    "Input should be a valid boolean, unable to interpret input", &in, &ops);
    }
    if (in.is_string() && policy_.bool_text != BoolText::none) {
        if (auto const b = bool_of(in.get_ref<std::string const&>(), policy_.bool_text)) {
            *static_cast<bool*>(out) = *b;
            return true;
        }
        return fail(at, Stage::type, "bool_parsing",
                    "Input should be a valid boolean, unable to interpret input", &in, &ops);
    }
    return fail(at, Stage::type, "bool_type", "Input should be a valid boolean", &in, &ops);
}

bool Decoder::store_in_range(Ops const& ops, void* out, __int128 value, Json const& in, At const& at) {
    if (value < least(ops)) {
        auto const limit = decimal(least(ops));
        return fail(at, Stage::type, "greater_than_equal",
                    "Input should be greater than or equal to " + limit, &in, &ops, {{"ge", limit}});
    }
    if (value > greatest(ops)) {
        auto const limit = decimal(greatest(ops));
        return fail(at, Stage::type, "less_than_equal", "Input should be less than or equal to " + limit, &in,
                    &ops, {{"le", limit}});
    }
    store_integer(ops, out, value);
    return true;
}

bool Decoder::integer_text(Ops const& ops, void* out, Json const& in, At const& at) {
    std::string_view const text = in.get_ref<std::string const&>();
    std::int64_t i = 0;
    std::uint64_t u = 0;
    if (read_all(text, i)) return store_in_range(ops, out, i, in, at);
    if (read_all(text, u)) return store_in_range(ops, out, u, in, at);
    double d = 0;
    if (policy_.whole_float_is_int && read_all(text, d) && std::abs(d) < kExactLimit && d == std::floor(d)) {
        return store_in_range(ops, out, static_cast<__int128>(d), in, at);
    }
    return fail(at, Stage::type, "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer", &in, &ops);
}

bool Decoder::integer(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    if (in.is_number_unsigned()) return store_in_range(ops, out, in.get<std::uint64_t>(), in, at);
    if (in.is_number_integer()) return store_in_range(ops, out, in.get<std::int64_t>(), in, at);
    if (in.is_number_float()) {
        auto const d = in.get<double>();
        if (std::abs(d) >= kExactLimit) {
            // Digits beyond 64 bits arrive as a double: out of range, whatever the exact value was.
            return store_in_range(ops, out, d < 0 ? least(ops) - 1 : greatest(ops) + 1, in, at);
        }
        if (policy_.whole_float_is_int && d == std::floor(d)) {
            return store_in_range(ops, out, static_cast<__int128>(d), in, at);
        }
        return fail(at, Stage::type, "int_from_float",
                    "Input should be a valid integer, got a number with a fractional part", &in, &ops);
    }
    if (in.is_string() && (policy_.number_from_string || note.as_text)) return integer_text(ops, out, in, at);
    if (in.is_boolean() && policy_.number_from_bool)
        return store_in_range(ops, out, in.get<bool>() ? 1 : 0, in, at);
    return fail(at, Stage::type, "int_type", "Input should be a valid integer", &in, &ops);
}

bool Decoder::number(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    double value = 0;
    if (in.is_number()) {
        value = in.get<double>();
    } else if (in.is_string() && (policy_.number_from_string || note.as_text)) {
        if (!read_all(in.get_ref<std::string const&>(), value) || !std::isfinite(value)) {
            return fail(at, Stage::type, "float_parsing",
                        "Input should be a valid number, unable to parse string as a number", &in, &ops);
        }
    } else if (in.is_boolean() && policy_.number_from_bool) {
        value = in.get<bool>() ? 1 : 0;
    } else {
        return fail(at, Stage::type, "float_type", "Input should be a valid number", &in, &ops);
    }
    if (ops.width == sizeof(float) && std::abs(value) > 3.4028234663852886e38) {
        return fail(at, Stage::type, "finite_number", "Input should be a finite number", &in, &ops);
    }
    store_number(ops, out, value);
    return true;
}

bool Decoder::string(Ops const& ops, void* out, Json const& in, At const& at) {
    auto& text = *static_cast<std::string*>(out);
    if (in.is_string()) {
        text = in.get_ref<std::string const&>();
        return true;
    }
    if (in.is_number() && policy_.string_from_number) {
        text.clear();
        append_json(text, in);
        return true;
    }
    return fail(at, Stage::type, "string_type", "Input should be a valid string", &in, &ops);
}

bool Decoder::bytes(Ops const& ops, void* out, Json const& in, At const& at) {
    if (!in.is_string())
        return fail(at, Stage::type, "bytes_type", "Input should be a valid bytes", &in, &ops);
    auto decoded = base64_decode(in.get_ref<std::string const&>());
    if (!decoded) {
        return fail(at, Stage::type, "bytes_invalid_encoding", "Data should be valid base64", &in, &ops,
                    {{"encoding", "\"base64\""}});
    }
    static_cast<Bytes*>(out)->data = std::move(*decoded);
    return true;
}

bool Decoder::timestamp(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    using namespace std::chrono;
    auto& time = *static_cast<Timestamp*>(out);
    if (in.is_number()) {
        auto const format = note.time == TimeFormat::policy ? policy_.time : note.time;
        double const scale = format == TimeFormat::unix_seconds ? 1e9 : 1e6;
        // 64-bit integers of milliseconds are exact, fractions of seconds as exact as a double is.
        if (double const nanos = in.get<double>() * scale; std::abs(nanos) < 9.2e18) {
            time.at = sys_time<nanoseconds>(
                nanoseconds(in.is_number_integer() ? in.get<std::int64_t>() * static_cast<std::int64_t>(scale)
                                                   : std::llround(nanos)));
            return true;
        }
    } else if (in.is_string()) {
        if (auto const parsed = parse_time(in.get_ref<std::string const&>())) {
            time = *parsed;
            return true;
        }
    } else {
        return fail(at, Stage::type, "datetime_type", "Input should be a valid datetime", &in, &ops);
    }
    return fail(at, Stage::type, "datetime_parsing", "Input should be a valid datetime, invalid date or time",
                &in, &ops, {{"error", "\"invalid date or time\""}});
}

bool Decoder::literal(Ops const& ops, Json const& in, At const& at) {
    if (in.is_string() && in.get_ref<std::string const&>() == *ops.shape.literal) return true;
    std::string const expected = "'" + std::string(*ops.shape.literal) + "'";
    return fail(at, Stage::rule, "literal_error", "Input should be " + expected, &in, &ops,
                {{"expected", json_quoted(expected)}});
}

bool Decoder::enumeration(Ops const& ops, void* out, Json const& in, At const& at) {
    EnumShape const& shape = *ops.shape.enumeration;
    std::vector<std::string> expected;
    Json number;
    if (shape.numeric && in.is_string() && policy_.number_from_string) {
        if (std::int64_t i = 0; read_all(in.get_ref<std::string const&>(), i)) number = i;
    }
    Json const& given = number.is_null() ? in : number;
    for (std::size_t i = 0; i < shape.count; ++i) {
        EnumItem const& item = shape.items[i];
        bool const same = shape.numeric
                              ? given.is_number() && given == item.value
                              : given.is_string() && given.get_ref<std::string const&>() == item.name;
        if (same) {
            store_integer(ops, out, item.value);
            return true;
        }
        expected.push_back(shape.numeric ? decimal(__int128{item.value})
                                         : "'" + std::string(item.name) + "'");
    }
    std::string const list = one_of(expected);
    return fail(at, Stage::rule, shape.literal ? "literal_error" : "enum", "Input should be " + list, &in,
                &ops, {{"expected", json_quoted(list)}});
}

std::string one_of(std::vector<std::string> const& items) {
    std::string out;
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += i + 1 == items.size() ? " or " : ", ";
        out += items[i];
    }
    return out;
}

std::string branch_name(Ops const& ops) {
    switch (ops.kind) {
        case Kind::boolean: return "bool";
        case Kind::integer: return "int";
        case Kind::number: return "float";
        case Kind::string: return "str";
        case Kind::bytes: return "bytes";
        case Kind::timestamp: return "datetime";
        case Kind::json:
        case Kind::json_text: return "any";
        case Kind::literal: return "literal['" + std::string(*ops.shape.literal) + "']";
        case Kind::enumeration: return std::string(ops.shape.enumeration->name);
        case Kind::list: return "list[" + branch_name(*ops.element) + "]";
        case Kind::map: return "dict[str," + branch_name(*ops.element) + "]";
        case Kind::optional:
        case Kind::nullable:
        case Kind::tri: return "nullable[" + branch_name(*ops.element) + "]";
        case Kind::choice: return "union";
        case Kind::object: return std::string(ops.shape.object->name);
    }
    return {};
}

}  // namespace execd::wire::detail
