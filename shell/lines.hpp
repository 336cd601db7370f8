// LineSplitter: cuts a byte stream into lines at \n, \r\n and lone \r, with the terminators kept, so that
// joining what comes out gives exactly what went in. A CRLF is never cut in two: a \r at the end of the bytes
// so far is held back until the next byte (or flush) tells what it is. Pure.
#pragma once
#include <string>
#include <string_view>

namespace execd::shell {

/// A line with its terminator (0, 1 or 2 bytes at its end).
struct Line {
    std::string_view text;
    std::size_t terminator = 0;
    [[nodiscard]] std::string_view content() const { return text.substr(0, text.size() - terminator); }
};

class LineSplitter {
  public:
    /// Lines longer than `limit` come out in pieces without terminator.
    explicit LineSplitter(std::size_t limit = 1 << 20) : limit_(limit) {}

    /// Calls `emit(Line)` for each line that is complete. Views are valid during the call only.
    template <class Emit>
    void push(std::string_view bytes, Emit&& emit);
    /// What is left without terminator: at the end of the stream, or when a viewer should see an unfinished
    /// line (a prompt) now; the line then goes on as a new piece, and an unfinished UTF-8 character is held
    /// back.
    template <class Emit>
    void flush(Emit&& emit, bool last = true);
    /// Bytes held back.
    [[nodiscard]] std::size_t pending() const { return kept_.size(); }

  private:
    /// Where the next \n is: found once per line feed, not once per line (progress bars have thousands of
    /// \r).
    struct Scan {
        char const* feed = nullptr;
        bool none = false;
    };
    /// Where a piece of `bytes` may end: not inside a UTF-8 character, nor between \r and \n. At least 1.
    [[nodiscard]] static std::size_t piece_end(std::string_view bytes);
    /// Length without an unfinished UTF-8 character at the end.
    [[nodiscard]] static std::size_t whole_characters(std::string_view bytes);
    /// Length of the first whole line in `bytes` with its terminator; 0: none yet.
    [[nodiscard]] static std::size_t line_end(std::string_view bytes, Scan& scan, std::size_t& terminator);
    std::size_t limit_;
    std::string kept_;
};

template <class Emit>
void LineSplitter::push(std::string_view bytes, Emit&& emit) {
    std::size_t terminator = 0;
    Scan scan;
    if (!kept_.empty()) {
        // Only up to the end of the line that was begun: the rest is cut in place, without a copy.
        bool const held_cr = kept_.back() == '\r';
        std::size_t take = 0;
        if (held_cr) {
            if (bytes.empty()) return;
            take = bytes.front() == '\n' ? 1 : 0;
            terminator = 1 + take;
        } else {
            take = line_end(bytes, scan, terminator);
        }
        bool const whole = held_cr || take > 0;
        kept_.append(bytes.substr(0, whole ? take : bytes.size()));
        bytes.remove_prefix(whole ? take : bytes.size());
        if (whole || kept_.size() > limit_) {
            std::size_t const size = whole ? kept_.size() : piece_end(kept_);
            emit(Line{std::string_view(kept_).substr(0, size), whole ? terminator : 0});
            kept_.erase(0, size);
        }
    }
    while (!bytes.empty()) {
        std::size_t const size = line_end(bytes, scan, terminator);
        if (size == 0) break;
        emit(Line{bytes.substr(0, size), terminator});
        bytes.remove_prefix(size);
    }
    while (bytes.size() > limit_) {
        std::size_t const size = piece_end(bytes.substr(0, limit_));
        emit(Line{bytes.substr(0, size), 0});
        bytes.remove_prefix(size);
    }
    kept_.append(bytes);
}

template <class Emit>
void LineSplitter::flush(Emit&& emit, bool last) {
    std::size_t const size = last ? kept_.size() : whole_characters(kept_);
    if (size == 0) return;
    emit(Line{std::string_view(kept_).substr(0, size), kept_[size - 1] == '\r' ? 1UL : 0UL});
    kept_.erase(0, size);
}

}  // namespace execd::shell
