// /filesystem/upload and /filesystem/download (contracts/agentrun.md §5.3).
#include <array>
#include <cstdlib>

#include "execd/dialects/agentrun/parts.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/multipart.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/reader.hpp"
#include "fs/spool.hpp"
#include "fs/writer.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

namespace {

constexpr std::size_t kLongestField = 16U << 10;
constexpr std::uint64_t kHeads = 64U << 10;  // of what is announced, this may be part heads and boundaries

std::string temporary_directory() {
    char const* const set = std::getenv("TMPDIR");
    return set != nullptr && *set == '/' ? set : "/tmp";
}

Failure wrong(std::string why) { return fail(Code::invalid_argument, "", std::move(why)); }

/// The parts come in any order: a file goes straight to its place when `path` came before it (the Python
/// SDK), and waits in a spool otherwise (the Node SDK). Nothing is seen of it before the whole request was
/// read.
class Upload {
  public:
    Upload(State& state, Call& call, std::string boundary)
        : state_(state), call_(call), parser_(std::move(boundary)) {}

    Task<Result<WrittenAnswer>> run() {
        for (bool open = true; open;) {
            auto block = co_await call_.body->next();
            if (!block) co_return Failure(block.error());
            open = !block->empty();
            received_ += block->size();
            std::string_view rest = *block;
            for (bool more = open; more;) {
                auto const step = parser_.next(rest);
                more = step.event != Event::need_more;
                auto taken = co_await take(step);
                if (!taken) co_return Failure(taken.error());
            }
        }
        if (!parser_.finish()) co_return wrong(std::string(to_string(parser_.fault())));
        co_return co_await finish();
    }

  private:
    using Event = http::MultipartParser::Event;

    Task<Result<void>> take(http::MultipartParser::Step step) {
        if (step.event == Event::fault) co_return wrong(std::string(to_string(parser_.fault())));
        if (step.event == Event::part_begin) co_return co_await begin_part();
        if (step.event == Event::part_end) {
            field_ = nullptr;
            in_file_ = false;
        }
        if (step.event != Event::data) co_return Result<void>();
        if (in_file_) co_return co_await write(step.data);
        if (field_ == nullptr) co_return Result<void>();
        if (field_->size() + step.data.size() > kLongestField) co_return wrong("a field is too long");
        field_->append(step.data);
        co_return Result<void>();
    }

    Task<Result<void>> begin_part() {
        auto const& part = parser_.part();
        field_ = part.name == "path" ? &path_ : part.name == "current_path" ? &current_path_ : nullptr;
        if (field_ != nullptr) field_->clear();
        in_file_ = part.name == "file";
        if (!in_file_) co_return Result<void>();
        if (has_file_) co_return wrong("more than one part is called file");
        has_file_ = true;
        filename_ = part.filename;
        if (path_.empty()) {
            spool_.emplace(state_.services.loop, temporary_directory());
            co_return Result<void>();
        }
        auto const length = call_.body->content_length();
        std::uint64_t const used = received_ + kHeads;
        co_return co_await open_writer(length && *length > used ? *length - used : 0);
    }

    Task<Result<void>> open_writer(std::uint64_t expected) {
        std::string name(fs::base_name(fs::clean_path(filename_)));
        if (name == "." || name == ".." || name == "/") name.clear();
        std::string wanted = path_;
        if (wanted.empty() && name.empty()) co_return wrong("path is required");
        if (wanted.empty()) wanted = fs::join_path(current_path_.empty() ? "." : current_path_, name);
        if (wanted.ends_with('/')) wanted += name;
        auto path = co_await path_of(state_, std::move(wanted));
        if (!path) co_return Failure(path.error());
        target_ = std::move(*path);
        fs::WriteOptions options(target_);
        options.expected = expected;
        writer_.emplace(*state_.services.files, std::move(options));
        co_return co_await writer_->open();
    }

    Task<Result<void>> write(std::string_view bytes) {
        if (writer_) co_return co_await writer_->write(bytes);
        co_return co_await spool_->append(bytes);
    }

    Task<Result<WrittenAnswer>> finish() {
        if (!has_file_) co_return wrong("the part file is missing");
        if (!writer_) {
            auto opened = co_await open_writer(spool_->size());
            if (!opened) co_return Failure(opened.error());
            for (;;) {
                auto piece = co_await spool_->next();
                if (!piece) co_return Failure(piece.error());
                if (piece->empty()) break;
                auto done = co_await writer_->write(*piece);
                if (!done) co_return Failure(done.error());
            }
        }
        auto written = co_await writer_->commit();
        if (!written) co_return Failure(written.error());
        WrittenAnswer out;
        out.path = target_;
        out.size = written->size;
        co_return out;
    }

    State& state_;
    Call& call_;
    http::MultipartParser parser_;
    std::uint64_t received_ = 0;
    std::string path_;
    std::string current_path_;
    std::string* field_ = nullptr;
    bool in_file_ = false;
    bool has_file_ = false;
    std::string filename_;
    std::string target_;
    std::optional<fs::Spool> spool_;
    std::optional<fs::Writer> writer_;
};

Task<Result<WrittenAnswer>> upload(State& state, Call& call, http::Nothing) {
    auto const type = http::parse_content_type(call.header("Content-Type").value_or(""));
    if (!type || !type->is("multipart/form-data") || type->boundary.empty())
        co_return wrong("multipart/form-data with the parts path and file is expected");
    Upload run(state, call, type->boundary);
    co_return co_await run.run();
}

// ---- download

std::string_view media_type_of(std::string_view path) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kTypes{
        {{".txt", "text/plain; charset=utf-8"},
         {".log", "text/plain; charset=utf-8"},
         {".md", "text/markdown; charset=utf-8"},
         {".py", "text/x-python; charset=utf-8"},
         {".csv", "text/csv; charset=utf-8"},
         {".html", "text/html; charset=utf-8"},
         {".css", "text/css; charset=utf-8"},
         {".js", "text/javascript; charset=utf-8"},
         {".json", "application/json"},
         {".xml", "application/xml"},
         {".pdf", "application/pdf"},
         {".zip", "application/zip"},
         {".gz", "application/gzip"},
         {".tar", "application/x-tar"},
         {".png", "image/png"},
         {".jpg", "image/jpeg"},
         {".jpeg", "image/jpeg"},
         {".gif", "image/gif"},
         {".svg", "image/svg+xml"},
         {".webp", "image/webp"},
         {".mp4", "video/mp4"},
         {".mkv", "video/x-matroska"}}};
    std::string const extension = http::to_lower(fs::extension_of(path));
    for (auto const& [known, type] : kTypes)
        if (known == extension) return type;
    return "application/octet-stream";
}

// Files in /proc say size 0 and mean "read me to the end".
class Unsized final : public http::Producer {
  public:
    Unsized(fs::Executor& files, fs::OpenFile file) : files_(files), file_(std::move(file)) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        std::string block(64U << 10, '\0');
        for (std::uint64_t at = 0;;) {
            auto got = co_await fs::read_some(files_, file_, at, block);
            if (!got) co_return Failure(got.error());
            if (*got == 0) co_return Result<void>();
            at += *got;
            auto sent = co_await writer.write(std::string_view(block).substr(0, *got));
            if (!sent) co_return sent;
        }
    }

  private:
    fs::Executor& files_;
    fs::OpenFile file_;
};

// As long as it was when it was opened: what grows meanwhile is not waited for (§11.5).
Task<Result<Answer>> download(State& state, Call&, PathQuery query) {
    auto const& asked = query.path ? query.path : query.body_path;
    if (!asked) co_return wrong("path is required");
    auto path = co_await path_of(state, *asked);
    if (!path) co_return Failure(path.error());
    auto opened = co_await fs::open_for_read(*state.services.files, *path);
    if (!opened) co_return Failure(opened.error());
    fs::OpenFile file = std::move(*opened);
    Answer answer;
    answer.headers.set("Content-Type", std::string(media_type_of(*path)));
    answer.headers.set("Content-Disposition", http::content_disposition("attachment", fs::base_name(*path)));
    answer.headers.set("ETag", "\"" + file.etag() + "\"");
    if (!file.sized) {
        answer.body = std::make_unique<Unsized>(*state.services.files, std::move(file));
        co_return answer;
    }
    http::FilePart part;
    part.length = file.size;
    part.fd = std::move(file.fd);
    answer.body = std::move(part);
    co_return answer;
}

}  // namespace

void add_transfers(Table& table) {
    auto row = row_of("POST", "/filesystem/upload", "uploadFile",
                      "A file as multipart/form-data: parts path and file, in any order.");
    row.body = http::BodyPolicy::multipart;
    row.body_limit = table.state()->services.config.upload_limit;
    table.add<http::Nothing, WrittenAnswer>(std::move(row), upload);
    row = row_of("GET", "/filesystem/download", "downloadFile", "A file's bytes.");
    row.statuses = {{200, nullptr, "application/octet-stream", "The bytes"}};
    table.add<PathQuery, http::Nothing>(std::move(row), download);
}

}  // namespace execd::agentrun
