#include "base/ledger.hpp"

#include <unistd.h>

#include <cstdlib>
#include <map>

namespace execd::ledger {

namespace {
std::atomic<Name const*> g_first{nullptr};
}

Name::Name(char const* text) noexcept : text_(text), next_(g_first.load()) {
    while (!g_first.compare_exchange_weak(next_, this)) {
    }
}

std::vector<std::pair<std::string, std::int64_t>> outstanding() {
    std::map<std::string, std::int64_t> sums;
    for (Name const* name = g_first.load(); name != nullptr; name = name->next_)
        sums[name->text_] += name->open_.load(std::memory_order_relaxed);
    std::vector<std::pair<std::string, std::int64_t>> out;
    for (auto const& [text, open] : sums)
        if (open != 0) out.emplace_back(text, open);
    return out;
}

std::string report() {
    std::string out;
    for (auto const& [text, open] : outstanding()) {
        if (!out.empty()) out += ", ";
        out += text + ' ' + std::to_string(open);
    }
    return out;
}

void report_at_exit() {
    std::atexit([] {
        std::string const left = report();
        if (left.empty()) return;
        std::string const line = "execd: outstanding at exit: " + left + '\n';
        [[maybe_unused]] auto const ignored = ::write(2, line.data(), line.size());
    });
}

}  // namespace execd::ledger
