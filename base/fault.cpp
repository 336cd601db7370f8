#include "base/fault.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <mutex>

namespace execd::fault {

namespace detail {
std::atomic<bool> g_armed{false};
}

namespace {
std::mutex g_mutex;
std::string g_name;
std::uint64_t g_nth = 0;
std::uint64_t g_seen = 0;
int g_errno = 0;
bool g_repeat = false;
bool g_struck = false;
bool g_aloud = false;  // armed from outside: who armed it wants to know
}  // namespace

int detail::hit_slow(std::string_view name) noexcept {
    std::lock_guard const lock(g_mutex);
    if (g_name != "*" && g_name != name) return 0;
    ++g_seen;
    if (g_seen != g_nth && !(g_repeat && g_seen > g_nth)) return 0;
    if (g_aloud && !g_struck) ::dprintf(STDERR_FILENO, "fault: %s struck\n", g_name.c_str());
    g_struck = true;
    return g_errno;
}

void arm(std::string name, std::uint64_t nth, int err, bool repeat) {
    std::lock_guard const lock(g_mutex);
    g_name = std::move(name);
    g_nth = nth;
    g_errno = err;
    g_repeat = repeat;
    g_seen = 0;
    g_struck = false;
    g_aloud = false;
    detail::g_armed = true;
}

bool arm_from_text(std::string_view text) {
    auto const first = text.find(':');
    auto const second = first == std::string_view::npos ? first : text.find(':', first + 1);
    if (second == std::string_view::npos || first == 0) return false;
    std::uint64_t nth = 0;
    int err = 0;
    auto const number = [](std::string_view s, auto& out) {
        auto const [end, ec] = std::from_chars(s.data(), s.data() + s.size(), out);
        return ec == std::errc() && end == s.data() + s.size();
    };
    if (!number(text.substr(first + 1, second - first - 1), nth) || !number(text.substr(second + 1), err))
        return false;
    arm(std::string(text.substr(0, first)), nth, err);
    std::lock_guard const lock(g_mutex);
    g_aloud = true;
    return true;
}

void disarm() noexcept {
    detail::g_armed = false;
    std::lock_guard const lock(g_mutex);
    g_name.clear();
}

bool struck() noexcept {
    std::lock_guard const lock(g_mutex);
    return g_struck;
}

std::uint64_t seen() noexcept {
    std::lock_guard const lock(g_mutex);
    return g_seen;
}

}  // namespace execd::fault
