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

}  // namespace execd::shell
