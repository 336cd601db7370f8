// GET /files/download (contracts/opensandbox.md §1.8 "Download", §13.8).
#include <charconv>

#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/file_parts.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/ranges.hpp"
#include "execd/http/target.hpp"
#include "fs/path.hpp"
#include "fs/reader.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

class LineStream final : public http::Producer {
  public:
    LineStream(FileAccess access, fs::LineReader reader)
        : access_(std::move(access)), reader_(std::move(reader)) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        for (;;) {
            auto piece = co_await reader_.next();
            if (!piece) co_return Failure(piece.error());
            if (piece->empty()) co_return Result<void>();
            auto sent = co_await writer.write(*piece);
            if (!sent) co_return sent;
        }
    }

  private:
    FileAccess access_;
    fs::LineReader reader_;
};

// Piece by piece instead of by sendfile: files in /proc say size 0 and mean "read me to the end"; a file
// whose server may be dead must hold no thread that others need.
class PieceStream final : public http::Producer {
  public:
    PieceStream(FileAccess access, fs::OpenFile file, std::uint64_t offset,
                std::optional<std::uint64_t> length)
        : access_(std::move(access)), file_(std::move(file)), at_(offset), left_(length) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        std::string block(256U << 10, '\0');
        while (!left_ || *left_ > 0) {
            std::size_t const most = std::min<std::uint64_t>(block.size(), left_.value_or(block.size()));
            auto got = co_await fs::read_some(*access_.files, file_, at_, std::span(block.data(), most));
            if (!got) co_return Failure(got.error());
            if (*got == 0 && !left_) co_return Result<void>();
            if (*got == 0) co_return fail(Code::io, "read", "the file became shorter while it was sent");
            at_ += *got;
            if (left_) *left_ -= *got;
            auto sent = co_await writer.write(std::string_view(block).substr(0, *got));
            if (!sent) co_return sent;
        }
        co_return Result<void>();
    }

  private:
    FileAccess access_;
    fs::OpenFile file_;
    std::uint64_t at_;
    std::optional<std::uint64_t> left_;
};

std::optional<std::uint64_t> positive(std::string_view text) {
    std::uint64_t n = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (ec != std::errc() || end != text.data() + text.size() || n == 0) return std::nullopt;
    return n;
}

Answer lines(FileAccess access, Call& call, fs::OpenFile file) {
    std::uint64_t offset = 1;
    std::optional<std::uint64_t> limit;
    if (auto const text = call.query_value("offset")) {
        auto n = positive(*text);
        if (!n) return refusal(400, code::kBody, "invalid query parameter 'offset': " + std::string(*text));
        offset = *n;
    }
    if (auto const text = call.query_value("limit")) {
        limit = positive(*text);
        if (!limit)
            return refusal(400, code::kBody, "invalid query parameter 'limit': " + std::string(*text));
    }
    if (call.header("Range"))
        return refusal(
            400, code::kBody,
            "line-based reading (offset/limit) and byte range (Range header) are mutually exclusive");
    fs::LineReader reader(*access.files, std::move(file), offset, limit);
    return Answer::stream("text/plain; charset=utf-8",
                          std::make_unique<LineStream>(std::move(access), std::move(reader)));
}

// Names beyond ASCII are sent percent-encoded in both forms (§1.8).
std::string disposition(std::string_view name) {
    bool const plain =
        std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (plain) return http::content_disposition("attachment", name);
    std::string const encoded = http::percent_encode(name, http::Encode::unreserved);
    return "attachment; filename=\"" + encoded + "\"; filename*=UTF-8''" + encoded;
}

std::string_view field(Call const& call, std::string_view name) {
    return call.header(name).value_or(std::string_view());
}

constexpr std::uint64_t kAtOnce = 64U << 10;  // bytes read by the reactor and sent with the head

Answer refused_open(Error const& error, std::string const& path) {
    if (error.code == Code::not_found)
        return refusal(404, code::kFileNotFound,
                       "file not found. file not found: " + path + ": " + go_text(error, "open", path));
    if (error.code == Code::is_a_directory) return refusal(400, code::kFile, "path is a directory: " + path);
    return refusal(500, code::kRuntime, "error accessing file: " + go_text(error));
}

/// The bytes themselves where they are at hand, pieces of what may hang, otherwise the descriptor.
void set_body(Answer& answer, FileAccess access, fs::OpenFile file, http::FilePart part) {
    std::string content;
    if (file.may_hang) {
        answer.known_length = part.length;
        answer.body =
            std::make_unique<PieceStream>(std::move(access), std::move(file), part.offset, part.length);
    } else if (part.length <= kAtOnce && fs::read_at_once(file, part.offset, part.length, content)) {
        answer.body = std::move(content);
    } else {
        part.fd = std::move(file.fd);
        answer.body = std::move(part);
    }
}

Answer answer_of(FileAccess access, Call& call, fs::OpenFile file) {
    if (call.query_value("offset") || call.query_value("limit"))
        return lines(std::move(access), call, std::move(file));

    std::string const etag = "\"" + file.etag() + "\"";
    std::int64_t const modified = file.mtime_ns / 1'000'000'000;
    http::Validators const now{etag, modified, true};
    http::Conditions conditions{field(call, "If-Match"),          field(call, "If-None-Match"),
                                field(call, "If-Modified-Since"), field(call, "If-Unmodified-Since"),
                                field(call, "If-Range"),          true};
    auto const precondition = http::evaluate(conditions, now);
    Answer answer;
    answer.headers.set("Content-Type", "application/octet-stream");
    answer.headers.set("Content-Disposition", disposition(fs::base_name(file.path)));
    answer.headers.set("ETag", etag);
    answer.headers.set("Last-Modified", http::format_http_date(modified));
    answer.headers.set("Accept-Ranges", "bytes");
    if (precondition == http::Precondition::not_modified) {
        answer.status = 304;
        return answer;
    }
    if (precondition == http::Precondition::failed) return refusal(412, code::kFile, "the file has changed");
    if (!file.sized) {
        answer.body = std::make_unique<PieceStream>(std::move(access), std::move(file), 0,
                                                    std::optional<std::uint64_t>());
        return answer;
    }
    std::string_view const range =
        http::range_applies(conditions.if_range, now) ? field(call, "Range") : std::string_view();
    http::RangePolicy policy;
    policy.multi = http::MultiRange::first_satisfiable;
    policy.refuse_malformed = true;
    auto const plan = http::plan_ranges(range, file.size, policy);
    bool const other_unit = !range.empty() && !range.starts_with("bytes=");
    if (plan.outcome == http::RangeOutcome::malformed || other_unit)
        return refusal(416, code::kUnknown, "invalid range: " + std::string(range));
    if (plan.outcome == http::RangeOutcome::unsatisfiable) {
        auto refused = Answer::bytes(416, "text/plain; charset=utf-8", "invalid range: failed to overlap\n");
        refused.headers.set("Content-Range", http::content_range_unsatisfied(file.size));
        return refused;
    }
    http::FilePart part;
    part.length = file.size;
    if (plan.outcome == http::RangeOutcome::partial) {
        answer.status = 206;
        answer.headers.set("Content-Range", http::content_range(plan.ranges.front(), file.size));
        part.offset = plan.ranges.front().first;
        part.length = plan.ranges.front().length;
    }
    set_body(answer, std::move(access), std::move(file), std::move(part));
    return answer;
}

Result<std::string> path_of(FileAccess const& access, Call const& call, Answer& refused) {
    auto const asked = call.query_value("path");
    if (!asked || asked->empty()) {
        refused = refusal(400, code::kQuery, "missing query parameter 'path'");
        return fail(Code::invalid_argument, "path");
    }
    auto path = access.path(*asked);
    if (!path) refused = refusal(500, code::kRuntime, "error accessing file: " + path.error().detail);
    return path;
}

}  // namespace

Result<Answer> download_at_once(FileAccess access, Call& call) {
    Answer refused;
    auto path = path_of(access, call, refused);
    if (!path) return refused;
    auto opened = fs::open_at_once(*access.files, *path);
    if (!opened || !*opened) return Answer::empty(0);
    // A stream of lines, or of a file without a size, is read piece by piece.
    if (!(*opened)->sized || call.query_value("offset") || call.query_value("limit")) return Answer::empty(0);
    return answer_of(std::move(access), call, std::move(**opened));
}

Task<Result<Answer>> download(FileAccess access, Call& call) {
    Answer refused;
    auto path = path_of(access, call, refused);
    if (!path) co_return refused;
    auto opened = co_await fs::open_for_read(*access.files, *path);
    if (!opened) co_return refused_open(opened.error(), *path);
    co_return answer_of(std::move(access), call, std::move(*opened));
}

}  // namespace execd::opensandbox
