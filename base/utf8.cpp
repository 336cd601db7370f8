#include "base/utf8.hpp"

#include <cstring>

namespace execd {

namespace {

enum class Step : std::uint8_t { good, broken, unfinished };
struct Char {
    Step step;
    std::uint8_t length;  // bytes of the character, or of the maximal broken subpart, or available bytes
};

bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

// One character at the start of `s` (not empty). The second byte's range depends on the first (Unicode table
// 3-7).
Char classify(std::string_view s) {
    auto const at = [&s](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    unsigned char const a = at(0);
    if (a < 0x80) return {Step::good, 1};
    std::uint8_t need = 0;
    unsigned char lo = 0x80;
    unsigned char hi = 0xBF;
    if (a >= 0xC2 && a <= 0xDF) {
        need = 2;
    } else if (a >= 0xE0 && a <= 0xEF) {
        need = 3;
        if (a == 0xE0) lo = 0xA0;
        if (a == 0xED) hi = 0x9F;  // no surrogates
    } else if (a >= 0xF0 && a <= 0xF4) {
        need = 4;
        if (a == 0xF0) lo = 0x90;
        if (a == 0xF4) hi = 0x8F;
    } else {
        return {Step::broken, 1};
    }
    for (std::uint8_t i = 1; i < need; ++i) {
        if (i >= s.size()) return {Step::unfinished, i};
        bool const ok = i == 1 ? at(1) >= lo && at(1) <= hi : is_tail(at(i));
        if (!ok) return {Step::broken, i};
    }
    return {Step::good, need};
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::size_t ascii_run(std::string_view s) {
    std::size_t i = 0;
    for (; i + 8 <= s.size(); i += 8) {
        std::uint64_t word;
        std::memcpy(&word, s.data() + i, 8);
        if ((word & 0x8080808080808080ULL) != 0) break;
    }
    while (i < s.size() && static_cast<unsigned char>(s[i]) < 0x80) ++i;
    return i;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view bytes) noexcept {
    std::size_t at = 0;
    while (at < bytes.size()) {
        at += ascii_run(bytes.substr(at));
        if (at == bytes.size()) break;
        Char const c = classify(bytes.substr(at));
        if (c.step != Step::good) return at;
        at += c.length;
    }
    return at;
}

void Utf8Decoder::push(std::string_view bytes, std::string& out) {
    while (have_ > 0 && !bytes.empty()) {
        // Finish the kept character byte by byte; at most three steps.
        std::string_view const kept(partial_.data(), have_);
        std::array<char, 5> tried{};
        std::memcpy(tried.data(), kept.data(), kept.size());
        tried[have_] = bytes.front();
        Char const c = classify(std::string_view(tried.data(), have_ + 1U));
        if (c.step == Step::broken) {
            out += kReplacement;  // the new byte starts over
            have_ = 0;
            break;
        }
        partial_[have_++] = bytes.front();
        bytes.remove_prefix(1);
        if (c.step == Step::good) {
            out.append(partial_.data(), have_);
            have_ = 0;
        }
    }
    while (!bytes.empty()) {
        std::size_t const n = valid_utf8_prefix(bytes);
        out.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        if (bytes.empty()) break;
        Char const c = classify(bytes);
        if (c.step == Step::unfinished) {
            std::memcpy(partial_.data(), bytes.data(), bytes.size());
            have_ = static_cast<std::uint8_t>(bytes.size());
            break;
        }
        out += kReplacement;
        bytes.remove_prefix(c.length);
    }
}

bool Utf8Check::push(std::string_view bytes) noexcept {
    while (!broken_ && have_ > 0 && !bytes.empty()) {
        partial_[have_++] = bytes.front();
        bytes.remove_prefix(1);
        Char const c = classify(std::string_view(partial_.data(), have_));
        broken_ = c.step == Step::broken;
        if (c.step == Step::good) have_ = 0;
    }
    if (broken_ || bytes.empty()) return !broken_;
    bytes.remove_prefix(valid_utf8_prefix(bytes));
    if (bytes.empty()) return true;
    broken_ = classify(bytes).step != Step::unfinished;
    if (broken_) return false;
    std::memcpy(partial_.data(), bytes.data(), bytes.size());
    have_ = static_cast<std::uint8_t>(bytes.size());
    return true;
}

void Utf8Decoder::finish(std::string& out) {
    if (have_ > 0) out += kReplacement;
    have_ = 0;
}

std::string to_utf8(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    Utf8Decoder decoder;
    decoder.push(bytes, out);
    decoder.finish(out);
    return out;
}

}  // namespace execd
