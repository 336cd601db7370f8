#include "execd/http/ranges.hpp"

#include <algorithm>
#include <limits>

#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"

namespace execd::http {

namespace {

constexpr auto kMaxPosition = std::numeric_limits<std::uint64_t>::max();

// Digits only; a number over 64 bits is as good as the largest one: it is past every end.
std::optional<std::uint64_t> parse_position(std::string_view text) {
    if (text.empty() || !all_in(text, kDigitByte)) return std::nullopt;
    std::uint64_t value = 0;
    for (char const c : text) {
        auto const digit = static_cast<std::uint64_t>(c - '0');
        if (value > (kMaxPosition - digit) / 10) return kMaxPosition;
        value = value * 10 + digit;
    }
    return value;
}

std::optional<RangeSpec> parse_spec(std::string_view text) {
    std::size_t const dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    std::string_view const left = trim(text.substr(0, dash));
    std::string_view const right = trim(text.substr(dash + 1));
    RangeSpec spec;
    if (!left.empty() && !(spec.first = parse_position(left))) return std::nullopt;
    if (!right.empty() && !(spec.last = parse_position(right))) return std::nullopt;
    if (!spec.first && !spec.last) return std::nullopt;
    if (spec.first && spec.last && *spec.first > *spec.last) return std::nullopt;
    return spec;
}

// nullopt: not satisfiable.
std::optional<ByteRange> resolve(RangeSpec const& spec, std::uint64_t size) {
    if (size == 0) return std::nullopt;
    if (!spec.first) {
        std::uint64_t const length = std::min(*spec.last, size);
        if (length == 0) return std::nullopt;
        return ByteRange{size - length, length};
    }
    if (*spec.first >= size) return std::nullopt;
    std::uint64_t const last = std::min(spec.last.value_or(kMaxPosition), size - 1);
    return ByteRange{*spec.first, last - *spec.first + 1};
}

// Overlapping and touching ranges become one; ranges that do neither keep the order that was asked for.
void join(std::vector<ByteRange>& ranges) {
    std::vector<ByteRange> sorted = ranges;
    std::sort(sorted.begin(), sorted.end(),
              [](ByteRange const& a, ByteRange const& b) { return a.first < b.first; });
    std::vector<ByteRange> joined;
    for (auto const& range : sorted) {
        if (joined.empty() || range.first > joined.back().first + joined.back().length) {
            joined.push_back(range);
            continue;
        }
        ByteRange& last = joined.back();
        last.length = std::max(last.first + last.length, range.first + range.length) - last.first;
    }
    if (joined.size() < ranges.size()) ranges = std::move(joined);
}

}  // namespace

RangeSet parse_range(std::string_view text, std::size_t max_ranges) {
    RangeSet out;
    text = trim(text);
    if (text.empty()) return out;
    std::size_t const equals = text.find('=');
    out.syntax = RangeSyntax::malformed;
    if (equals == std::string_view::npos || !is_token(text.substr(0, equals))) return out;
    if (!iequals(text.substr(0, equals), "bytes")) {
        out.syntax = RangeSyntax::other_unit;
        return out;
    }
    text.remove_prefix(equals + 1);
    while (!text.empty()) {
        std::size_t const comma = std::min(text.find(','), text.size());
        std::string_view const piece = trim(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
        if (piece.empty()) continue;
        auto const spec = parse_spec(piece);
        if (!spec) {
            out.specs.clear();
            return out;
        }
        if (out.specs.size() == max_ranges) {
            out.specs.clear();
            out.syntax = RangeSyntax::too_many;
            return out;
        }
        out.specs.push_back(*spec);
    }
    if (!out.specs.empty()) out.syntax = RangeSyntax::ok;
    return out;
}

RangePlan plan_ranges(RangeSet const& set, std::uint64_t size, RangePolicy policy) {
    RangePlan plan;
    if (set.syntax == RangeSyntax::malformed && policy.refuse_malformed)
        plan.outcome = RangeOutcome::malformed;
    if (set.syntax != RangeSyntax::ok) return plan;
    if (policy.multi == MultiRange::ignore && set.specs.size() > 1) return plan;
    if (size == 0 && policy.empty_is_full) return plan;
    std::uint64_t total = 0;
    for (auto const& spec : set.specs) {
        auto const range = resolve(spec, size);
        if (!range) continue;
        plan.ranges.push_back(*range);
        if (policy.multi == MultiRange::first_satisfiable) break;
        // Asking for the same bytes again and again is no way to get more than there is.
        if (range->length > size - total) return {};
        total += range->length;
    }
    if (plan.ranges.empty()) {
        plan.outcome = RangeOutcome::unsatisfiable;
        return plan;
    }
    plan.outcome = RangeOutcome::partial;
    join(plan.ranges);
    return plan;
}

RangePlan plan_ranges(std::string_view range_field, std::uint64_t size, RangePolicy policy) {
    return plan_ranges(parse_range(range_field), size, policy);
}

std::string content_range(ByteRange range, std::uint64_t size) {
    return "bytes " + std::to_string(range.first) + '-' + std::to_string(range.first + range.length - 1) +
           '/' + std::to_string(size);
}

std::string content_range_unsatisfied(std::uint64_t size) { return "bytes */" + std::to_string(size); }

namespace {

struct Tag {
    bool weak = false;
    std::string_view opaque;  // with its quotes
};

// The entity tag at the start of `rest`; takes it off.
std::optional<Tag> take_tag(std::string_view& rest) noexcept {
    Tag tag;
    std::string_view text = rest;
    if (text.starts_with("W/")) {
        tag.weak = true;
        text.remove_prefix(2);
    }
    if (!text.starts_with('"')) return std::nullopt;
    std::size_t const close = text.find('"', 1);
    if (close == std::string_view::npos) return std::nullopt;
    tag.opaque = text.substr(0, close + 1);
    rest = text.substr(close + 1);
    return tag;
}

std::optional<Tag> only_tag(std::string_view text) noexcept {
    text = trim(text);
    auto tag = take_tag(text);
    return text.empty() ? tag : std::nullopt;
}

bool tags_equal(Tag const& a, Tag const& b, bool strong) noexcept {
    return a.opaque == b.opaque && !(strong && (a.weak || b.weak));
}

// If-Match / If-None-Match against what is there now.
bool matches(std::string_view list, Validators const& now, bool strong) noexcept {
    if (trim(list) == "*") return now.exists;
    return now.exists && etag_list_has(list, now.etag, strong);
}

}  // namespace

bool etag_strong_equal(std::string_view a, std::string_view b) noexcept {
    auto const left = only_tag(a);
    auto const right = only_tag(b);
    return left && right && tags_equal(*left, *right, true);
}

bool etag_weak_equal(std::string_view a, std::string_view b) noexcept {
    auto const left = only_tag(a);
    auto const right = only_tag(b);
    return left && right && tags_equal(*left, *right, false);
}

bool etag_list_has(std::string_view list, std::string_view etag, bool strong) noexcept {
    auto const wanted = only_tag(etag);
    if (!wanted) return false;
    for (;;) {
        while (!list.empty() && (list[0] == ' ' || list[0] == '\t' || list[0] == ',')) list.remove_prefix(1);
        auto const tag = take_tag(list);
        if (!tag) return false;
        if (tags_equal(*tag, *wanted, strong)) return true;
    }
}

Precondition evaluate(Conditions const& conditions, Validators const& now) {
    if (!conditions.if_match.empty()) {
        if (!matches(conditions.if_match, now, true)) return Precondition::failed;
    } else if (auto const since = parse_http_date(conditions.if_unmodified_since); since && now.modified) {
        if (*now.modified > *since) return Precondition::failed;
    }
    if (!conditions.if_none_match.empty()) {
        if (!matches(conditions.if_none_match, now, false)) return Precondition::proceed;
        return conditions.get_or_head ? Precondition::not_modified : Precondition::failed;
    }
    if (!conditions.get_or_head || !now.modified) return Precondition::proceed;
    auto const since = parse_http_date(conditions.if_modified_since);
    return since && *now.modified <= *since ? Precondition::not_modified : Precondition::proceed;
}

bool range_applies(std::string_view if_range, Validators const& now) {
    if_range = trim(if_range);
    if (if_range.empty()) return true;
    if (if_range.starts_with('"') || if_range.starts_with("W/")) return etag_strong_equal(if_range, now.etag);
    auto const date = parse_http_date(if_range);
    return date && now.modified && *date == *now.modified;
}

}  // namespace execd::http
