// Byte ranges and conditional requests (RFC 9110 §13, §14): what of a thing of known size and validators is
// answered. Pure; the policies are the dialects' (contracts/opensandbox.md §1.8 Download, §13.8).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace execd::http {

struct ByteRange {
    std::uint64_t first = 0;
    std::uint64_t length = 0;  // never 0
    friend bool operator==(ByteRange const&, ByteRange const&) = default;
};

/// One "a-b", "a-" or "-n" as sent: `first` absent = suffix of `last` bytes; `last` absent = open.
struct RangeSpec {
    std::optional<std::uint64_t> first;
    std::optional<std::uint64_t> last;
};

enum class RangeSyntax : std::uint8_t { absent, other_unit, malformed, too_many, ok };
struct RangeSet {
    RangeSyntax syntax = RangeSyntax::absent;
    std::vector<RangeSpec> specs;
};
/// The Range field; an empty text is `absent`.
[[nodiscard]] RangeSet parse_range(std::string_view text, std::size_t max_ranges = 64);

enum class MultiRange : std::uint8_t {
    first_satisfiable,  // one 206, the other ranges are ignored (OpenSandbox)
    all,     // multipart/byteranges; overlapping and touching ranges are joined; over the whole size -> full
    ignore,  // several ranges are answered with the whole thing
};
struct RangePolicy {
    MultiRange multi = MultiRange::ignore;
    bool refuse_malformed = false;  // false: a malformed Range is as if absent (RFC 9110 §14.2)
    bool empty_is_full = true;  // any range of an empty thing: 200 with nothing instead of 416 (OpenSandbox)
};

enum class RangeOutcome : std::uint8_t {
    full,
    partial,
    unsatisfiable /* 416 */,
    malformed /* refuse_malformed */
};
struct RangePlan {
    RangeOutcome outcome = RangeOutcome::full;
    std::vector<ByteRange> ranges;  // partial: one or more, inside the size
};
[[nodiscard]] RangePlan plan_ranges(RangeSet const& set, std::uint64_t size, RangePolicy policy = {});
/// parse_range and plan_ranges in one.
[[nodiscard]] RangePlan plan_ranges(std::string_view range_field, std::uint64_t size,
                                    RangePolicy policy = {});

/// "bytes 0-9/100"
[[nodiscard]] std::string content_range(ByteRange range, std::uint64_t size);
/// "bytes */100", for 416
[[nodiscard]] std::string content_range_unsatisfied(std::uint64_t size);

/// What the thing is now. `etag` with its quotes ("\"x\"", "W/\"x\"") or empty; `modified` in seconds since
/// 1970.
struct Validators {
    std::string_view etag = {};
    std::optional<std::int64_t> modified = {};
    bool exists = true;  // for If-Match: * and If-None-Match: *
};
/// The request's fields, empty = absent (several lines of one field joined by ", ").
struct Conditions {
    std::string_view if_match = {};
    std::string_view if_none_match = {};
    std::string_view if_modified_since = {};
    std::string_view if_unmodified_since = {};
    std::string_view if_range = {};
    bool get_or_head = true;
};
enum class Precondition : std::uint8_t { proceed, not_modified /* 304 */, failed /* 412 */ };
/// In the order of RFC 9110 §13.2.2. Unparsable dates are ignored, as the RFC says.
[[nodiscard]] Precondition evaluate(Conditions const& conditions, Validators const& now);
/// False: If-Range is there and does not hold, so Range must be ignored.
[[nodiscard]] bool range_applies(std::string_view if_range, Validators const& now);

[[nodiscard]] bool etag_strong_equal(std::string_view a, std::string_view b) noexcept;
[[nodiscard]] bool etag_weak_equal(std::string_view a, std::string_view b) noexcept;
/// True if the list of an If-Match / If-None-Match field has the tag; commas inside tags are understood.
[[nodiscard]] bool etag_list_has(std::string_view list, std::string_view etag, bool strong) noexcept;

}  // namespace execd::http
