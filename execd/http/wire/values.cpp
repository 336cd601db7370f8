#include "execd/http/wire/values.hpp"

#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "execd/http/wire/json_text.hpp"

namespace execd::wire::detail {

namespace {
template <class T>
T load(void const* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}
template <class T>
void store(void* at, T value) {
    std::memcpy(at, &value, sizeof value);
}
}  // namespace

__int128 load_integer(Ops const& ops, void const* at) {
    switch (ops.width) {
        case 1: return ops.is_signed ? __int128{load<std::int8_t>(at)} : __int128{load<std::uint8_t>(at)};
        case 2: return ops.is_signed ? __int128{load<std::int16_t>(at)} : __int128{load<std::uint16_t>(at)};
        case 4: return ops.is_signed ? __int128{load<std::int32_t>(at)} : __int128{load<std::uint32_t>(at)};
        default: return ops.is_signed ? __int128{load<std::int64_t>(at)} : __int128{load<std::uint64_t>(at)};
    }
}

void store_integer(Ops const& ops, void* at, __int128 value) {
    switch (ops.width) {
        case 1: return store(at, static_cast<std::uint8_t>(value));
        case 2: return store(at, static_cast<std::uint16_t>(value));
        case 4: return store(at, static_cast<std::uint32_t>(value));
        default: return store(at, static_cast<std::uint64_t>(value));
    }
}

__int128 least(Ops const& ops) { return ops.is_signed ? -(__int128{1} << (ops.width * 8 - 1)) : 0; }
__int128 greatest(Ops const& ops) { return (__int128{1} << (ops.width * 8 - (ops.is_signed ? 1 : 0))) - 1; }

double load_number(Ops const& ops, void const* at) {
    return ops.width == sizeof(float) ? static_cast<double>(load<float>(at)) : load<double>(at);
}
void store_number(Ops const& ops, void* at, double value) {
    if (ops.width == sizeof(float)) return store(at, static_cast<float>(value));
    store(at, value);
}

Ops const& unboxed(Ops const& ops) {
    Ops const* inner = &ops;
    while (inner->kind == Kind::optional || inner->kind == Kind::nullable || inner->kind == Kind::tri) {
        inner = inner->element;
    }
    return *inner;
}

void const* unboxed(Ops const& ops, void const* at) {
    Ops const* inner = &ops;
    while (at != nullptr &&
           (inner->kind == Kind::optional || inner->kind == Kind::nullable || inner->kind == Kind::tri)) {
        at = inner->shape.box->get(at);
        inner = inner->element;
    }
    return at;
}

bool is_zero(Ops const& ops, void const* at) {
    if (at == nullptr) return true;
    switch (ops.kind) {
        case Kind::boolean: return !load<bool>(at);
        case Kind::integer: return load_integer(ops, at) == 0;
        case Kind::number: return load_number(ops, at) == 0;
        case Kind::string: return static_cast<std::string const*>(at)->empty();
        case Kind::bytes: return static_cast<Bytes const*>(at)->data.empty();
        case Kind::json: return static_cast<Json const*>(at)->is_null();
        case Kind::json_text: return static_cast<JsonText const*>(at)->text == "null";
        case Kind::list: return ops.shape.list->view(at).size == 0;
        case Kind::map: return ops.shape.map->size(at) == 0;
        case Kind::optional:
        case Kind::nullable:
        case Kind::tri: return ops.shape.box->presence(at) != Presence::value;
        default: return false;  // Go never leaves out a struct or a time
    }
}

std::string decimal(__int128 value) {
    if (value == 0) return "0";
    bool const minus = value < 0;
    std::string out;
    for (; value != 0; value /= 10)
        out.insert(out.begin(), static_cast<char>('0' + (minus ? -(value % 10) : value % 10)));
    if (minus) out.insert(out.begin(), '-');
    return out;
}

std::string decimal(double value) {
    if (std::abs(value) < 9e15 && value == std::floor(value)) return decimal(static_cast<__int128>(value));
    std::string out;
    append_json_double(out, value);
    return out;
}

std::size_t code_points(std::string_view utf8) {
    std::size_t n = 0;
    for (char const c : utf8) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return n;
}

bool same_any_case(std::string_view a, std::string_view b) {
    auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

std::string json_quoted(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

}  // namespace execd::wire::detail
