#include "fs/edit.hpp"

#include <algorithm>

#include "base/base64.hpp"
#include "fs/content.hpp"
#include "fs/diff.hpp"
#include "fs/reader.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

namespace {

struct Loaded {
    OpenFile file;
    std::string bytes;
};

Result<Loaded> load(std::string const& path, std::uint64_t max_size) {
    auto file = OpenRead(path).run();
    if (!file) return Failure(std::move(file.error()));
    auto bytes = read_all(file->fd.get(), max_size);
    if (!bytes) {
        bytes.error().detail = path + ": " + bytes.error().detail;
        return Failure(std::move(bytes.error()));
    }
    return Loaded{std::move(*file), std::move(*bytes)};
}

std::string pick_lines(std::string_view text, std::uint64_t begin, std::optional<std::uint64_t> end) {
    if (end && *end <= begin) return "";
    std::size_t from = 0;
    for (std::uint64_t i = 0; i < begin; ++i) {
        auto const newline = text.find('\n', from);
        if (newline == std::string_view::npos) return "";
        from = newline + 1;
    }
    std::size_t to = from;
    for (std::uint64_t i = begin; to < text.size() && (!end || i < *end); ++i) {
        if (!end) {
            to = text.size();
            break;
        }
        auto const newline = text.find('\n', to);
        to = newline == std::string_view::npos ? text.size() : newline + 1;
    }
    return std::string(text.substr(from, to - from));
}

Result<std::uint64_t> apply(std::string& text, TextEdit const& edit, std::string const& path) {
    if (edit.from.empty()) return fail(Code::invalid_argument, "edit.empty", path);
    auto const found = count_text(text, edit.from);
    if (found == 0 && edit.required) return fail(Code::not_found, "edit.text", path);
    if (found > 1 && edit.unique)
        return fail(Code::conflict, "edit.ambiguous", path + ": found " + std::to_string(found) + " times");
    return replace_text(text, edit.from, edit.to, edit.which);
}

}  // namespace

std::uint64_t count_lines(std::string_view text) {
    auto const ends = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    return ends + (!text.empty() && text.back() != '\n' ? 1U : 0U);
}

Result<TextContent> ReadText::run() const {
    auto loaded = load(path, max_size);
    if (!loaded) return Failure(std::move(loaded.error()));
    TextContent out;
    out.size = loaded->bytes.size();
    out.mtime_ns = loaded->file.mtime_ns;
    out.mode = loaded->file.mode;
    out.sha256 = sha256_hex(loaded->bytes);
    out.encoding = encoding == Encoding::detect ? detect_encoding(loaded->bytes) : encoding;
    auto text = encoding == Encoding::detect && looks_binary(loaded->bytes)
                    ? Result<std::string>(fail(Code::decode, "text", "a NUL byte: not text"))
                    : decode_text(loaded->bytes, out.encoding);
    if (!text && base64_if_binary && encoding == Encoding::detect) {
        out.encoding = Encoding::base64;
        text = base64_encode(loaded->bytes);
    }
    if (!text) {
        text.error().detail = path + ": " + text.error().detail;
        return Failure(std::move(text.error()));
    }
    bool const whole = out.encoding == Encoding::base64 || (!begin && !end);
    out.lines = out.encoding == Encoding::base64 ? 0 : count_lines(*text);
    out.text = whole ? std::move(*text) : pick_lines(*text, begin.value_or(0), end);
    return out;
}

Result<Written> WriteText::run() const {
    auto to = encoding;
    bool there = false;
    if (append || to == Encoding::detect) {
        auto file = OpenRead(path).run();
        if (!file && file.error().code != Code::not_found) return Failure(std::move(file.error()));
        char head[4] = {};
        there = file && file->size > 0;
        if (there && to == Encoding::detect) {
            auto const n = read_at(file->fd.get(), head, 0);
            if (n) to = detect_encoding(std::string_view(head, *n));
        }
    }
    auto bytes = encode_text(text, to);
    if (!bytes) return Failure(std::move(bytes.error()));
    WriteOptions options(path);
    options.mode = mode;
    if (!append) return PutFile(std::move(options), std::move(*bytes)).run();
    // In the middle of a file a byte order mark is a character.
    if (there && to == Encoding::utf8_bom) bytes->erase(0, 3);
    if (there && (to == Encoding::utf16_le || to == Encoding::utf16_be)) bytes->erase(0, 2);
    return AppendFile(std::move(options), std::move(*bytes)).run();
}

Result<Edited> EditText::run() const {
    auto loaded = load(path, max_size);
    if (!loaded) return Failure(std::move(loaded.error()));
    if (expected_mtime_ns && *expected_mtime_ns != loaded->file.mtime_ns)
        return fail(Code::conflict, "edit.changed", path + ": modified since");
    if (expected_sha256 && *expected_sha256 != sha256_hex(loaded->bytes))
        return fail(Code::conflict, "edit.changed", path + ": other content than expected");
    auto const encoding = detect_encoding(loaded->bytes);
    auto before = decode_text(loaded->bytes, encoding);
    // What is not text is edited as bytes; only the diff shows it as well as it can.
    bool const text = before.has_value();
    std::string const old = text ? std::move(*before) : loaded->bytes;
    std::string now = old;
    Edited out;
    for (auto const& edit : edits) {
        auto count = apply(now, edit, path);
        if (!count) return Failure(std::move(count.error()));
        out.replaced += *count;
    }
    auto bytes = text ? encode_text(now, encoding) : Result<std::string>(now);
    if (!bytes) return Failure(std::move(bytes.error()));
    out.diff = unified_diff(old, now, path, path);
    out.sha256 = sha256_hex(*bytes);
    out.size = bytes->size();
    out.mtime_ns = loaded->file.mtime_ns;
    if (dry || *bytes == loaded->bytes) return out;
    if (loaded->file.changed()) return fail(Code::conflict, "edit.changed", path + ": modified meanwhile");
    auto written = PutFile(WriteOptions(path), std::move(*bytes)).run();
    if (!written) return Failure(std::move(written.error()));
    out.mtime_ns = written->mtime_ns;
    return out;
}

}  // namespace execd::fs
