// Finding names by glob (find) and content by text or regular expression (grep), each as a resumable search
// and as one operation. Results come in lexical order; every limit that cut them short is said.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/work_pool.hpp"
#include "fs/entry.hpp"
#include "fs/list.hpp"
#include "fs/walk.hpp"

namespace execd::fs {

// ---- names
// -----------------------------------------------------------------------------------------------------

struct FindOptions : WalkOptions {
    std::string pattern = "**";
    bool whole_path = false;  // against the path below the root instead of the base name
    bool negation = false;    // `!(pattern)`
    bool ignore_case = false;
    std::uint8_t kinds = 0xFU & ~(1U << static_cast<unsigned>(Kind::directory));  // bit 1 << Kind
    bool attributes = true;  // stat what matched; otherwise only path, name and kind are set
    std::uint64_t max_results = 1'000'000;

    explicit FindOptions(std::string path_ = {}, std::string pattern_ = "**") : pattern(std::move(pattern_)) {
        path = std::move(path_);
    }
    template <class A>
    void visit(A& a) {
        WalkOptions::visit(a);
        a(pattern, whole_path, negation, ignore_case, kinds, attributes, max_results);
    }
};

class Finder {
  public:
    [[nodiscard]] static Result<Finder> make(FindOptions options, CancelFlag cancel = {});
    /// Up to `max` entries; fewer at the end.
    [[nodiscard]] Result<std::vector<Entry>> next(std::size_t max);
    [[nodiscard]] bool done() const { return done_; }
    [[nodiscard]] bool truncated() const { return truncated_; }

  private:
    Finder(FindOptions options, Glob glob, CancelFlag cancel);
    std::uint64_t left_;
    bool attributes_;
    Walker walker_;
    OwnerNames names_;
    bool done_ = false;
    bool truncated_ = false;
};

/// invalid_argument (where "glob") for a bad pattern, even when nothing would be held against it.
struct Find : FindOptions {
    using Answer = Listing;
    static constexpr Lane kLane = Lane::search;
    CancelFlag cancel{};  // not sent to workers: those are killed

    explicit Find(FindOptions options = FindOptions(), CancelFlag flag = {})
        : FindOptions(std::move(options)), cancel(std::move(flag)) {}
    [[nodiscard]] Result<Listing> run() const;
};

// ---- content
// ---------------------------------------------------------------------------------------------------

struct GrepOptions : WalkOptions {
    std::string pattern{};
    bool fixed = false;  // a plain text
    bool ignore_case = false;
    bool multiline = false;              // matches may span lines, '.' takes '\n'
    std::vector<std::string> include{};  // globs; none: every file
    std::uint32_t before = 0;            // context lines, at most 100
    std::uint32_t after = 0;
    std::uint64_t skip = 0;  // matches to pass over first
    std::uint64_t max_matches = 500;
    std::uint64_t max_file_size = 16U << 20U;  // larger files are counted as skipped_large
    std::uint64_t max_bytes = 16U << 20U;      // of text answered
    std::uint32_t max_line = 4096;             // longer lines are cut in the answer (at a character)
    std::uint32_t max_ms = 30'000;  // of running; then what was found so far is answered as truncated

    explicit GrepOptions(std::string path_ = {}, std::string pattern_ = {}) : pattern(std::move(pattern_)) {
        path = std::move(path_);
        skip_unreadable = true;
    }
    template <class A>
    void visit(A& a) {
        WalkOptions::visit(a);
        a(pattern, fixed, ignore_case, multiline, include, before, after, skip, max_matches, max_file_size,
          max_bytes, max_line, max_ms);
    }
};

/// One line (or the lines of one match, when multiline). Text is as it is in the file, not necessarily UTF-8.
struct GrepMatch {
    std::string file{};
    std::uint64_t line = 0;  // from 1
    std::string text{};
    std::uint32_t column = 0;  // of the match in text, bytes from 0
    std::uint32_t length = 0;
    std::vector<std::string> before{};
    std::vector<std::string> after{};

    template <class A>
    void visit(A& a) {
        a(file, line, text, column, length, before, after);
    }
};

struct GrepResult {
    std::vector<GrepMatch> matches{};
    std::uint64_t files_searched = 0;
    std::uint64_t files_matched = 0;
    std::uint64_t files_skipped = 0;  // binary, too large, unreadable
    std::uint64_t skipped_large = 0;  // of these, larger than max_file_size
    std::uint64_t too_hard = 0;       // lines on which the pattern ran into its limits
    bool truncated = false;           // some limit was reached: there may be more
    std::string limit{};              // which: "matches", "bytes", "time"

    template <class A>
    void visit(A& a) {
        a(matches, files_searched, files_matched, files_skipped, skipped_large, too_hard, truncated, limit);
    }
};

/// invalid_argument with where "regex" and PCRE2's own words for a pattern that does not compile.
struct Grep : GrepOptions {
    using Answer = GrepResult;
    static constexpr Lane kLane = Lane::search;
    CancelFlag cancel{};

    explicit Grep(GrepOptions options = GrepOptions(), CancelFlag flag = {})
        : GrepOptions(std::move(options)), cancel(std::move(flag)) {}
    [[nodiscard]] Result<GrepResult> run() const;
};

/// The globs of a file type by its ripgrep name ("py", "cpp", "js" ...); empty when unknown.
[[nodiscard]] std::vector<std::string> type_globs(std::string_view type);

}  // namespace execd::fs
