#include "execd/dialects/opensandbox/line_events.hpp"

#include <cstring>

#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/text_scan.hpp"

namespace execd::opensandbox {

namespace {
constexpr std::size_t kLongestText = 256U << 10;  // bytes of one event's text
}

LineEvents::LineEvents(std::string_view type, bool bare) : type_(type), bare_(bare), lines_(kLongestText) {
    prefix_ = R"({"type":")" + type_ + R"(","text":")";
}

void LineEvents::restamp(event::Stamp now) {
    if (now == stamped_) return;
    stamped_ = now;
    suffix_ = R"(","timestamp":)" + std::to_string(now) + "}\n\n";
    line_end_ = bare_ ? suffix_ : R"(\n)" + suffix_;
    empty_line_ = prefix_ + R"(\n)" + suffix_;
}

/// The lines at the start of `bytes` that need no escape and end with \n; returns their bytes.
std::size_t LineEvents::plain_lines(std::string& out, std::string_view bytes) const {
    char const* const data = bytes.data();
    std::size_t done = 0;
    while (done < bytes.size()) {
        // Controls end the run, so one scan finds the line's end and proves the line plain.
        std::size_t const run = wire::detail::plain_run<false>(data + done, bytes.size() - done);
        std::size_t const end = done + run;
        if (end == bytes.size() || data[end] != '\n') break;
        if (run == 0) {
            out += empty_line_;
        } else {
            out += prefix_;
            out.append(data + done, run);
            out += line_end_;
        }
        done = end + 1;
    }
    return done;
}

void LineEvents::line(std::string& out, shell::Line const& line) const {
    std::string_view text = line.text;
    if (bare_ && line.terminator > 0) text = line.content();
    if (text.empty()) {
        out += empty_line_;
        return;
    }
    out += prefix_;
    wire::append_json_escaped(out, text, wire::Escape::line_separators);
    out += suffix_;
}

void LineEvents::push(std::string& out, std::string_view bytes, event::Stamp now) {
    restamp(now);
    auto const emit = [this, &out](shell::Line const& l) { line(out, l); };
    while (!bytes.empty()) {
        if (lines_.pending() == 0) bytes.remove_prefix(plain_lines(out, bytes));
        if (bytes.empty()) return;
        // The one line that is not plain, or not whole, by the general way.
        auto const* const feed = static_cast<char const*>(std::memchr(bytes.data(), '\n', bytes.size()));
        std::size_t const size =
            feed == nullptr ? bytes.size() : static_cast<std::size_t>(feed - bytes.data()) + 1;
        lines_.push(bytes.substr(0, size), emit);
        bytes.remove_prefix(size);
    }
}

void LineEvents::flush(std::string& out, event::Stamp now, bool last) {
    restamp(now);
    auto const emit = [this, &out](shell::Line const& l) { line(out, l); };
    lines_.flush(emit, last);
}

}  // namespace execd::opensandbox
