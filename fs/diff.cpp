// The greedy algorithm of Myers ("An O(ND) Difference Algorithm and Its Variations", 1986) on lines, between
// the common beginning and end.
#include "fs/diff.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace execd::fs {

namespace {

constexpr std::ptrdiff_t kMaxEdits = 1200;

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        auto const end = text.find('\n');
        auto const size = end == std::string_view::npos ? text.size() : end + 1;
        lines.push_back(text.substr(0, size));
        text.remove_prefix(size);
    }
    return lines;
}

struct Step {
    char what;  // ' ', '-', '+'
    std::string_view line;
};
using Lines = std::vector<std::string_view>;

/// The script from a to b, backwards from the recorded frontiers.
std::vector<Step> trace_back(Lines const& a, Lines const& b,
                             std::vector<std::vector<std::ptrdiff_t>> const& trace) {
    std::vector<Step> steps;
    auto x = static_cast<std::ptrdiff_t>(a.size());
    auto y = static_cast<std::ptrdiff_t>(b.size());
    for (auto d = static_cast<std::ptrdiff_t>(trace.size()) - 1; d >= 0; --d) {
        auto const& v = trace[static_cast<std::size_t>(d)];  // of d - 1 edits, diagonals -d..d
        auto const at = [&](std::ptrdiff_t k) { return v[static_cast<std::size_t>(k + d)]; };
        auto const k = x - y;
        std::ptrdiff_t from_x = 0;
        std::ptrdiff_t from_y = 0;
        bool down = false;
        if (d > 0) {
            down = k == -d || (k != d && at(k - 1) < at(k + 1));
            auto const from_k = down ? k + 1 : k - 1;
            from_x = at(from_k);
            from_y = from_x - from_k;
        }
        auto const stop_x = d == 0 ? 0 : down ? from_x : from_x + 1;
        while (x > stop_x && y > (d == 0 ? 0 : down ? from_y + 1 : from_y)) {
            steps.push_back({' ', a[static_cast<std::size_t>(x - 1)]});
            --x;
            --y;
        }
        if (d == 0) break;
        if (down)
            steps.push_back({'+', b[static_cast<std::size_t>(y - 1)]});
        else
            steps.push_back({'-', a[static_cast<std::size_t>(x - 1)]});
        x = from_x;
        y = from_y;
    }
    std::reverse(steps.begin(), steps.end());
    return steps;
}

std::vector<Step> everything(Lines const& a, Lines const& b) {
    std::vector<Step> steps;
    for (auto const line : a) steps.push_back({'-', line});
    for (auto const line : b) steps.push_back({'+', line});
    return steps;
}

std::vector<Step> script(Lines const& a, Lines const& b) {
    auto const n = static_cast<std::ptrdiff_t>(a.size());
    auto const m = static_cast<std::ptrdiff_t>(b.size());
    if (n == 0 || m == 0) return everything(a, b);
    std::vector<std::vector<std::ptrdiff_t>> trace;
    // v[k + d + 1]: how far diagonal k got with d - 1 edits; one wider on each side than is read.
    std::vector<std::ptrdiff_t> v(3, 0);
    for (std::ptrdiff_t d = 0; d <= std::min(n + m, kMaxEdits); ++d) {
        std::vector<std::ptrdiff_t> kept(static_cast<std::size_t>(2 * d + 1), -1);
        for (std::ptrdiff_t k = -d; k <= d; ++k)
            kept[static_cast<std::size_t>(k + d)] = v[static_cast<std::size_t>(k + d + 1)];
        trace.push_back(kept);
        std::vector<std::ptrdiff_t> next(static_cast<std::size_t>(2 * d + 5), -1);
        for (std::ptrdiff_t k = -d; k <= d; k += 2) {
            auto const old = [&](std::ptrdiff_t j) { return v[static_cast<std::size_t>(j + d + 1)]; };
            bool const down = k == -d || (k != d && old(k - 1) < old(k + 1));
            std::ptrdiff_t x = d == 0 ? 0 : down ? old(k + 1) : old(k - 1) + 1;
            std::ptrdiff_t y = x - k;
            while (x < n && y < m && a[static_cast<std::size_t>(x)] == b[static_cast<std::size_t>(y)]) {
                ++x;
                ++y;
            }
            next[static_cast<std::size_t>(k + d + 2)] = x;
            if (x >= n && y >= m) return trace_back(a, b, trace);
        }
        v = std::move(next);
    }
    return everything(a, b);
}

void append_range(std::string& out, std::size_t first, std::size_t count) {
    // An empty range stands before the first line that follows it.
    out += std::to_string(count == 0 ? first : first + 1);
    if (count != 1) out += "," + std::to_string(count);
}

void append_hunk(std::string& out, std::vector<Step> const& steps, std::size_t from, std::size_t to,
                 std::size_t old_line, std::size_t new_line) {
    std::size_t olds = 0;
    std::size_t news = 0;
    for (auto i = from; i < to; ++i) {
        olds += steps[i].what != '+' ? 1U : 0U;
        news += steps[i].what != '-' ? 1U : 0U;
    }
    out += "@@ -";
    append_range(out, old_line, olds);
    out += " +";
    append_range(out, new_line, news);
    out += " @@\n";
    for (auto i = from; i < to; ++i) {
        out += steps[i].what;
        out += steps[i].line;
        if (!steps[i].line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
    }
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, std::string_view before_name,
                         std::string_view after_name, std::size_t context) {
    if (before == after) return "";
    auto a = lines_of(before);
    auto b = lines_of(after);
    std::size_t head = 0;
    while (head < a.size() && head < b.size() && a[head] == b[head]) ++head;
    std::size_t tail = 0;
    while (tail < a.size() - head && tail < b.size() - head &&
           a[a.size() - 1 - tail] == b[b.size() - 1 - tail])
        ++tail;
    std::vector<Step> steps;
    for (std::size_t i = head - std::min(head, context); i < head; ++i) steps.push_back({' ', a[i]});
    auto const middle = script(
        Lines(a.begin() + static_cast<std::ptrdiff_t>(head), a.end() - static_cast<std::ptrdiff_t>(tail)),
        Lines(b.begin() + static_cast<std::ptrdiff_t>(head), b.end() - static_cast<std::ptrdiff_t>(tail)));
    steps.insert(steps.end(), middle.begin(), middle.end());
    for (std::size_t i = a.size() - tail; i < std::min(a.size(), a.size() - tail + context); ++i)
        steps.push_back({' ', a[i]});

    std::string out;
    out.append("--- ").append(before_name).append("\n+++ ").append(after_name).append("\n");
    std::size_t old_line = head - std::min(head, context);
    std::size_t new_line = old_line;
    std::size_t at = 0;
    while (at < steps.size()) {
        // A hunk: from `context` before a change until more than two contexts without one.
        std::size_t change = at;
        while (change < steps.size() && steps[change].what == ' ') ++change;
        if (change == steps.size()) break;
        std::size_t const from = std::max(at, change - std::min(change, context));
        old_line += from - at;
        new_line += from - at;
        std::size_t last = change;
        for (auto i = change; i < steps.size() && i - last <= 2 * context + 1; ++i)
            if (steps[i].what != ' ') last = i;
        std::size_t const to = std::min(steps.size(), last + 1 + context);
        append_hunk(out, steps, from, to, old_line, new_line);
        for (auto i = from; i < to; ++i) {
            old_line += steps[i].what != '+' ? 1U : 0U;
            new_line += steps[i].what != '-' ? 1U : 0U;
        }
        at = to;
    }
    return out;
}

}  // namespace execd::fs
