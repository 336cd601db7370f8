#include "execd/http/wire/formats.hpp"

#include <charconv>
#include <cstdint>

namespace execd::wire {

namespace {

void append_padded(std::string& out, unsigned value, int width) {
    char text[10];
    for (int i = width - 1; i >= 0; --i, value /= 10) text[i] = static_cast<char>('0' + value % 10);
    out.append(text, static_cast<std::size_t>(width));
}

// Reads exactly `width` digits from the front of `text`.
bool take_number(std::string_view& text, std::size_t width, int& value) {
    if (text.size() < width) return false;
    value = 0;
    for (std::size_t i = 0; i < width; ++i) {
        if (text[i] < '0' || text[i] > '9') return false;
        value = value * 10 + (text[i] - '0');
    }
    text.remove_prefix(width);
    return true;
}
bool take_one_of(std::string_view& text, std::string_view set) {
    if (text.empty() || set.find(text.front()) == set.npos) return false;
    text.remove_prefix(1);
    return true;
}

// ".123456789" and longer (cut to nanoseconds); no fraction is fine.
bool take_fraction(std::string_view& text, std::int64_t& nanos) {
    nanos = 0;
    if (!take_one_of(text, ".,")) return true;
    int digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1)) {
        if (digits < 9) nanos = nanos * 10 + (text.front() - '0');
        ++digits;
    }
    if (digits == 0) return false;
    for (; digits < 9; ++digits) nanos *= 10;
    return true;
}

bool take_offset(std::string_view text, std::chrono::minutes& offset) {
    offset = {};
    if (text.empty() || text == "Z" || text == "z") return true;
    bool const minus = text.front() == '-';
    int hours = 0;
    int minutes = 0;
    if (!take_one_of(text, "+-") || !take_number(text, 2, hours)) return false;
    take_one_of(text, ":");
    if (!take_number(text, 2, minutes) || !text.empty() || hours > 23 || minutes > 59) return false;
    offset = std::chrono::minutes(hours * 60 + minutes) * (minus ? -1 : 1);
    return true;
}

}  // namespace

void append_time(std::string& out, Timestamp time, TimeFormat format) {
    using namespace std::chrono;
    auto const day = floor<days>(time.at);
    year_month_day const date(day);
    hh_mm_ss const clock(time.at - day);
    append_padded(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
    out += '-';
    append_padded(out, static_cast<unsigned>(date.month()), 2);
    out += '-';
    append_padded(out, static_cast<unsigned>(date.day()), 2);
    out += 'T';
    append_padded(out, static_cast<unsigned>(clock.hours().count()), 2);
    out += ':';
    append_padded(out, static_cast<unsigned>(clock.minutes().count()), 2);
    out += ':';
    append_padded(out, static_cast<unsigned>(clock.seconds().count()), 2);
    auto const nanos = static_cast<unsigned>(clock.subseconds().count());
    if (format == TimeFormat::rfc3339_millis) {
        out += '.';
        append_padded(out, nanos / 1'000'000, 3);
    } else if (format == TimeFormat::rfc3339_offset) {
        out += '.';
        append_padded(out, nanos / 1'000, 6);
        out += "+00:00";
        return;
    } else if (nanos != 0) {
        out += '.';
        append_padded(out, nanos, 9);
        while (out.back() == '0') out.pop_back();
    }
    out += 'Z';
}

std::optional<Timestamp> parse_time(std::string_view text) {
    using namespace std::chrono;
    int y = 0;
    int mo = 0;
    int d = 0;
    int h = 0;
    int mi = 0;
    int s = 0;
    std::int64_t nanos = 0;
    minutes offset{};
    bool const date = take_number(text, 4, y) && take_one_of(text, "-") && take_number(text, 2, mo) &&
                      take_one_of(text, "-") && take_number(text, 2, d);
    if (!date || !take_one_of(text, "Tt ")) return std::nullopt;
    bool const clock = take_number(text, 2, h) && take_one_of(text, ":") && take_number(text, 2, mi) &&
                       take_one_of(text, ":") && take_number(text, 2, s);
    if (!clock || h > 23 || mi > 59 || s > 60 || !take_fraction(text, nanos) || !take_offset(text, offset))
        return std::nullopt;
    year_month_day const day(year(y), month(static_cast<unsigned>(mo)),
                             std::chrono::day(static_cast<unsigned>(d)));
    // Nanoseconds in 64 bits reach from 1677 to 2262.
    if (!day.ok() || y < 1678 || y > 2261) return std::nullopt;
    auto const whole = sys_days(day) + hours(h) + minutes(mi) + seconds(s) - offset;
    return Timestamp{time_point_cast<nanoseconds>(whole) + nanoseconds(nanos)};
}

}  // namespace execd::wire
