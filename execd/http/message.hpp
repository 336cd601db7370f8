// What a request head and a set of answer headers look like to everybody above the wire.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace execd::http {

/// A parsed request head. Views point into `raw`, which the head owns: it can be moved only before parsing.
struct Head {
    struct Field {
        std::string_view name;
        std::string_view value;
    };
    std::string raw;
    std::string_view method;
    std::string_view target;  // as on the request line
    std::string_view host;    // of the absolute target, else the Host field
    std::string_view path;    // raw: not decoded, without the query
    std::string_view query;   // raw, without the '?'
    std::vector<Field> fields;
    unsigned minor_version = 1;  // HTTP/1.x
    bool chunked = false;
    bool keep_alive = true;
    bool expect_continue = false;
    bool bad_expectation = false;  // an Expect that nobody can meet: 417
    bool upgrade = false;          // Connection: upgrade and an Upgrade header
    std::optional<std::uint64_t> content_length;

    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
    [[nodiscard]] bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
    /// True when the comma separated list of header `name` holds `token`.
    [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const noexcept;
};

/// Why a head was refused: answered in the shape of the path's owner where there is a path, else as plain
/// text.
struct HeadRefusal {
    unsigned status = 400;
    std::string reason;
};

/// Scans (smuggling rules) and parses `head.raw`, which ends with the empty line. Fills `head`.
[[nodiscard]] std::optional<HeadRefusal> parse_head(Head& head);

/// Headers of an answer, in order; names are unique unless added on purpose (Set-Cookie).
class Headers {
  public:
    void set(std::string_view name, std::string value);
    void add(std::string_view name, std::string value) {
        list_.emplace_back(std::string(name), std::move(value));
    }
    void remove(std::string_view name);
    [[nodiscard]] std::string const* find(std::string_view name) const noexcept;
    [[nodiscard]] auto begin() const { return list_.begin(); }
    [[nodiscard]] auto end() const { return list_.end(); }
    [[nodiscard]] bool empty() const { return list_.empty(); }

  private:
    std::vector<std::pair<std::string, std::string>> list_;
};

/// "OK", "Not Found"; an empty text for unknown numbers.
[[nodiscard]] std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace execd::http
