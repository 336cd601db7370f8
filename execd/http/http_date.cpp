// HTTP dates of fields.hpp (RFC 9110 §5.6.7).
#include <algorithm>
#include <array>
#include <chrono>

#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"

namespace execd::http {

namespace {

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                    "Thursday", "Friday", "Saturday"};

// Reads a date from left to right; after the first thing that is not there everything else fails too.
class Cursor {
  public:
    explicit Cursor(std::string_view text) noexcept : rest_(text) {}

    bool literal(std::string_view text) noexcept {
        ok_ = ok_ && rest_.starts_with(text);
        if (ok_) rest_.remove_prefix(text.size());
        return ok_;
    }
    template <std::size_t N>
    int one_of(std::array<std::string_view, N> const& names) noexcept {
        for (std::size_t i = 0; ok_ && i < N; ++i) {
            if (!rest_.starts_with(names[i])) continue;
            rest_.remove_prefix(names[i].size());
            return static_cast<int>(i);
        }
        ok_ = false;
        return 0;
    }
    int number(std::size_t digits) noexcept {
        ok_ = ok_ && rest_.size() >= digits && all_in(rest_.substr(0, digits), kDigitByte);
        if (!ok_) return 0;
        int value = 0;
        for (char const c : rest_.substr(0, digits)) value = value * 10 + (c - '0');
        rest_.remove_prefix(digits);
        return value;
    }
    int clock() noexcept {
        int const hours = number(2);
        literal(":");
        int const minutes = number(2);
        literal(":");
        int const seconds = number(2);  // 60 is a leap second
        ok_ = ok_ && hours < 24 && minutes < 60 && seconds <= 60;
        return (hours * 60 + minutes) * 60 + seconds;
    }
    [[nodiscard]] bool done() const noexcept { return ok_ && rest_.empty(); }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

  private:
    std::string_view rest_;
    bool ok_ = true;
};

struct Parts {
    int year = 0;
    int month = 0;  // 0..11
    int day = 0;
    int second = 0;  // of the day
};

std::optional<std::int64_t> to_unix(Parts const& parts) noexcept {
    namespace ch = std::chrono;
    ch::year_month_day const date{ch::year(parts.year), ch::month(static_cast<unsigned>(parts.month) + 1),
                                  ch::day(static_cast<unsigned>(parts.day))};
    if (!date.ok()) return std::nullopt;
    return static_cast<std::int64_t>(ch::sys_days(date).time_since_epoch().count()) * 86'400 + parts.second;
}

std::optional<std::int64_t> parse_imf(std::string_view text) noexcept {
    Cursor in(text);
    Parts parts;
    in.one_of(kDays);
    in.literal(", ");
    parts.day = in.number(2);
    in.literal(" ");
    parts.month = in.one_of(kMonths);
    in.literal(" ");
    parts.year = in.number(4);
    in.literal(" ");
    parts.second = in.clock();
    in.literal(" GMT");
    return in.done() ? to_unix(parts) : std::nullopt;
}

std::optional<std::int64_t> parse_rfc850(std::string_view text) noexcept {
    Cursor in(text);
    Parts parts;
    in.one_of(kLongDays);
    in.literal(", ");
    parts.day = in.number(2);
    in.literal("-");
    parts.month = in.one_of(kMonths);
    in.literal("-");
    int const year = in.number(2);
    parts.year = year + (year < 70 ? 2000 : 1900);
    in.literal(" ");
    parts.second = in.clock();
    in.literal(" GMT");
    return in.done() ? to_unix(parts) : std::nullopt;
}

std::optional<std::int64_t> parse_asctime(std::string_view text) noexcept {
    Cursor in(text);
    Parts parts;
    in.one_of(kDays);
    in.literal(" ");
    parts.month = in.one_of(kMonths);
    in.literal(" ");
    if (in.rest().starts_with(' ')) {
        in.literal(" ");
        parts.day = in.number(1);
    } else {
        parts.day = in.number(2);
    }
    in.literal(" ");
    parts.second = in.clock();
    in.literal(" ");
    parts.year = in.number(4);
    return in.done() ? to_unix(parts) : std::nullopt;
}

void append_number(std::string& out, unsigned value, int digits) {
    std::array<char, 8> text{};
    for (int i = digits - 1; i >= 0; --i) {
        text[static_cast<std::size_t>(i)] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
    out.append(text.data(), static_cast<std::size_t>(digits));
}

}  // namespace

std::string format_http_date(std::int64_t unix_seconds) {
    namespace ch = std::chrono;
    // Four digits of year are all that the format has: 0000-01-01 to 9999-12-31.
    unix_seconds = std::clamp<std::int64_t>(unix_seconds, -62'167'219'200, 253'402'300'799);
    ch::sys_seconds const time{ch::seconds(unix_seconds)};
    auto const days = ch::floor<ch::days>(time);
    ch::year_month_day const date{days};
    auto const second = static_cast<unsigned>((time - days).count());
    std::string out;
    out.reserve(29);
    out += kDays[ch::weekday(days).c_encoding()];
    out += ", ";
    append_number(out, static_cast<unsigned>(date.day()), 2);
    out += ' ';
    out += kMonths[static_cast<unsigned>(date.month()) - 1];
    out += ' ';
    append_number(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
    out += ' ';
    append_number(out, second / 3600, 2);
    out += ':';
    append_number(out, second / 60 % 60, 2);
    out += ':';
    append_number(out, second % 60, 2);
    out += " GMT";
    return out;
}

std::optional<std::int64_t> parse_http_date(std::string_view text) noexcept {
    text = trim(text);
    if (auto time = parse_imf(text)) return time;
    if (auto time = parse_rfc850(text)) return time;
    return parse_asctime(text);
}

}  // namespace execd::http
