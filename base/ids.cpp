#include "base/ids.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>

#include "base/check.hpp"
#include "base/unique_fd.hpp"

namespace execd {

void random_bytes(std::span<std::byte> out) {
    std::size_t have = 0;
    while (have < out.size()) {
        ssize_t n = ::getrandom(out.data() + have, out.size() - have, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            UniqueFd const fd(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
            n = ::read(fd.get(), out.data() + have, out.size() - have);
            EXECD_REQUIRE(n > 0);  // no randomness at all: guessable tokens would be worse than no daemon
        }
        have += static_cast<std::size_t>(n);
    }
}

namespace {
std::string hex_of(std::span<std::byte const> bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (std::byte b : bytes) {
        out += kDigits[static_cast<unsigned>(b) >> 4];
        out += kDigits[static_cast<unsigned>(b) & 15];
    }
    return out;
}
}  // namespace

std::string random_hex(std::size_t bytes) {
    std::string raw(bytes, '\0');
    auto view = std::as_writable_bytes(std::span(raw));
    random_bytes(view);
    return hex_of(view);
}

std::string uuid_hex() {
    std::array<std::byte, 16> b;
    random_bytes(b);
    b[6] = (b[6] & std::byte{0x0f}) | std::byte{0x40};
    b[8] = (b[8] & std::byte{0x3f}) | std::byte{0x80};
    return hex_of(b);
}

std::string uuid() {
    std::string id = uuid_hex();
    for (std::size_t at : {8U, 13U, 18U, 23U}) id.insert(at, 1, '-');
    return id;
}

}  // namespace execd
