#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.hpp"
#include "base/utf8.hpp"
#include "fs/content.hpp"
#include "fs/pattern.hpp"
#include "fs/search.hpp"
#include "fs/text.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kBinaryProbe = 8192;
constexpr std::uint32_t kMaxContext = 100;

class Searcher {
  public:
    Searcher(Grep const& options, Pattern pattern)
        : options_(options),
          pattern_(std::move(pattern)),
          skip_(options.skip),
          until_(std::chrono::steady_clock::now() + std::chrono::milliseconds(options.max_ms)) {
        pattern_.set_stop([this] { return cancelled() || late(); });
    }
    Searcher(Searcher const&) = delete;
    Searcher& operator=(Searcher const&) = delete;

    Result<GrepResult> run() {
        auto include = GlobSet::compile(options_.include, {.negation = true});
        if (!include) return Failure(include.error());
        auto want = [include = std::move(*include)](std::string_view name, std::string_view relative,
                                                    Kind kind) {
            return kind == Kind::file && (include.empty() || include.match(relative, name));
        };
        Walker walker(options_, std::move(want), options_.cancel);
        WalkItem item;
        while (out_.limit.empty()) {
            auto more = walker.next(item);
            if (!more) return Failure(more.error());
            if (!*more) break;
            search_file(item.path);
            if (cancelled()) return fail(Code::cancelled, "walk");
            if (late()) stop("time");
        }
        out_.files_skipped += walker.skipped();
        out_.too_hard = pattern_.too_hard();
        return std::move(out_);
    }

  private:
    [[nodiscard]] bool cancelled() const {
        return options_.cancel && options_.cancel->load(std::memory_order_relaxed);
    }
    [[nodiscard]] bool late() const { return std::chrono::steady_clock::now() > until_; }
    /// Between the matches of one file.
    [[nodiscard]] bool goes_on() {
        return out_.limit.empty() && ((++steps_ & 255U) != 0 || !(cancelled() || late()));
    }
    void stop(char const* limit) {
        out_.truncated = true;
        out_.limit = limit;
    }
    /// The file's text in text_; false when there is nothing to search.
    bool load(std::string const& path) {
        // A root that was followed (fs/through_link.hpp) may be a link to the file.
        bool const root = options_.path.ends_with('/') && path.size() < options_.path.size();
        UniqueFd const fd(
            ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (root ? 0 : O_NOFOLLOW)));
        struct ::stat stat {};
        if (!fd || ::fstat(fd.get(), &stat) != 0 || !S_ISREG(stat.st_mode)) return false;
        auto const size = static_cast<std::uint64_t>(stat.st_size);
        if (size > options_.max_file_size) {
            ++out_.skipped_large;
            return false;
        }
        if (buffer_.size() < size) buffer_.resize(size);
        auto const n = read_at(fd.get(), std::span(buffer_.data(), size), 0);
        if (!n) return false;
        text_ = std::string_view(buffer_).substr(0, *n);
        auto const encoding = detect_encoding(text_);
        if (encoding == Encoding::utf16_le || encoding == Encoding::utf16_be) {
            auto text = decode_text(text_, encoding);
            if (!text) return false;
            decoded_ = std::move(*text);
            text_ = decoded_;
            return true;
        }
        return std::memchr(text_.data(), '\0', std::min(text_.size(), kBinaryProbe)) == nullptr;
    }
    void search_file(std::string const& path) {
        if (!load(path)) {
            ++out_.files_skipped;
            return;
        }
        ++out_.files_searched;
        line_ = 1;
        counted_ = 0;
        bool const found = options_.multiline ? search_spans(path) : search_lines(path);
        if (found) ++out_.files_matched;
    }
    bool search_lines(std::string const& path) {
        bool found = false;
        std::size_t at = 0;
        while (at < text_.size() && goes_on()) {
            auto const hit = pattern_.find_line(text_, at);
            if (!hit) break;
            found = true;
            add(path, hit->line, hit->match);
            at = hit->line.end + 1;
        }
        return found;
    }
    bool search_spans(std::string const& path) {
        bool found = false;
        std::size_t at = 0;
        while (at <= text_.size() && goes_on()) {
            auto const hit = pattern_.find(text_, at);
            if (!hit) break;
            found = true;
            auto const begin = hit->begin == 0 ? std::string_view::npos : text_.rfind('\n', hit->begin - 1);
            auto const last = hit->end > hit->begin ? hit->end - 1 : hit->end;
            Span lines{begin == std::string_view::npos ? 0 : begin + 1,
                       std::min(text_.find('\n', last), text_.size())};
            add(path, lines, {hit->begin - lines.begin, hit->end - lines.begin});
            at = std::max(lines.end + 1, hit->end);
        }
        return found;
    }
    void add(std::string const& path, Span line, Span match) {
        if (skip_ > 0) {
            --skip_;
            return;
        }
        if (out_.matches.size() == options_.max_matches) return stop("matches");
        for (; counted_ < line.begin; ++counted_) {
            auto const* const newline =
                static_cast<char const*>(std::memchr(text_.data() + counted_, '\n', line.begin - counted_));
            if (newline == nullptr) break;
            counted_ = static_cast<std::size_t>(newline - text_.data());
            ++line_;
        }
        counted_ = line.begin;
        GrepMatch found;
        found.file = path;
        found.line = line_;
        found.text = cut(text_.substr(line.begin, line.end - line.begin));
        found.column = static_cast<std::uint32_t>(std::min(match.begin, found.text.size()));
        found.length = static_cast<std::uint32_t>(std::min(match.end, found.text.size()) - found.column);
        add_context(found, line);
        bytes_ += found.text.size();
        for (auto const& text : found.before) bytes_ += text.size();
        for (auto const& text : found.after) bytes_ += text.size();
        out_.matches.push_back(std::move(found));
        if (bytes_ > options_.max_bytes) stop("bytes");
    }
    void add_context(GrepMatch& found, Span line) const {
        auto at = line.begin;
        for (auto n = std::min(options_.before, kMaxContext); n > 0 && at > 0; --n) {
            auto const end = at - 1;
            auto const newline = end == 0 ? std::string_view::npos : text_.rfind('\n', end - 1);
            at = newline == std::string_view::npos ? 0 : newline + 1;
            found.before.insert(found.before.begin(), cut(text_.substr(at, end - at)));
        }
        at = line.end + 1;
        for (auto n = std::min(options_.after, kMaxContext); n > 0 && at < text_.size(); --n) {
            auto const end = std::min(text_.find('\n', at), text_.size());
            found.after.push_back(cut(text_.substr(at, end - at)));
            at = end + 1;
        }
    }
    std::string cut(std::string_view text) const {
        if (text.ends_with('\r')) text.remove_suffix(1);
        if (text.size() > options_.max_line) {
            auto end = std::size_t{options_.max_line};
            while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
            text = text.substr(0, end);
        }
        return std::string(text);
    }

    Grep const& options_;
    Pattern pattern_;
    GrepResult out_;
    std::string buffer_;
    std::string decoded_;  // of UTF-16
    std::string_view text_;
    std::uint64_t skip_;
    std::uint64_t steps_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t line_ = 1;
    std::size_t counted_ = 0;
    std::chrono::steady_clock::time_point until_;
};

}  // namespace

Result<GrepResult> Grep::run() const {
    PatternOptions how;
    how.fixed = fixed;
    how.ignore_case = ignore_case;
    how.multiline = multiline;
    auto compiled = Pattern::compile(pattern, how);
    if (!compiled) return Failure(compiled.error());
    return Searcher(*this, std::move(*compiled)).run();
}

std::vector<std::string> type_globs(std::string_view type) {
    struct Type {
        std::string_view name;
        std::vector<std::string> globs;
    };
    static std::vector<Type> const types = {
        {"c", {"*.c", "*.h"}},
        {"cpp", {"*.cpp", "*.cc", "*.cxx", "*.hpp", "*.hh", "*.hxx", "*.h", "*.inl"}},
        {"cmake", {"*.cmake", "CMakeLists.txt"}},
        {"cs", {"*.cs"}},
        {"css", {"*.css", "*.scss"}},
        {"csv", {"*.csv"}},
        {"docker", {"*Dockerfile*"}},
        {"go", {"*.go"}},
        {"html", {"*.htm", "*.html", "*.ejs"}},
        {"java", {"*.java", "*.jsp", "*.jspx", "*.properties"}},
        {"js", {"*.js", "*.jsx", "*.vue", "*.cjs", "*.mjs"}},
        {"json", {"*.json", "composer.lock", "*.sarif"}},
        {"kotlin", {"*.kt", "*.kts"}},
        {"log", {"*.log"}},
        {"lua", {"*.lua"}},
        {"make", {"[Gg][Nn][Uu]makefile", "[Mm]akefile", "*.mk", "*.mak"}},
        {"markdown", {"*.markdown", "*.md", "*.mdown", "*.mkd", "*.mdx"}},
        {"md", {"*.markdown", "*.md", "*.mdown", "*.mkd", "*.mdx"}},
        {"perl", {"*.perl", "*.pl", "*.plh", "*.plx", "*.pm", "*.t"}},
        {"php", {"*.php", "*.php3", "*.php4", "*.php5", "*.phtml"}},
        {"protobuf", {"*.proto"}},
        {"py", {"*.py", "*.pyi"}},
        {"python", {"*.py", "*.pyi"}},
        {"r", {"*.r", "*.R", "*.Rmd", "*.Rnw"}},
        {"ruby", {"*.rb", "*.rbw", "*.gemspec", "Gemfile", "Rakefile", "config.ru"}},
        {"rust", {"*.rs"}},
        {"scala", {"*.scala", "*.sbt"}},
        {"sh", {"*.sh", "*.bash", "*.zsh", "*.ksh", ".bashrc", ".profile", ".zshrc", ".bash_profile"}},
        {"sql", {"*.sql", "*.psql"}},
        {"swift", {"*.swift"}},
        {"toml", {"*.toml", "Cargo.lock"}},
        {"ts", {"*.ts", "*.tsx", "*.cts", "*.mts"}},
        {"txt", {"*.txt"}},
        {"xml", {"*.xml", "*.xsd", "*.xsl", "*.xslt", "*.rng", "*.sch", "*.xhtml"}},
        {"yaml", {"*.yaml", "*.yml"}},
    };
    for (auto const& known : types)
        if (known.name == type) return known.globs;
    return {};
}

}  // namespace execd::fs
