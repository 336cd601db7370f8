// The chunked transfer coding (RFC 9112 §7.1), strict: hexadecimal sizes, CRLF only, bounded extensions and
// trailers, and no tolerance where two parsers could see two different bodies. Used for request bodies and
// proxied answers. Pure.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace execd::http {

struct ChunkedLimits {
    std::size_t line = 1024;  // one size line with its extension
    std::size_t overhead =
        16 * 1024;  // framing bytes beyond 16 + twice the data: extensions cannot be a free channel
    std::size_t trailers = 16 * 1024;
};

enum class ChunkedFault : std::uint8_t {
    none,
    bad_size,          // no or other than hexadecimal digits
    size_overflow,     // over 2^60
    bad_extension,     // a control byte, or something else than ';' after the size
    bad_line_end,      // LF without CR, or CR without LF
    missing_line_end,  // the data is not followed by CRLF
    line_too_long,
    too_much_overhead,
    bad_trailer,
    trailers_too_large,
    truncated,  // the connection ended inside the body
};
[[nodiscard]] std::string_view to_string(ChunkedFault) noexcept;

/// Pull parser like MultipartParser: `next` consumes a prefix of the block; bytes after the end stay in the
/// block (they belong to the next message).
class ChunkedDecoder {
  public:
    enum class Event : std::uint8_t { need_more, data, end, fault };
    struct Step {
        Event event = Event::need_more;
        std::string_view data;  // a view into the block
    };

    explicit ChunkedDecoder(ChunkedLimits limits = {}) : limits_(limits) {}
    [[nodiscard]] Step next(std::string_view& block);
    /// The connection has ended: true if the body was whole.
    [[nodiscard]] bool finish() noexcept;
    [[nodiscard]] bool ended() const noexcept { return state_ == State::done; }
    [[nodiscard]] ChunkedFault fault() const noexcept { return fault_; }
    /// Bytes of data that are known to follow without a further size line.
    [[nodiscard]] std::uint64_t chunk_left() const noexcept { return left_; }
    /// After the end: the trailer lines as sent (for_each_field reads them), already checked.
    [[nodiscard]] std::string_view trailers() const noexcept { return trailers_; }

  private:
    enum class State : std::uint8_t {
        size,
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer,
        done,
        fault
    };
    Step fail(ChunkedFault fault) noexcept;
    // One byte of framing; false: a fault.
    [[nodiscard]] bool on_byte(char c);
    [[nodiscard]] bool on_size_byte(char c) noexcept;
    [[nodiscard]] bool on_size_line() noexcept;
    [[nodiscard]] bool on_trailer_byte(char c);
    [[nodiscard]] bool on_trailer_line(std::string_view line) const noexcept;

    ChunkedLimits limits_;
    State state_ = State::size;
    ChunkedFault fault_ = ChunkedFault::none;
    std::uint64_t left_ = 0;
    std::size_t line_ = 0;
    std::size_t digits_ = 0;
    std::uint64_t overhead_ = 0;
    std::string trailers_;
    std::size_t trailer_line_ = 0;  // where the current trailer line begins
};

/// "1f4" CRLF, without allocation. After the data comes kChunkEnd; the body ends with kLastChunk.
struct ChunkHead {
    std::array<char, 18> bytes{};
    std::uint8_t size = 0;
    [[nodiscard]] std::string_view view() const noexcept { return {bytes.data(), size}; }
};
[[nodiscard]] ChunkHead chunk_head(std::uint64_t size) noexcept;
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace execd::http
