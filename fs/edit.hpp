// Changing text files safely: several replacements at once, only when the file still is what the caller saw,
// with the difference answered. And reading text in its encoding.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/work_pool.hpp"
#include "fs/replace.hpp"
#include "fs/stage.hpp"
#include "fs/text.hpp"

namespace execd::fs {

struct TextContent {
    std::string text{};  // UTF-8 (base64: as base64), the lines asked for with their ends
    Encoding encoding = Encoding::utf8;
    std::uint64_t size = 0;   // of the file, bytes
    std::uint64_t lines = 0;  // of the whole file; a last line without '\n' counts
    std::int64_t mtime_ns = 0;
    std::string sha256{};  // of the file's bytes
    std::uint32_t mode = 0;
    Seen seen{};

    template <class A>
    void visit(A& a) {
        a(text, encoding, size, lines, mtime_ns, sha256, mode, seen);
    }
};

/// Lines are counted from 0; `end` is the first not wanted. With `offset` or `length` bytes instead: as text
/// where they are that, otherwise as base64. decode for what is no text in `encoding`; with
/// `base64_if_binary` it comes back as base64 instead. exhausted (where "fs.memory") while other large files
/// are held in memory; of lines or bytes of a file in UTF-8 or Latin-1 only those are.
struct ReadText {
    using Answer = TextContent;
    static constexpr Lane kLane = Lane::bulk;
    static constexpr bool kStepwise = true;
    std::string path{};
    Encoding encoding = Encoding::detect;
    std::optional<std::uint64_t> begin{};
    std::optional<std::uint64_t> end{};
    std::optional<std::uint64_t> offset{};
    std::optional<std::uint64_t> length{};
    bool base64_if_binary = false;
    std::uint64_t max_size = 64U << 20U;

    explicit ReadText(std::string path_ = {}, Encoding encoding_ = Encoding::detect)
        : path(std::move(path_)), encoding(encoding_) {}
    [[nodiscard]] Result<TextContent> run() const;
    template <class A>
    void visit(A& a) {
        a(path, encoding, begin, end, offset, length, base64_if_binary, max_size);
    }
};

/// Text in UTF-8 (base64: any bytes) written in an encoding; whole, or appended. `detect` keeps the encoding
/// of the file that is there.
struct WriteText {
    using Answer = Written;
    static constexpr Lane kLane = Lane::bulk;
    static constexpr bool kStepwise = true;
    std::string path{};
    std::string text{};
    Encoding encoding = Encoding::utf8;
    bool append = false;
    std::optional<std::uint32_t> mode{};

    explicit WriteText(std::string path_ = {}, std::string text_ = {}, Encoding encoding_ = Encoding::utf8)
        : path(std::move(path_)), text(std::move(text_)), encoding(encoding_) {}
    [[nodiscard]] Result<Written> run() const;
    /// Rests on what the file held (Executor::hold).
    [[nodiscard]] bool changes() const { return append || encoding == Encoding::detect; }
    template <class A>
    void visit(A& a) {
        a(path, text, encoding, append, mode);
    }
};

struct TextEdit {
    std::string from{};
    std::string to{};
    Which which = Which::all;
    bool required = true;  // not found is an error
    bool unique = false;   // found more than once is an error

    explicit TextEdit(std::string from_ = {}, std::string to_ = {}, Which which_ = Which::all)
        : from(std::move(from_)), to(std::move(to_)), which(which_) {}
    template <class A>
    void visit(A& a) {
        a(from, to, which, required, unique);
    }
};

struct Edited {
    std::uint64_t replaced = 0;
    std::string diff{};    // unified, in UTF-8
    std::string sha256{};  // of the file now (with `dry`: as it would be)
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;

    template <class A>
    void visit(A& a) {
        a(replaced, diff, sha256, size, mtime_ns);
    }
};

/// All edits, in order, or none. conflict with where "edit.changed" when the file is not the expected one
/// (also when it changes between reading and writing), "edit.ambiguous" for more than one place; not_found
/// with where "edit.text" for a text that is not there. The encoding and its BOM stay. Without an expectation
/// a change meanwhile is taken up: the edits are made to what is there then.
struct EditText {
    using Answer = Edited;
    static constexpr Lane kLane = Lane::bulk;
    static constexpr bool kStepwise = true;
    std::string path{};
    std::vector<TextEdit> edits{};
    std::optional<std::string> expected_sha256{};
    std::optional<std::int64_t> expected_mtime_ns{};
    bool dry = false;
    Encoding encoding = Encoding::detect;  // of file and texts; detect: by BOM, UTF-8, otherwise bytes
    std::uint64_t max_size = 64U << 20U;

    explicit EditText(std::string path_ = {}, std::vector<TextEdit> edits_ = {})
        : path(std::move(path_)), edits(std::move(edits_)) {}
    [[nodiscard]] Result<Edited> run() const;
    [[nodiscard]] static bool changes() { return true; }
    template <class A>
    void visit(A& a) {
        a(path, edits, expected_sha256, expected_mtime_ns, dry, encoding, max_size);
    }
};

/// '\n' counted, plus one for a last line without.
[[nodiscard]] std::uint64_t count_lines(std::string_view text);

}  // namespace execd::fs
