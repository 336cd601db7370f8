// The value types that wire structs are made of beside the standard ones (bool, integers, double,
// std::string, std::vector, std::map<std::string, T>, std::optional, std::variant, described enums and
// structs).
#pragma once
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace execd::wire {

using Json = nlohmann::json;

/// Where a member of a request is found. `rest` collects the body's unknown keys (std::map<std::string,
/// Json>), `whole` is the entire body (for a route that has path parameters beside a body that is a list,
/// say).
enum class Place : std::uint8_t { body, path, query, header, form, whole, rest };

enum class Presence : std::uint8_t { absent, null, value };

/// A member of a PATCH body: not mentioned, set to null, or set to a value.
template <class T>
class Tri {
  public:
    Tri() = default;
    Tri(std::nullptr_t) : presence_(Presence::null) {}                      // NOLINT: reads like the document
    Tri(T value) : value_(std::move(value)), presence_(Presence::value) {}  // NOLINT

    [[nodiscard]] Presence presence() const { return presence_; }
    [[nodiscard]] bool absent() const { return presence_ == Presence::absent; }
    [[nodiscard]] bool is_null() const { return presence_ == Presence::null; }
    [[nodiscard]] bool has_value() const { return presence_ == Presence::value; }
    [[nodiscard]] T const& operator*() const { return *value_; }
    [[nodiscard]] T const* operator->() const { return &*value_; }
    T& emplace() {
        presence_ = Presence::value;
        return value_.emplace();
    }
    void reset(Presence to) {
        value_.reset();
        presence_ = to;
    }
    bool operator==(Tri const&) const = default;

  private:
    std::optional<T> value_;
    Presence presence_ = Presence::absent;
};

/// Must be present, may be null.
template <class T>
struct Nullable {
    std::optional<T> value;
    bool operator==(Nullable const&) const = default;
};

/// Any bytes; base64 text on the wire.
struct Bytes {
    std::string data;
    bool operator==(Bytes const&) const = default;
};

/// A point of wall-clock time; its text form is a policy (TimeFormat) or a note.
struct Timestamp {
    std::chrono::sys_time<std::chrono::nanoseconds> at{};
    auto operator<=>(Timestamp const&) const = default;
};

/// A JSON value kept as text: passed through, looked at by nobody. Unlike Json it needs no json.hpp in the
/// header.
struct JsonText {
    std::string text = "null";
    bool operator==(JsonText const&) const = default;
};

/// The text of a Literal, as a template argument.
template <std::size_t N>
struct FixedText {
    char text[N]{};
    constexpr FixedText(char const (&from)[N]) {  // NOLINT: a string literal is the point
        for (std::size_t i = 0; i < N; ++i) text[i] = from[i];
    }
};

/// A member with one allowed value: the `const` of a schema and the tag of a union's alternative.
template <FixedText Text>
struct Literal {
    static constexpr std::string_view value{Text.text, sizeof(Text.text) - 1};
    bool operator==(Literal const&) const = default;
};

}  // namespace execd::wire
