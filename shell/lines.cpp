#include "shell/lines.hpp"

#include <cstring>

namespace execd::shell {

std::size_t LineSplitter::line_end(std::string_view bytes, Scan& scan, std::size_t& terminator) {
    if (bytes.empty()) return 0;
    char const* const begin = bytes.data();
    if (!scan.none && (scan.feed == nullptr || scan.feed < begin)) {
        scan.feed = static_cast<char const*>(std::memchr(begin, '\n', bytes.size()));
        scan.none = scan.feed == nullptr;
    }
    std::size_t const to_feed = scan.none ? bytes.size() : static_cast<std::size_t>(scan.feed - begin);
    auto const* const cr = static_cast<char const*>(std::memchr(begin, '\r', to_feed));
    if (cr == nullptr) {
        terminator = 1;
        return scan.none ? 0 : to_feed + 1;
    }
    std::size_t const to_cr = static_cast<std::size_t>(cr - begin);
    if (to_cr + 1 == bytes.size()) return 0;  // its \n may be the next byte
    terminator = begin[to_cr + 1] == '\n' ? 2 : 1;
    return to_cr + terminator;
}

std::size_t LineSplitter::whole_characters(std::string_view bytes) {
    // At most three bytes of a character can lack its end.
    for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
        auto const c = static_cast<unsigned char>(bytes[bytes.size() - back]);
        if (c < 0x80) break;
        if (c < 0xC0) continue;
        std::size_t const need = c >= 0xF5 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
        return need > back ? bytes.size() - back : bytes.size();
    }
    return bytes.size();
}

std::size_t LineSplitter::piece_end(std::string_view bytes) {
    std::size_t size = bytes.back() == '\r' ? bytes.size() - 1 : whole_characters(bytes);
    if (size == 0) size = bytes.size();
    return size;
}

}  // namespace execd::shell
