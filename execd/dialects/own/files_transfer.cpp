// /execd/v1/files/archive and /execd/v1/files/content (docs/files.md): trees and files as streams of bytes.
#include <algorithm>
#include <cctype>

#include "execd/dialects/own/files_parts.hpp"
#include "execd/http/fields.hpp"
#include "fs/archive.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/spool.hpp"
#include "fs/text.hpp"
#include "fs/through_link.hpp"
#include "fs/writer.hpp"

namespace execd::own::files {

using http::Answer;
using http::Call;

namespace {

constexpr std::size_t kSlice = 256U << 10;

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

// ---- a directory as an archive

struct NextSlice {
    using Answer = std::string;
    static constexpr Lane kLane = Lane::bulk;
    NextSlice(bool slow, std::shared_ptr<fs::Packer> from) : may_hang(slow), packer(std::move(from)) {}
    bool may_hang;
    std::shared_ptr<fs::Packer> packer;
    [[nodiscard]] Result<std::string> run() const {
        std::string out;
        auto ok = packer->next(out, kSlice);
        if (!ok) return Failure(ok.error());
        return out;
    }
};

class ArchiveStream final : public http::Producer {
  public:
    ArchiveStream(fs::Executor& files, fs::PackOptions options)
        : files_(files),
          path_(options.path),
          packer_(std::make_shared<fs::Packer>(std::move(options), cancel_)) {}
    ~ArchiveStream() override {
        cancel_->store(true);
        // Compressors hold megabytes and directories descriptors: given back by a thread that may wait.
        files_.loop().pool().submit(Lane::bulk, [packer = std::move(packer_)]() mutable { packer.reset(); });
    }
    Task<Result<void>> produce(http::Writer& writer) override {
        while (!packer_->done()) {
            NextSlice next(files_.may_hang(path_), packer_);
            auto slice = co_await files_.run_here(std::move(next));
            if (!slice) co_return Failure(slice.error());
            auto sent = co_await writer.write(*slice);
            if (!sent) co_return sent;
        }
        co_return Result<void>();
    }

  private:
    fs::Executor& files_;
    std::string path_;
    fs::CancelFlag cancel_ = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<fs::Packer> packer_;
};

Task<Result<Answer>> pack(Services& services, Call& call) {
    PackQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = path_of(services, request.path);
    if (!path) co_return Failure(path.error());
    auto const format = fs::archive_format(request.format);
    if (!format) co_return fail(Code::invalid_argument, "request", "query.format: tar, tar.gz or tar.zst");
    auto const there = co_await services.files->run(fs::Stat(*path, true));
    if (!there) co_return Failure(there.error());
    if (there->kind == fs::Kind::other)
        co_return fail(Code::invalid_argument, "open.special", *path + " is neither a file nor a directory");
    fs::PackOptions options(fs::through_link(*path));
    options.format = *format;
    options.level = request.level;
    options.exclude = std::move(request.exclude);
    options.gitignore = request.gitignore;
    std::string const name =
        std::string(*path == "/" ? "root" : fs::base_name(*path)) + std::string(fs::suffix_of(*format));
    Answer answer = Answer::stream(fs::media_type_of(*format),
                                   std::make_unique<ArchiveStream>(*services.files, std::move(options)));
    answer.headers.set("Content-Disposition", http::content_disposition("attachment", name));
    co_return answer;
}

// ---- an archive as a directory

struct HashFile {
    explicit HashFile(int borrowed) : fd(borrowed) {}
    int fd;
    Result<std::string> operator()() const { return fs::sha256_of_file(fd); }
};

/// The body in a file without a name on the file system of `directory`.
Task<Result<UniqueFd>> spool_body(Services& services, Call& call, std::string directory) {
    fs::Spool spool(*services.files, std::move(directory));
    for (;;) {
        auto block = co_await call.body->next();
        if (!block) co_return Failure(block.error());
        if (block->empty()) break;
        auto ok = co_await spool.append(*block);
        if (!ok) co_return Failure(ok.error());
    }
    co_return co_await spool.take_file();
}

/// `path`, or the nearest above it that is there.
Task<Result<std::string>> nearest_directory(Services& services, std::string path) {
    for (;;) {
        auto const entry = co_await services.files->run(fs::Stat(path, true));
        if (entry && entry->kind != fs::Kind::directory) co_return fail_errno("open", ENOTDIR, path);
        if (entry) co_return path;
        if (entry.error().code != Code::not_found || path == "/") co_return Failure(entry.error());
        path = fs::parent_of(std::string(path));
    }
}

Task<Result<Answer>> unpack(Services& services, Call& call) {
    UnpackQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = path_of(services, request.path);
    if (!path) co_return Failure(path.error());
    // Unpacking makes the directory, once all of the archive is known to be sound.
    auto const place = co_await nearest_directory(services, *path);
    if (!place) co_return Failure(place.error());
    if (auto const length = call.body->content_length()) {
        auto const space = co_await services.files->run(fs::DiskSpace(*place));
        if (space && *length > space->free)
            co_return fail(
                Code::no_space, "write",
                std::to_string(*length) + " bytes wanted, " + std::to_string(space->free) + " free");
    }
    auto file = co_await spool_body(services, call, *place);
    if (!file) co_return Failure(file.error());
    if (request.sha256) {
        HashFile hash(file->get());
        auto const digest = co_await services.loop.pool().run(Lane::bulk, std::move(hash));
        if (!digest) co_return Failure(digest.error());
        if (*digest != lower(*request.sha256))
            co_return fail(Code::conflict, "sha256", "the body's digest is " + *digest);
    }
    fs::UnpackOptions options(*path);
    options.overwrite = request.overwrite;
    options.owners = request.owners;
    options.max_bytes = request.max_bytes;
    options.max_entries = request.max_entries;
    fs::Unpack op(std::move(options), std::move(*file));
    auto done = co_await services.files->run(std::move(op));
    if (!done) co_return Failure(done.error());
    UnpackedBody out;
    out.files = done->files;
    out.directories = done->directories;
    out.links = done->links;
    out.bytes = done->bytes;
    out.skipped = done->skipped;
    co_return answer_of(out);
}

// ---- one file

Task<Result<Answer>> put_content(Services& services, Call& call) {
    ContentQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = path_of(services, request.path);
    if (!path) co_return Failure(path.error());
    fs::WriteOptions options(*path);
    options.length = call.body->content_length();
    if (request.sha256) options.sha256 = lower(*request.sha256);
    if (request.mode) options.mode = mode_of(*request.mode);
    options.owner = fs::Ownership(std::move(request.owner), std::move(request.group));
    if (request.create_only) options.existing = fs::Existing::refuse;
    bool const large = options.length.value_or(0) > kSlice;
    fs::Writer writer(*services.files, std::move(options));
    if (large) {
        auto opened = co_await writer.open();  // what cannot be is said before the body is read
        if (!opened) co_return Failure(opened.error());
    }
    for (;;) {
        auto block = co_await call.body->next();
        if (!block) co_return Failure(block.error());
        if (block->empty()) break;
        auto ok = co_await writer.write(*block);
        if (!ok) co_return Failure(ok.error());
    }
    auto written = co_await writer.commit();
    if (!written) co_return Failure(written.error());
    WrittenBody out;
    out.path_base64 = exact_bytes(written->path);
    out.path = std::move(written->path);
    out.size = written->size;
    out.created = written->created;
    out.mtime_ns = written->mtime_ns;
    co_return answer_of(out, out.created ? 201 : 200);
}

}  // namespace

void add_transfers(Services& services, std::vector<http::Row>& out) {
    Services* const s = &services;
    auto row = file_row("GET", "/execd/v1/files/archive", "packDirectory",
                        "A directory (or a file) as tar, tar.gz or tar.zst.");
    row.request = &wire::Codec<PackQuery>::ops;
    row.statuses = {{200, nullptr, "application/gzip", "The archive"}};
    row.on_disconnect = http::OnDisconnect::cancel;
    row.invoke = [s](Call& call) { return pack(*s, call); };
    out.push_back(std::move(row));

    row =
        file_row("PUT", "/execd/v1/files/archive", "unpackArchive",
                 "Unpacks the body (tar, tar.gz, tar.zst) into a directory; nothing is written unless all of "
                 "it is sound.");
    row.request = &wire::Codec<UnpackQuery>::ops;
    row.body = http::BodyPolicy::raw;
    row.body_limit = services.config.upload_limit;
    row.statuses = {{200, &wire::Codec<UnpackedBody>::ops, "application/json", "What was made"}};
    row.on_disconnect = http::OnDisconnect::cancel;
    row.invoke = [s](Call& call) { return unpack(*s, call); };
    out.push_back(std::move(row));

    row = file_row(
        "PUT", "/execd/v1/files/content", "putFile",
        "Writes the body as a file: the old one or the whole new one, checked against its length and "
        "digest.");
    row.request = &wire::Codec<ContentQuery>::ops;
    row.body = http::BodyPolicy::raw;
    row.body_limit = services.config.upload_limit;
    row.statuses = {{200, &wire::Codec<WrittenBody>::ops, "application/json", "Replaced"},
                    {201, &wire::Codec<WrittenBody>::ops, "application/json", "New"}};
    row.on_disconnect = http::OnDisconnect::cancel;
    row.invoke = [s](Call& call) { return put_content(*s, call); };
    out.push_back(std::move(row));
}

}  // namespace execd::own::files
