// Replacing text in a file: literal, bytes as they are, written back atomically with mode and owner kept.
#pragma once
#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "base/work_pool.hpp"

namespace execd::fs {

enum class Which : std::uint8_t { first, last, all };

/// Pure: how many were replaced. `from` must not be empty.
[[nodiscard]] std::uint64_t replace_text(std::string& text, std::string_view from, std::string_view to,
                                         Which which);
[[nodiscard]] std::uint64_t count_text(std::string_view text, std::string_view what);

struct Replaced {
    std::uint64_t replaced = 0;
    std::uint64_t found = 0;
    std::uint64_t size = 0;  // of the file now
    template <class A>
    void visit(A& a) {
        a(replaced, found, size);
    }
};

/// invalid_argument with where "replace.empty" when `from` is empty (after the file was opened, so a missing
/// file wins); too_large beyond `max_size`. Nothing found: nothing written. `dry`: only counts.
struct Replace {
    using Answer = Replaced;
    static constexpr Lane kLane = Lane::bulk;
    std::string path{};
    std::string from{};
    std::string to{};
    Which which = Which::all;
    bool dry = false;
    std::uint64_t max_size = 256U << 20U;

    explicit Replace(std::string path_ = {}, std::string from_ = {}, std::string to_ = {},
                     Which which_ = Which::all, bool dry_ = false)
        : path(std::move(path_)), from(std::move(from_)), to(std::move(to_)), which(which_), dry(dry_) {}
    [[nodiscard]] Result<Replaced> run() const;
    /// Rests on what the file held (Executor::hold).
    [[nodiscard]] static bool changes() { return true; }
    template <class A>
    void visit(A& a) {
        a(path, from, to, which, dry, max_size);
    }
};

}  // namespace execd::fs
