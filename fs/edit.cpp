#include "fs/edit.hpp"

#include <algorithm>

#include "base/base64.hpp"
#include "base/digest.hpp"
#include "base/utf8.hpp"
#include "fs/content.hpp"
#include "fs/diff.hpp"
#include "fs/reader.hpp"
#include "fs/stage.hpp"
#include "fs/whole_file.hpp"

namespace execd::fs {

namespace {

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

TextContent describe(OpenFile const& file) {
    TextContent out;
    out.size = file.size;
    out.mtime_ns = file.mtime_ns;
    out.mode = file.mode;
    out.seen = Seen(file.device, file.inode, file.size, file.mtime_ns);
    return out;
}

constexpr std::size_t kBlock = 256 * 1024;

/// Lines picked out of a stream of blocks; knows at the end how many there were.
class LinePicker {
  public:
    LinePicker(std::uint64_t begin, std::optional<std::uint64_t> end) : begin_(begin), end_(end) {}
    void push(std::string_view block, std::string& out) {
        while (!block.empty()) {
            auto const newline = block.find('\n');
            auto const line = block.substr(0, newline == std::string_view::npos ? newline : newline + 1);
            if (at_ >= begin_ && (!end_ || at_ < *end_)) out += line;
            open_ = newline == std::string_view::npos;
            if (!open_) ++at_;
            block.remove_prefix(line.size());
        }
    }
    [[nodiscard]] std::uint64_t lines() const { return at_ + (open_ ? 1U : 0U); }

  private:
    std::uint64_t begin_;
    std::optional<std::uint64_t> end_;
    std::uint64_t at_ = 0;
    bool open_ = false;
};

/// Lines of a file whose lines end in a byte '\n', block by block. Nothing where that cannot be: then all of
/// it has to be looked at.
std::optional<Result<TextContent>> read_lines(ReadText const& op) {
    auto file = OpenRead(op.path).run();
    if (!file) return Failure(std::move(file.error()));
    std::string block(kBlock, '\0');
    Sha256 hash;
    LinePicker picker(op.begin.value_or(0), op.end);
    TextContent out = describe(*file);
    std::string bytes;        // picked
    std::size_t pending = 0;  // of a character that goes on in the next block
    for (std::uint64_t at = 0;;) {
        auto const n =
            read_at(file->fd.get(), std::span(block).subspan(pending), static_cast<std::int64_t>(at));
        if (!n) return Failure(n.error());
        std::string_view now(block.data(), pending + *n);
        hash.update(now.substr(pending));
        if (at == 0) {
            out.encoding = op.encoding == Encoding::detect ? detect_encoding(now) : op.encoding;
            bool const by_bytes = out.encoding == Encoding::utf8 || out.encoding == Encoding::utf8_bom ||
                                  out.encoding == Encoding::latin1;
            if (!by_bytes || (op.encoding == Encoding::detect && looks_binary(now))) return std::nullopt;
            if (out.encoding != Encoding::latin1 && now.starts_with("\xEF\xBB\xBF")) now.remove_prefix(3);
        }
        at += *n;
        bool const ended = *n == 0;
        auto const good = out.encoding == Encoding::latin1 ? now.size() : valid_utf8_prefix(now);
        if (now.size() - good > (ended ? 0 : 3)) return std::nullopt;
        picker.push(now.substr(0, good), bytes);
        if (bytes.size() > op.max_size)
            return fail(Code::too_large, "read", op.path + ": more than " + std::to_string(op.max_size));
        pending = now.size() - good;
        std::copy(now.end() - static_cast<std::ptrdiff_t>(pending), now.end(), block.begin());
        if (!ended) continue;
        out.size = at;
        break;
    }
    out.sha256 = hex(hash.finish());
    out.lines = picker.lines();
    auto text = out.encoding == Encoding::latin1 ? decode_text(bytes, out.encoding)
                                                 : Result<std::string>(std::move(bytes));
    if (!text) return Failure(std::move(text.error()));
    out.text = std::move(*text);
    return Result<TextContent>(std::move(out));
}

/// Bytes of a file: only they are read, so neither digest nor lines of the whole are known.
Result<TextContent> read_bytes(ReadText const& op) {
    auto file = OpenRead(op.path).run();
    if (!file) return Failure(std::move(file.error()));
    TextContent out = describe(*file);
    auto const from = op.offset.value_or(0);
    auto const there = file->sized ? (from < file->size ? file->size - from : 0) : op.max_size;
    auto const wanted = std::min(op.length.value_or(there), there);
    if (wanted > op.max_size)
        return fail(Code::too_large, "read", op.path + ": " + std::to_string(wanted) + " bytes");
    auto share = MemoryShare::take(wanted);
    if (!share) return Failure(std::move(share.error()));
    std::string bytes(wanted, '\0');
    auto const n = read_at(file->fd.get(), bytes, static_cast<std::int64_t>(from));
    if (!n) return Failure(n.error());
    bytes.resize(*n);
    out.encoding = op.encoding;
    if (op.encoding == Encoding::detect)
        out.encoding = !looks_binary(bytes) && is_utf8(bytes) ? Encoding::utf8 : Encoding::base64;
    // In the middle of a file a byte order mark is a character.
    auto text = out.encoding == Encoding::utf8 && is_utf8(bytes) ? Result<std::string>(std::move(bytes))
                                                                 : decode_text(bytes, out.encoding);
    if (!text) {
        text.error().detail = op.path + ": " + text.error().detail;
        return Failure(std::move(text.error()));
    }
    out.text = std::move(*text);
    return out;
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
    if (offset || length) return read_bytes(*this);
    if (begin || end)
        if (auto lines = read_lines(*this)) return std::move(*lines);
    auto loaded = load_file(path, max_size);
    if (!loaded) return Failure(std::move(loaded.error()));
    TextContent out = describe(loaded->file);
    out.size = loaded->bytes.size();
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

namespace {

/// The byte order mark stays as it was, whatever encoding was asked for: the difference would not show it.
void keep_mark(std::string& bytes, std::string_view before, Encoding encoding) {
    std::string_view mark;
    if (encoding == Encoding::utf8 || encoding == Encoding::utf8_bom) mark = "\xEF\xBB\xBF";
    if (encoding == Encoding::utf16_le) mark = "\xFF\xFE";
    if (encoding == Encoding::utf16_be) mark = "\xFE\xFF";
    if (mark.empty()) return;
    bool const had = before.starts_with(mark);
    bool const encoded = encoding != Encoding::utf8;  // encode_text has put one there
    if (encoded && !had) bytes.erase(0, mark.size());
    if (!encoded && had) bytes.insert(0, mark);
}

Result<Edited> edit_once(EditText const& op) {
    auto const& path = op.path;
    auto loaded = load_file(path, op.max_size);
    if (!loaded) return Failure(std::move(loaded.error()));
    if (op.expected_mtime_ns && *op.expected_mtime_ns != loaded->file.mtime_ns)
        return fail(Code::conflict, "edit.changed", path + ": modified since");
    if (op.expected_sha256 && *op.expected_sha256 != sha256_hex(loaded->bytes))
        return fail(Code::conflict, "edit.changed", path + ": other content than expected");
    bool const asked = op.encoding != Encoding::detect;
    auto const encoding = asked ? op.encoding : detect_encoding(loaded->bytes);
    auto before = decode_text(loaded->bytes, encoding);
    if (!before && asked) {
        before.error().detail = path + ": " + before.error().detail;
        return Failure(std::move(before.error()));
    }
    // What is not text is edited as bytes; only the diff shows it as well as it can.
    bool const text = before.has_value();
    std::string const old = text ? std::move(*before) : loaded->bytes;
    std::string now = old;
    Edited out;
    for (auto const& edit : op.edits) {
        auto count = apply(now, edit, path);
        if (!count) return Failure(std::move(count.error()));
        out.replaced += *count;
    }
    auto bytes = text ? encode_text(now, encoding) : Result<std::string>(now);
    if (!bytes) return Failure(std::move(bytes.error()));
    if (text) keep_mark(*bytes, loaded->bytes, encoding);
    out.diff = unified_diff(old, now, path, path);
    out.sha256 = sha256_hex(*bytes);
    out.size = bytes->size();
    out.mtime_ns = loaded->file.mtime_ns;
    if (op.dry || *bytes == loaded->bytes) return out;
    WriteOptions options(path);
    options.seen = loaded->seen();
    auto written = PutFile(std::move(options), std::move(*bytes)).run();
    if (!written) return Failure(std::move(written.error()));
    out.mtime_ns = written->mtime_ns;
    return out;
}

}  // namespace

Result<Edited> EditText::run() const {
    return until_not_overtaken([this] { return edit_once(*this); });
}

}  // namespace execd::fs
