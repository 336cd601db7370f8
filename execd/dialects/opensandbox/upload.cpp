// POST /files/upload (contracts/opensandbox.md §1.8 "Upload", opensandbox-1.1.md §2.5). The n-th `metadata`
// part belongs to the n-th `file` part, in any order; parts are known by name alone. A file whose metadata is
// already there goes straight to its target; one that comes before its metadata waits in a spool, on the disk
// of the last target known so far.
#include <cstdlib>
#include <deque>

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/file_parts.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/body_in_hand.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/multipart.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/spool.hpp"
#include "fs/writer.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::size_t kMaxMetadata = 64U << 10;
constexpr std::uint64_t kLarge = 1U << 20;   // more to come than this: ask for the space before reading it
constexpr std::uint64_t kHeads = 64U << 10;  // of what is announced, this may be part heads and boundaries

std::string temporary_directory() {
    char const* const set = std::getenv("TMPDIR");
    return set != nullptr && *set == '/' ? set : "/tmp";
}

Answer write_failure(Error const& error, std::string const& path) {
    if (error.code == Code::no_space)
        return refusal(507, code::kRuntime, "error copying file " + path + ". " + go_text(error));
    if (error.where.starts_with("mkdir") || error.code == Code::not_a_directory)
        return refusal(
            500, code::kRuntime,
            "error creating target directory " + std::string(fs::parent_of(path)) + ". " + go_text(error));
    if (error.where.starts_with("open") || error.where.starts_with("stage"))
        return refusal(500, code::kRuntime, "error opening destination file " + path + ". " + go_text(error));
    if (error.where.starts_with("ch") || error.where == "owner" || error.where == "group")
        return refusal(500, code::kRuntime, "error chmoding file " + path + ". " + go_text(error));
    return refusal(500, code::kRuntime, "error copying file " + path + ". " + go_text(error));
}

std::optional<Answer> write_options(FileAccess const& access, FileMetadata const& metadata,
                                    fs::WriteOptions& out) {
    auto path = access.path(metadata.path);
    if (!path)
        return refusal(500, code::kRuntime,
                       "error creating target directory " + metadata.path + ". " + path.error().detail);
    auto mode = mode_of_digits(metadata.mode);
    if (!mode)
        return refusal(500, code::kRuntime, "error chmoding file " + *path + ". " + mode.error().detail);
    out.path = std::move(*path);
    out.mode = *mode;
    out.create_mode = 0777;
    out.owner = fs::Ownership(metadata.owner, metadata.group, true);
    return std::nullopt;
}

class Upload {
  public:
    Upload(FileAccess access, Call& call, std::string boundary)
        : access_(std::move(access)),
          call_(call),
          memory_(dynamic_cast<http::BodyInHand const*>(call.body)),
          parser_(std::move(boundary)) {}

    Task<Result<Answer>> run() {
        for (;;) {
            auto block = co_await call_.body->next();
            // A client that left has nobody to be answered; every file that was not complete is discarded.
            if (!block && block.error().code == Code::too_large) co_return Failure(block.error());
            if (!block) co_return refusal(400, code::kFile, "multipart form is empty");
            if (block->empty()) break;
            received_ += block->size();
            std::string_view rest = *block;
            for (bool more = true; more;) {
                auto const step = parser_.next(rest);
                more = step.event != http::MultipartParser::Event::need_more;
                if (step.event == http::MultipartParser::Event::fault)
                    co_return refusal(400, code::kFile, "multipart form is empty");
                std::optional<Answer> refused = co_await take(step);
                if (refused) co_return std::move(*refused);
            }
        }
        if (!parser_.finish()) co_return refusal(400, code::kFile, "multipart form is empty");
        co_return co_await finish();
    }

  private:
    enum class Part { none, metadata, file, other };
    using Event = http::MultipartParser::Event;

    Task<std::optional<Answer>> take(http::MultipartParser::Step step) {
        if (step.event == Event::part_begin) co_return co_await begin_part();
        if (step.event == Event::data && part_ == Part::metadata) {
            if (text_.size() + step.data.size() > kMaxMetadata)
                co_return refusal(400, code::kFileMetadata,
                                  "invalid metadata format. metadata is larger than 64 KiB");
            text_.append(step.data);
        }
        if (step.event == Event::data && part_ == Part::file) co_return co_await write(step.data);
        if (step.event == Event::part_end) co_return co_await end_part();
        co_return std::nullopt;
    }

    Task<std::optional<Answer>> begin_part() {
        auto refused = co_await commit();
        if (refused) co_return refused;
        auto const& part = parser_.part();
        part_ = Part::other;
        if (part.has_filename && part.name == "metadata") part_ = Part::metadata;
        if (part.has_filename && part.name == "file") part_ = Part::file;
        text_.clear();
        if (part_ == Part::file) {
            ++files_;
            if (!targets_.empty()) {
                FileMetadata const metadata = std::move(targets_.front());
                targets_.pop_front();
                co_return co_await open_writer(metadata, still_to_come());
            }
            if (spools_.size() >= kMaxSpools)
                co_return refusal(400, code::kFile, "too many files before their metadata");
            spools_.push_back(std::make_unique<fs::Spool>(access_.loop(), spool_directory_));
        }
        co_return std::nullopt;
    }

    /// What the rest of the body may bring to the disk at least, when its length is announced.
    std::uint64_t still_to_come() const {
        auto const length = call_.body->content_length();
        std::uint64_t const used = received_ + kHeads;
        return length && *length > used ? *length - used : 0;
    }

    Task<std::optional<Answer>> open_writer(FileMetadata metadata, std::uint64_t expected) {
        fs::WriteOptions options;
        if (auto refused = write_options(access_, metadata, options)) co_return refused;
        options.expected = expected;
        path_ = options.path;
        spool_directory_ = fs::parent_of(path_);
        writer_.emplace(*access_.files, std::move(options));
        if (expected < kLarge) co_return std::nullopt;
        auto opened = co_await writer_->open();
        if (!opened) co_return failed(opened.error());
        co_return std::nullopt;
    }

    Task<std::optional<Answer>> write(std::string_view bytes) {
        if (writer_) {
            auto owner = memory_ != nullptr ? memory_->keep() : nullptr;
            auto done = co_await writer_->write_kept(bytes, std::move(owner));
            if (!done) co_return failed(done.error());
            co_return std::nullopt;
        }
        auto kept = co_await spools_.back()->append(bytes);
        if (!kept) co_return failed(kept.error());
        co_return std::nullopt;
    }

    Task<std::optional<Answer>> end_part() {
        Part const part = std::exchange(part_, Part::none);
        if (part == Part::metadata) {
            ++metadata_;
            FileMetadata metadata;
            if (auto fault = decode_text(text_, wire::Codec<FileMetadata>::ops, &metadata, true))
                co_return refusal(400, code::kFileMetadata, "invalid metadata format. " + *fault);
            if (metadata.path.empty()) co_return refusal(400, code::kFileMetadata, "metadata path is empty");
            if (spools_.empty()) {
                targets_.push_back(std::move(metadata));
                co_return std::nullopt;
            }
            auto const spool = std::move(spools_.front());
            spools_.pop_front();
            co_return co_await write_spooled(*spool, std::move(metadata));
        }
        // A file is made when what follows it has begun: of a request that is cut off, the last one is not.
        co_return std::nullopt;
    }

    Task<std::optional<Answer>> write_spooled(fs::Spool& spool, FileMetadata metadata) {
        auto refused = co_await open_writer(std::move(metadata), spool.size());
        if (refused) co_return refused;
        for (;;) {
            auto piece = co_await spool.next();
            if (!piece) co_return failed(piece.error());
            if (piece->empty()) break;
            auto done = co_await writer_->write(*piece);
            if (!done) co_return failed(done.error());
        }
        co_return std::nullopt;
    }

    Task<std::optional<Answer>> commit() {
        if (!writer_) co_return std::nullopt;
        auto written = co_await writer_->commit();
        std::optional<Answer> refused;
        if (!written) refused = failed(written.error());
        writer_.reset();
        co_return refused;
    }

    Answer failed(Error const& error) const { return write_failure(error, path_); }

    Task<Answer> finish() {
        if (metadata_ == 0) co_return refusal(400, code::kFileMetadata, "metadata file is missing");
        if (files_ == 0) co_return refusal(400, code::kFileContent, "file is missing");
        if (metadata_ != files_)
            co_return refusal(400, code::kFile,
                              "metadata and file count mismatch: " + std::to_string(metadata_) + " vs " +
                                  std::to_string(files_));
        auto refused = co_await commit();
        if (refused) co_return std::move(*refused);
        co_return Answer::empty();
    }

    static constexpr std::size_t kMaxSpools = 64;  // each keeps up to 256 KiB in memory

    FileAccess access_;
    Call& call_;
    http::BodyInHand const* memory_;
    http::MultipartParser parser_;
    Part part_ = Part::none;
    std::string text_;
    std::deque<FileMetadata> targets_;
    std::deque<std::unique_ptr<fs::Spool>> spools_;
    std::string spool_directory_ = temporary_directory();
    std::uint64_t received_ = 0;
    std::size_t metadata_ = 0;
    std::size_t files_ = 0;
    std::string path_;
    std::optional<fs::Writer> writer_;
};

}  // namespace

// The usual small upload, one file behind its metadata, when all of it is here and its target lies in memory.
// Whatever is unusual about it is left to Upload, which says what is wrong.
Result<Answer> upload_at_once(FileAccess access, Call& call) {
    using Event = http::MultipartParser::Event;
    auto const* const memory = dynamic_cast<http::BodyInHand const*>(call.body);
    auto body = memory != nullptr ? memory->whole() : std::nullopt;
    auto const type = http::parse_content_type(call.header("Content-Type").value_or(""));
    if (!body || !type || !type->is("multipart/form-data")) return Answer::empty(0);
    http::MultipartParser parser(type->boundary);
    std::string parts[2];
    for (std::size_t n = 0;;) {
        auto const step = parser.next(*body);
        if (step.event == Event::part_begin) {
            bool const expected = n < 2 && parser.part().name == (n == 0 ? "metadata" : "file");
            if (!expected || !parser.part().has_filename) return Answer::empty(0);
        } else if (step.event == Event::data) {
            parts[n].append(step.data);
        } else if (step.event == Event::part_end) {
            ++n;
        } else if (step.event == Event::end && n == 2) {
            break;
        } else {
            return Answer::empty(0);
        }
    }
    FileMetadata metadata;
    if (parts[0].size() > kMaxMetadata ||
        decode_text(parts[0], wire::Codec<FileMetadata>::ops, &metadata, true))
        return Answer::empty(0);
    fs::WriteOptions options;
    if (metadata.path.empty() || write_options(access, metadata, options)) return Answer::empty(0);
    std::string const path = options.path;
    // Somebody changes a file on the ground of what it held: the file may be this one, and Upload waits.
    if (access.files->may_hang(path) || access.files->any_held()) return Answer::empty(0);
    auto const written = fs::PutFile(std::move(options), std::move(parts[1])).run_quick();
    if (!written) return Answer::empty(0);
    return *written ? Answer::empty() : write_failure(written->error(), path);
}

Task<Result<Answer>> upload(FileAccess access, Call& call) {
    auto const type = http::parse_content_type(call.header("Content-Type").value_or(""));
    if (!type || !type->is("multipart/form-data") || type->boundary.empty() || call.body->done())
        co_return refusal(400, code::kFile, "multipart form is empty");
    Upload run(std::move(access), call, type->boundary);
    co_return co_await run.run();
}

}  // namespace execd::opensandbox
