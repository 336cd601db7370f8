#include "execd/auth/signature.hpp"

#include <map>
#include <vector>

#include "base/base64.hpp"

namespace execd::auth {

namespace {

constexpr std::string_view kAlgorithm = "AGENTRUN4-HMAC-SHA256";
constexpr std::string_view kKeyPrefix = "aliyun_v4";
constexpr std::string_view kScopeEnd = "aliyun_v4_request";
constexpr std::string_view kUnsigned = "UNSIGNED-PAYLOAD";
constexpr std::size_t kMaxHeader = 4096;

Failure refuse(std::string why) {
    return fail(Code::permission_denied, "agentrun.signature", std::move(why));
}

std::vector<std::string_view> split(std::string_view text, char by) {
    std::vector<std::string_view> out;
    for (;;) {
        auto const at = text.find(by);
        out.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return out;
        text.remove_prefix(at + 1);
    }
}

std::string_view trimmed(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            out += ' ';
        } else if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
                   hex_value(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::string encoded(std::string_view text) {
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (char const c : text) {
        auto const u = static_cast<unsigned char>(c);
        bool const plain = (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') ||
                           std::string_view("-._~").find(c) != std::string_view::npos;
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

std::string canonical_query(std::string_view query) {
    std::map<std::string, std::string> pairs;
    for (auto const pair : split(query, '&')) {
        auto const equals = pair.find('=');
        if (equals == std::string_view::npos) continue;
        pairs.insert_or_assign(decoded(pair.substr(0, equals)), decoded(pair.substr(equals + 1)));
    }
    std::string out;
    for (auto const& [name, value] : pairs) {
        if (!out.empty()) out += '&';
        out += encoded(name) + '=' + encoded(value);
    }
    return out;
}

struct Authorization {
    std::string_view key_id, date, region, product, signed_headers, signature;
};

std::optional<Authorization> parse(std::string_view header) {
    if (header.size() > kMaxHeader || !header.starts_with(kAlgorithm)) return std::nullopt;
    header.remove_prefix(kAlgorithm.size());
    if (!header.starts_with(' ')) return std::nullopt;
    Authorization out;
    std::string_view credential;
    for (auto part : split(header, ',')) {
        part = trimmed(part);
        auto const equals = part.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        auto const name = part.substr(0, equals);
        auto const value = part.substr(equals + 1);
        if (name == "Credential") credential = value;
        if (name == "SignedHeaders") out.signed_headers = value;
        if (name == "Signature") out.signature = value;
    }
    auto const scope = split(credential, '/');
    if (scope.size() != 5 || scope[4] != kScopeEnd || out.signature.size() != 64) return std::nullopt;
    out.key_id = scope[0];
    out.date = scope[1];
    out.region = scope[2];
    out.product = scope[3];
    return out;
}

// "2026-03-09T12:30:45Z"
std::optional<WallTime> parse_time(std::string_view text) {
    constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
    if (text.size() != kShape.size()) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); ++i) {
        bool const digit = text[i] >= '0' && text[i] <= '9';
        if (kShape[i] == '0' ? !digit : text[i] != kShape[i]) return std::nullopt;
    }
    auto const number = [&](std::size_t at, std::size_t n) {
        int out = 0;
        for (std::size_t i = at; i < at + n; ++i) out = out * 10 + (text[i] - '0');
        return out;
    };
    std::chrono::year_month_day const day{std::chrono::year(number(0, 4)),
                                          std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                          std::chrono::day(static_cast<unsigned>(number(8, 2)))};
    // WallTime counts nanoseconds: it ends in 2262, and what lies beyond would come round again.
    if (number(0, 4) < 1970 || number(0, 4) > 2200) return std::nullopt;
    if (!day.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 60) return std::nullopt;
    return WallTime(std::chrono::sys_days(day)) + std::chrono::hours(number(11, 2)) +
           std::chrono::minutes(number(14, 2)) + std::chrono::seconds(number(17, 2));
}

std::string_view bytes_of(Digest const& digest) {
    return {reinterpret_cast<char const*>(digest.data()), digest.size()};
}

Digest signature_of(Secret const& secret, Authorization const& a, std::string_view canonical) {
    std::string start(kKeyPrefix);
    start += secret.reveal();  // the HMAC key derivation needs the value itself
    Digest key = hmac_sha256(start, a.date);
    wipe(start);
    for (auto const part : {a.region, a.product, kScopeEnd}) key = hmac_sha256(bytes_of(key), part);
    std::string const to_sign = std::string(kAlgorithm) + '\n' + hex(sha256(canonical));
    return hmac_sha256(bytes_of(key), to_sign);
}

}  // namespace

std::string agentrun_canonical_request(SignedRequest const& request, std::string_view signed_headers) {
    std::string out;
    for (char const c : request.method) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    auto const mark = request.target.find('?');
    auto const path = request.target.substr(0, mark);
    out += '\n';
    out += path.empty() ? std::string_view("/") : path;
    out += '\n';
    if (mark != std::string_view::npos) out += canonical_query(request.target.substr(mark + 1));
    out += '\n';
    for (auto const name : split(signed_headers, ';')) {
        out += name;
        out += ':';
        out += trimmed(request.header(name).value_or(std::string_view()));
        out += '\n';
    }
    out += '\n';
    out += signed_headers;
    out += '\n';
    out += kUnsigned;
    return out;
}

Result<std::string> verify_agentrun(SignedRequest const& request, AgentRunKey const& key, WallTime now) {
    auto const header = request.header(kAgentRunHeader);
    auto const parsed = parse(header.value_or(std::string_view()));
    if (!parsed) return refuse("malformed");
    if (key.secret.empty() || !same_text(parsed->key_id, key.id)) return refuse("unknown key");
    bool has_host = false;
    bool has_date = false;
    for (auto const name : split(parsed->signed_headers, ';')) {
        if (!request.header(name)) return refuse("a signed header is missing");
        has_host = has_host || name == "host";
        has_date = has_date || name == "x-acs-date";
    }
    if (!has_host || !has_date) return refuse("host and date must be signed");
    auto const date = request.header("x-acs-date").value_or(std::string_view());
    auto const at = parse_time(date);
    if (!at || *at > now + kAgentRunWindow || *at < now - kAgentRunWindow)
        return refuse("outside of the time window");
    std::string day(date.substr(0, 10));
    std::erase(day, '-');
    if (day != parsed->date) return refuse("the credential's date differs");
    auto const right =
        signature_of(key.secret, *parsed, agentrun_canonical_request(request, parsed->signed_headers));
    if (!same_text(hex(right), parsed->signature)) return refuse("wrong signature");
    return key.id;
}

std::string e2b_signature(E2bSignature const& what, Secret const& token) {
    std::string text;
    for (auto const part : {what.raw_path, what.operation, what.user}) {
        text += part;
        text += ':';
    }
    text += token.reveal();
    if (what.expiration) text += ':' + std::to_string(*what.expiration);
    auto const digest = sha256(text);
    wipe(text);
    std::string out = "v1_" + base64_encode(bytes_of(digest));
    return out.substr(0, out.find('='));  // its clients leave the padding away
}

bool verify_e2b(E2bSignature const& what, Secret const& token, std::string_view presented, WallTime now) {
    bool const right = !token.empty() && same_text(e2b_signature(what, token), presented);
    if (!what.expiration) return right;
    auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    return right && seconds <= *what.expiration;
}

}  // namespace execd::auth
