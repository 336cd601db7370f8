// multipart/form-data as a stream (RFC 7578, RFC 2046 §5.1): bytes go in at any chunking, parts come out as
// they are found and nothing but a part's head is ever copied. A 1 GiB upload is one pass of a substring
// search. Facts: contracts/opensandbox.md §1.8 Upload, opensandbox-1.1.md §2.5, e2b.md (names carry
// directories).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace execd::http {

struct MultipartLimits {
    std::size_t parts = 10'000;
    std::size_t part_head = 16 * 1024;  // bytes of one part's header lines
    std::size_t part_fields = 64;
    std::size_t preamble = 64 * 1024;
};

enum class MultipartFault : std::uint8_t {
    none,
    bad_boundary,   // empty, over 70 bytes or a byte that no boundary may have
    bad_delimiter,  // a boundary followed by neither a line end nor "--"
    bad_part_head,  // a header line that is none
    too_many_parts,
    part_head_too_large,
    preamble_too_large,
    truncated,  // the body ended before the closing boundary
};
[[nodiscard]] std::string_view to_string(MultipartFault) noexcept;

/// The head of the current part.
struct PartHead {
    std::string name;           // empty if there is none
    std::string filename;       // filename* (decoded) before filename; `\"` and `\\` undone, %22 left as sent
    bool has_filename = false;  // makes it a file and not a form value, also when empty
    std::string content_type;   // as sent, may be empty
    std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
};

/// Pull parser. Usage: for every received block `while ((step = parser.next(block)).event != need_more) ...`,
/// at the end of the body `parser.finish()`. Owned and used by one coroutine.
class MultipartParser {
  public:
    enum class Event : std::uint8_t {
        need_more,   // the whole block is consumed
        part_begin,  // part() is valid until the next part_begin
        data,        // step.data: bytes of the part, valid until the block or the parser goes away
        part_end,
        end,    // the closing boundary; what follows (epilogue) is skipped
        fault,  // fault() says why; every further call gives the same
    };
    struct Step {
        Event event = Event::need_more;
        std::string_view data;
    };

    explicit MultipartParser(std::string_view boundary, MultipartLimits limits = {});
    /// Consumes a prefix of `block` (shortens it) and gives the next event.
    [[nodiscard]] Step next(std::string_view& block);
    /// The body has ended: true if the closing boundary was seen, otherwise fault() is `truncated` (or what
    /// came first).
    [[nodiscard]] bool finish() noexcept;
    [[nodiscard]] PartHead const& part() const noexcept { return part_; }
    [[nodiscard]] MultipartFault fault() const noexcept { return fault_; }
    [[nodiscard]] std::size_t parts() const noexcept { return parts_; }

  private:
    enum class State : std::uint8_t { preamble, data, after_delimiter, head, epilogue, done, fault };
    struct Found {
        std::string_view data;
        bool delimiter = false;
    };
    Step fail(MultipartFault fault) noexcept;
    // nullopt: nothing to report yet, go on with what is left of the block.
    std::optional<Step> on_preamble(std::string_view& block);
    std::optional<Step> on_data(std::string_view& block);
    std::optional<Step> on_after_delimiter(std::string_view& block);
    std::optional<Step> on_head(std::string_view& block);
    Found search(std::string_view& block) noexcept;
    void expect_delimiter() noexcept;
    [[nodiscard]] bool parse_head();
    [[nodiscard]] bool parse_head_line(std::string_view line);

    std::string delimiter_;  // CRLF "--" boundary
    MultipartLimits limits_;
    State state_ = State::preamble;
    MultipartFault fault_ = MultipartFault::none;
    // How much of the delimiter the last block ended with. Its line end may belong to what came before: a
    // body may begin with "--boundary" and an empty part too; `assumed_` bytes of the match were never data.
    std::size_t matched_ = 0;
    std::size_t assumed_ = 0;
    std::size_t preamble_ = 0;
    std::size_t parts_ = 0;
    std::string tail_;  // what follows a delimiter, until it is clear what it is
    std::string head_;
    PartHead part_;
    bool open_part_ = false;
};

}  // namespace execd::http
