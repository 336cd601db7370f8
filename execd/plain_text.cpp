#include "execd/plain_text.hpp"

#include <algorithm>

namespace execd {

namespace {

// What follows ESC, up to the end of its sequence; a sequence that does not end takes the rest.
std::size_t length_of_sequence(std::string_view after) {
    if (after.starts_with('[')) {
        std::size_t end = 1;
        while (end < after.size() && (after[end] < '@' || after[end] > '~')) ++end;
        return std::min(after.size(), end + 1);
    }
    if (!after.starts_with(']')) return 0;
    for (std::size_t i = 1; i < after.size(); ++i) {
        if (after[i] == '\a') return i + 1;
        if (after[i] == '\x1b' && i + 1 < after.size() && after[i + 1] == '\\') return i + 2;
    }
    return after.size();
}

}  // namespace

std::string without_escapes(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        auto const escape = text.find('\x1b');
        out += text.substr(0, escape);
        if (escape == std::string_view::npos) break;
        text.remove_prefix(escape + 1);
        text.remove_prefix(length_of_sequence(text));
    }
    return out;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        auto const end = text.find('\n');
        out.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return out;
}

}  // namespace execd
