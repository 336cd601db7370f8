#include "execd/auth/secret.hpp"

#include <algorithm>

namespace execd::auth {

bool same(Digest const& a, Digest const& b) noexcept {
    auto const text = [](Digest const& d) {
        return std::string_view(reinterpret_cast<char const*>(d.data()), d.size());
    };
    return same_bytes(text(a), text(b));
}
bool same_text(std::string_view a, std::string_view b) { return same(sha256(a), sha256(b)); }

Secret::Secret(std::string_view value) : bytes_(value.begin(), value.end()) {}
Secret::Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        wipe();
        bytes_ = std::move(other.bytes_);
        other.bytes_.clear();
    }
    return *this;
}
bool Secret::matches(std::string_view presented) const { return !empty() && same_text(reveal(), presented); }
void Secret::wipe() noexcept {
    if (!bytes_.empty()) wipe_memory(bytes_.data(), bytes_.size());
    bytes_.clear();
}

void wipe(std::string& text) noexcept {
    wipe_memory(text.data(), text.size());
    text.clear();
}

namespace {

constexpr std::string_view kMask = "***";
constexpr std::size_t kShortest = 4;
constexpr std::string_view kCredentialParameters[] = {"ticket", "api_key",   "apikey",      "authorization",
                                                      "token",  "signature", "access_token"};

std::string percent_encoded(std::string_view text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (char const c : text) {
        auto const u = static_cast<unsigned char>(c);
        bool const plain = (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += kDigits[u >> 4];
            out += kDigits[u & 15];
        }
    }
    return out;
}

void replace_all(std::string& text, std::string_view what) {
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += kMask.size())
        text.replace(at, what.size(), kMask);
}

bool carries_credential(std::string_view name) {
    auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::any_of(std::begin(kCredentialParameters), std::end(kCredentialParameters),
                       [&](std::string_view known) {
                           return std::equal(name.begin(), name.end(), known.begin(), known.end(),
                                             [&](char a, char b) { return lower(a) == b; });
                       });
}

}  // namespace

void Redactor::add(std::string_view secret) {
    if (secret.size() < kShortest) return;
    secrets_.emplace_back(secret);
    std::string encoded = percent_encoded(secret);
    if (encoded != secret) secrets_.emplace_back(encoded);
    wipe(encoded);
    // The longest first: a secret that contains another one must go as a whole.
    std::sort(secrets_.begin(), secrets_.end(),
              [](Secret const& a, Secret const& b) { return a.reveal().size() > b.reveal().size(); });
}

std::string Redactor::scrub(std::string_view text) const {
    std::string out(text);
    for (auto const& secret : secrets_) replace_all(out, secret.reveal());
    return out;
}

std::string Redactor::scrub_target(std::string_view target) const {
    auto const mark = target.find('?');
    if (mark == std::string_view::npos) return scrub(target);
    std::string out(target.substr(0, mark + 1));
    auto query = target.substr(mark + 1);
    for (bool more = true; more;) {
        auto const end = query.find('&');
        auto const pair = query.substr(0, end);
        auto const equals = pair.find('=');
        if (equals != std::string_view::npos && carries_credential(pair.substr(0, equals))) {
            out += pair.substr(0, equals + 1);
            out += kMask;
        } else {
            out += pair;
        }
        more = end != std::string_view::npos;
        if (more) {
            out += '&';
            query.remove_prefix(end + 1);
        }
    }
    return scrub(out);
}

}  // namespace execd::auth
