#include "execd/http/chunked.hpp"

#include <algorithm>

#include "execd/http/byte_class.hpp"

namespace execd::http {

namespace {
constexpr std::size_t kMaxDigits = 15;  // 2^60 - 1: no sum of sizes can overflow
}

std::string_view to_string(ChunkedFault fault) noexcept {
    switch (fault) {
        case ChunkedFault::none: return "";
        case ChunkedFault::bad_size: return "malformed chunk size";
        case ChunkedFault::size_overflow: return "chunk size out of range";
        case ChunkedFault::bad_extension: return "malformed chunk extension";
        case ChunkedFault::bad_line_end: return "a chunk line does not end in CR LF";
        case ChunkedFault::missing_line_end: return "chunk data is not followed by CR LF";
        case ChunkedFault::line_too_long: return "chunk line too long";
        case ChunkedFault::too_much_overhead: return "too much chunk framing for so little data";
        case ChunkedFault::bad_trailer: return "malformed trailer";
        case ChunkedFault::trailers_too_large: return "trailers are too large";
        case ChunkedFault::truncated: return "the chunked body ends too early";
    }
    return "";
}

ChunkedDecoder::Step ChunkedDecoder::fail(ChunkedFault fault) noexcept {
    state_ = State::fault;
    fault_ = fault;
    return {Event::fault, {}};
}

ChunkedDecoder::Step ChunkedDecoder::next(std::string_view& block) {
    if (state_ == State::fault) return {Event::fault, {}};
    while (state_ != State::done) {
        if (block.empty()) return {};
        if (state_ == State::data) {
            auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, block.size()));
            std::string_view const data = block.substr(0, size);
            block.remove_prefix(size);
            left_ -= size;
            if (left_ == 0) state_ = State::data_cr;
            return {Event::data, data};
        }
        char const c = block.front();
        block.remove_prefix(1);
        if (!on_byte(c)) return fail(fault_);  // the byte handlers say in advance what a refusal would mean
        fault_ = ChunkedFault::none;
    }
    return {Event::end, {}};
}

bool ChunkedDecoder::finish() noexcept {
    if (state_ == State::done) return true;
    if (state_ != State::fault) fail(ChunkedFault::truncated);
    return false;
}

bool ChunkedDecoder::on_byte(char c) {
    switch (state_) {
        case State::size:
        case State::extension:
        case State::size_lf: return on_size_byte(c);
        case State::data_cr:
            fault_ = ChunkedFault::missing_line_end;
            state_ = State::data_lf;
            return c == '\r';
        case State::data_lf:
            fault_ = c == '\n' ? ChunkedFault::none : ChunkedFault::missing_line_end;
            state_ = State::size;
            line_ = digits_ = 0;
            return c == '\n';
        default: return on_trailer_byte(c);
    }
}

bool ChunkedDecoder::on_size_byte(char c) noexcept {
    if (++line_ > limits_.line) {
        fault_ = ChunkedFault::line_too_long;
        return false;
    }
    if (state_ == State::size_lf) {
        fault_ = ChunkedFault::bad_line_end;
        return c == '\n' && on_size_line();
    }
    if (c == '\n') {
        fault_ = ChunkedFault::bad_line_end;
        return false;
    }
    if (state_ == State::extension) {
        fault_ = ChunkedFault::bad_extension;
        if (c == '\r') state_ = State::size_lf;
        return c == '\r' || is_in(c, kFieldByte);
    }
    int const digit = hex_value(c);
    if (digit >= 0) {
        fault_ = ChunkedFault::size_overflow;
        left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
        return ++digits_ <= kMaxDigits;
    }
    fault_ = digits_ == 0 ? ChunkedFault::bad_size : ChunkedFault::bad_extension;
    if (c == '\r') state_ = State::size_lf;
    if (c == ';') state_ = State::extension;
    return digits_ > 0 && (c == '\r' || c == ';');
}

// The size line is complete. Long extensions on tiny chunks make a body many times larger on the wire than
// its data; usual framing never adds up, because every chunk earns more than its own line.
bool ChunkedDecoder::on_size_line() noexcept {
    overhead_ += line_;
    overhead_ -= std::min(overhead_, 16 + 2 * left_);
    fault_ = ChunkedFault::too_much_overhead;
    if (overhead_ > limits_.overhead) return false;
    fault_ = ChunkedFault::none;
    state_ = left_ > 0 ? State::data : State::trailer;
    return true;
}

bool ChunkedDecoder::on_trailer_byte(char c) {
    fault_ = ChunkedFault::trailers_too_large;
    if (trailers_.size() == limits_.trailers) return false;
    trailers_ += c;
    if (c != '\n') {
        fault_ = ChunkedFault::none;
        return true;
    }
    std::string_view line = std::string_view(trailers_).substr(trailer_line_);
    fault_ = ChunkedFault::bad_line_end;
    if (!line.ends_with("\r\n")) return false;
    line.remove_suffix(2);
    fault_ = ChunkedFault::none;
    if (line.empty()) {
        trailers_.resize(trailer_line_);
        state_ = State::done;
        return true;
    }
    if (!on_trailer_line(line)) {
        fault_ = line.find('\r') == std::string_view::npos ? ChunkedFault::bad_trailer
                                                           : ChunkedFault::bad_line_end;
        return false;
    }
    trailer_line_ = trailers_.size();
    return true;
}

bool ChunkedDecoder::on_trailer_line(std::string_view line) const noexcept {
    std::size_t const colon = line.find(':');
    return colon != std::string_view::npos && colon > 0 && all_in(line.substr(0, colon), kTokenByte) &&
           all_in(line.substr(colon + 1), kFieldByte);
}

ChunkHead chunk_head(std::uint64_t size) noexcept {
    static constexpr char kHex[] = "0123456789abcdef";
    ChunkHead head;
    int shift = 60;
    while (shift > 0 && (size >> shift) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) head.bytes[head.size++] = kHex[(size >> shift) & 15];
    head.bytes[head.size++] = '\r';
    head.bytes[head.size++] = '\n';
    return head;
}

}  // namespace execd::http
