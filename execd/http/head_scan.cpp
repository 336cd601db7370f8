#include "execd/http/head_scan.hpp"

#include <array>
#include <cstring>
#include <limits>

#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

namespace {

struct FaultRow {
    HeadFault fault;
    unsigned status;
    std::string_view text;
};

constexpr std::array kFaults{
    FaultRow{HeadFault::none, 0, ""},
    FaultRow{HeadFault::incomplete, 400, "the head has no end"},
    FaultRow{HeadFault::bare_line_end, 400, "a line does not end in CR LF"},
    FaultRow{HeadFault::control_byte, 400, "a control byte in the head"},
    FaultRow{HeadFault::bad_start_line, 400, "malformed start line"},
    FaultRow{HeadFault::bad_method, 400, "malformed method"},
    FaultRow{HeadFault::bad_target, 400, "malformed request target"},
    FaultRow{HeadFault::bad_version, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here"},
    FaultRow{HeadFault::folded_line, 400, "a folded header line"},
    FaultRow{HeadFault::bad_name, 400, "malformed header name"},
    FaultRow{HeadFault::space_before_colon, 400, "a space before the colon of a header"},
    FaultRow{HeadFault::duplicate_host, 400, "more than one Host"},
    FaultRow{HeadFault::missing_host, 400, "no Host"},
    FaultRow{HeadFault::bad_host, 400, "malformed Host"},
    FaultRow{HeadFault::duplicate_length, 400, "more than one Content-Length"},
    FaultRow{HeadFault::bad_length, 400, "malformed Content-Length"},
    FaultRow{HeadFault::length_overflow, 400, "Content-Length is out of range"},
    FaultRow{HeadFault::duplicate_transfer, 400, "more than one Transfer-Encoding"},
    FaultRow{HeadFault::unknown_transfer, 501, "the only transfer coding spoken here is chunked"},
    FaultRow{HeadFault::transfer_on_http10, 400, "Transfer-Encoding on HTTP/1.0"},
    FaultRow{HeadFault::transfer_and_length, 400, "both Transfer-Encoding and Content-Length"},
    FaultRow{HeadFault::head_too_large, 431, "the head is too large"},
    FaultRow{HeadFault::target_too_long, 414, "the request target is too long"},
    FaultRow{HeadFault::too_many_fields, 431, "too many headers"},
};

FaultRow const& row_of(HeadFault fault) noexcept {
    for (auto const& row : kFaults)
        if (row.fault == fault) return row;
    return kFaults[0];
}

// Index of the first byte that no field value may have, or the size. Eight bytes at a time: this loop sees
// nearly every byte of a head.
std::size_t field_value_run(std::string_view text) noexcept {
    constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
    constexpr std::uint64_t kHigh = 0x8080808080808080ULL;
    std::size_t i = 0;
    for (; i + 8 <= text.size(); i += 8) {
        std::uint64_t word;
        std::memcpy(&word, text.data() + i, 8);
        std::uint64_t const below_space = (word - kOnes * 0x20) & ~word & kHigh;
        std::uint64_t const no_del = word ^ (kOnes * 0x7F);
        std::uint64_t const is_del = (no_del - kOnes) & ~no_del & kHigh;
        if ((below_space | is_del) == 0) continue;
        for (std::size_t j = i; j < i + 8; ++j)
            if (!is_in(text[j], kFieldByte)) return j;  // else only tabs
    }
    while (i < text.size() && is_in(text[i], kFieldByte)) ++i;
    return i;
}

class Scanner {
  public:
    Scanner(std::string_view head, HeadLimits const& limits, bool answer) noexcept
        : rest_(head), limits_(limits), answer_(answer) {}

    HeadScan run(bool to_head) noexcept {
        HeadFault fault = scan();
        if (fault == HeadFault::none) fault = conclude();
        if (fault != HeadFault::none) {
            HeadScan refused;
            refused.fault = fault;
            return refused;
        }
        if (answer_) decide_answer_body(to_head);
        return out_;
    }

  private:
    HeadFault scan() noexcept {
        if (rest_.size() > limits_.head) return HeadFault::head_too_large;
        std::string_view line;
        if (auto const fault = take_line(line); fault != HeadFault::none) return fault;
        auto const start = answer_ ? status_line(line) : request_line(line);
        if (start != HeadFault::none) return start;
        char const* const first = rest_.data();
        for (;;) {
            char const* const begin = rest_.data();
            if (auto const fault = take_line(line); fault != HeadFault::none) return fault;
            if (line.empty()) {
                out_.field_lines = {first, static_cast<std::size_t>(begin - first)};
                return rest_.empty() ? HeadFault::none : HeadFault::bad_start_line;
            }
            if (out_.fields == limits_.fields) return HeadFault::too_many_fields;
            ++out_.fields;
            if (auto const fault = field_line(line); fault != HeadFault::none) return fault;
        }
    }

    // The next line without its CR LF. Bytes inside it are not looked at yet.
    HeadFault take_line(std::string_view& line) noexcept {
        auto const* const lf = static_cast<char const*>(std::memchr(rest_.data(), '\n', rest_.size()));
        if (lf == nullptr) return HeadFault::incomplete;
        auto const size = static_cast<std::size_t>(lf - rest_.data());
        if (size == 0 || rest_[size - 1] != '\r') return HeadFault::bare_line_end;
        line = rest_.substr(0, size - 1);
        rest_.remove_prefix(size + 1);
        return HeadFault::none;
    }

    // What is wrong with a line that has a byte outside of its class.
    static HeadFault bad_byte(char c, HeadFault otherwise) noexcept {
        if (c == '\r') return HeadFault::bare_line_end;
        auto const byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && c != '\t') || byte == 0x7F ? HeadFault::control_byte : otherwise;
    }

    HeadFault version(std::string_view text) noexcept {
        if (text == "HTTP/1.1") return HeadFault::none;
        if (text == "HTTP/1.0") {
            out_.minor = 0;
            return HeadFault::none;
        }
        bool const shaped = text.size() == 8 && text.starts_with("HTTP/") && is_in(text[5], kDigitByte) &&
                            text[6] == '.' && is_in(text[7], kDigitByte);
        return shaped ? HeadFault::bad_version : HeadFault::bad_start_line;
    }

    HeadFault request_line(std::string_view line) noexcept {
        for (std::size_t i = 0; i < line.size(); ++i)
            if (!is_in(line[i], kTargetByte) && line[i] != ' ' && line[i] != '#')
                return bad_byte(line[i], HeadFault::bad_start_line);
        std::size_t const one = line.find(' ');
        if (one == std::string_view::npos) return HeadFault::bad_start_line;
        std::size_t const two = line.find(' ', one + 1);
        if (two == std::string_view::npos || line.find(' ', two + 1) != std::string_view::npos)
            return HeadFault::bad_start_line;
        out_.method = line.substr(0, one);
        out_.target = line.substr(one + 1, two - one - 1);
        if (out_.method.size() > limits_.method || !is_token(out_.method)) return HeadFault::bad_method;
        if (auto const fault = version(line.substr(two + 1)); fault != HeadFault::none) return fault;
        if (out_.target.size() > limits_.target) return HeadFault::target_too_long;
        if (out_.target.empty() || out_.target.find('#') != std::string_view::npos)
            return HeadFault::bad_target;
        return HeadFault::none;
    }

    HeadFault status_line(std::string_view line) noexcept {
        if (line.size() < 12 || line[8] != ' ') return HeadFault::bad_start_line;
        if (auto const fault = version(line.substr(0, 8)); fault != HeadFault::none) return fault;
        std::string_view const digits = line.substr(9, 3);
        if (!all_in(digits, kDigitByte) || digits[0] == '0') return HeadFault::bad_start_line;
        out_.status_code =
            static_cast<std::uint16_t>((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
        if (line.size() == 12) return HeadFault::none;
        if (line[12] != ' ') return HeadFault::bad_start_line;
        out_.reason = line.substr(13);
        std::size_t const run = field_value_run(out_.reason);
        return run == out_.reason.size() ? HeadFault::none
                                         : bad_byte(out_.reason[run], HeadFault::bad_start_line);
    }

    HeadFault field_line(std::string_view line) noexcept {
        if (line[0] == ' ' || line[0] == '\t') return HeadFault::folded_line;
        std::size_t colon = 0;
        while (colon < line.size() && is_in(line[colon], kTokenByte)) ++colon;
        if (colon == line.size() || colon == 0) return HeadFault::bad_name;
        if (line[colon] != ':') {
            bool const space = line[colon] == ' ' || line[colon] == '\t';
            std::size_t const after = line.find_first_not_of(" \t", colon);
            if (space && after != std::string_view::npos && line[after] == ':')
                return HeadFault::space_before_colon;
            return bad_byte(line[colon], HeadFault::bad_name);
        }
        std::string_view const raw = line.substr(colon + 1);
        std::size_t const run = field_value_run(raw);
        if (run != raw.size()) return bad_byte(raw[run], HeadFault::control_byte);
        return known_field(line.substr(0, colon), trim(raw));
    }

    HeadFault known_field(std::string_view name, std::string_view value) noexcept {
        switch (name.size()) {
            case 4: return iequals(name, "host") ? on_host(value) : HeadFault::none;
            case 6:
                if (iequals(name, "expect"))
                    out_.expect = out_.expect != Expectation::other && iequals(value, "100-continue")
                                      ? Expectation::continue_100
                                      : Expectation::other;
                return HeadFault::none;
            case 7: upgrade_field_ = upgrade_field_ || iequals(name, "upgrade"); return HeadFault::none;
            case 10:
                if (iequals(name, "connection")) {
                    close_ = close_ || has_token(value, "close");
                    keep_ = keep_ || has_token(value, "keep-alive");
                    upgrade_token_ = upgrade_token_ || has_token(value, "upgrade");
                }
                return HeadFault::none;
            case 14: return iequals(name, "content-length") ? on_length(value) : HeadFault::none;
            case 17: return iequals(name, "transfer-encoding") ? on_transfer(value) : HeadFault::none;
            default: return HeadFault::none;
        }
    }

    HeadFault on_host(std::string_view value) noexcept {
        if (out_.has_host) return HeadFault::duplicate_host;
        out_.has_host = true;
        out_.host = value;
        // An empty Host is what RFC 9110 §7.2 asks for when the target has no authority.
        return answer_ || value.empty() || parse_authority(value) ? HeadFault::none : HeadFault::bad_host;
    }

    HeadFault on_length(std::string_view value) noexcept {
        if (has_length_ || value.find(',') != std::string_view::npos) return HeadFault::duplicate_length;
        has_length_ = true;
        if (value.empty() || !all_in(value, kDigitByte)) return HeadFault::bad_length;
        constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        std::uint64_t length = 0;
        for (char const c : value) {
            auto const digit = static_cast<std::uint64_t>(c - '0');
            if (length > (kMax - digit) / 10) return HeadFault::length_overflow;
            length = length * 10 + digit;
        }
        out_.content_length = length;
        return HeadFault::none;
    }

    HeadFault on_transfer(std::string_view value) noexcept {
        if (has_transfer_) return HeadFault::duplicate_transfer;
        has_transfer_ = true;
        return iequals(value, "chunked") ? HeadFault::none : HeadFault::unknown_transfer;
    }

    HeadFault conclude() noexcept {
        if (has_transfer_ && out_.minor == 0) return HeadFault::transfer_on_http10;
        if (has_transfer_ && has_length_) return HeadFault::transfer_and_length;
        if (!answer_ && !out_.has_host && out_.minor == 1) return HeadFault::missing_host;
        if (has_transfer_) out_.body = BodyKind::chunked;
        if (has_length_) out_.body = BodyKind::length;
        out_.keep_alive = !close_ && (out_.minor == 1 || keep_);
        // HTTP/1.0 knows neither upgrades nor expectations (RFC 9110 §7.8, §10.1.1).
        out_.upgrade = upgrade_token_ && upgrade_field_ && out_.minor == 1;
        if (out_.minor == 0) out_.expect = Expectation::none;
        return HeadFault::none;
    }

    void decide_answer_body(bool to_head) noexcept {
        bool const bodiless =
            to_head || out_.status_code < 200 || out_.status_code == 204 || out_.status_code == 304;
        if (bodiless) {
            out_.body = BodyKind::none;
        } else if (out_.body == BodyKind::none) {
            out_.body = BodyKind::until_close;
            out_.keep_alive = false;
        }
    }

    std::string_view rest_;
    HeadLimits const& limits_;
    HeadScan out_;
    bool answer_;
    bool has_length_ = false;
    bool has_transfer_ = false;
    bool close_ = false;
    bool keep_ = false;
    bool upgrade_token_ = false;
    bool upgrade_field_ = false;
};

}  // namespace

std::string_view to_string(HeadFault fault) noexcept { return row_of(fault).text; }
unsigned status_of(HeadFault fault) noexcept { return row_of(fault).status; }

HeadScan scan_head(std::string_view raw_head, HeadLimits const& limits) noexcept {
    return Scanner(raw_head, limits, false).run(false);
}

HeadScan scan_response_head(std::string_view raw_head, bool to_head, HeadLimits const& limits) noexcept {
    return Scanner(raw_head, limits, true).run(to_head);
}

std::optional<std::size_t> find_head_end(std::string_view buffer, std::size_t& resume) noexcept {
    while (resume < buffer.size()) {
        auto const* const found =
            static_cast<char const*>(std::memchr(buffer.data() + resume, '\n', buffer.size() - resume));
        if (found == nullptr) {
            resume = buffer.size();
            return std::nullopt;
        }
        auto const lf = static_cast<std::size_t>(found - buffer.data());
        resume = lf;  // what follows this line end may still be missing
        if (lf + 1 >= buffer.size()) return std::nullopt;
        if (buffer[lf + 1] == '\n') return lf + 2;
        if (buffer[lf + 1] == '\r') {
            if (lf + 2 >= buffer.size()) return std::nullopt;
            if (buffer[lf + 2] == '\n') return lf + 3;
        }
        resume = lf + 1;
    }
    return std::nullopt;
}

}  // namespace execd::http
