#include "kernels/message.hpp"

#include <cstdio>

#include "base/check.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"

namespace execd::kernels {

namespace {

constexpr std::string_view kDelimiter = "<IDS|MSG>";
constexpr std::size_t kJsonParts = 4;  // header, parent_header, metadata, content

}  // namespace

struct Signer::Impl {
    HmacSha256 keyed;
};

Signer::Signer(std::string_view key) : impl_(std::make_unique<Impl>(Impl{HmacSha256(key)})) {
    EXECD_REQUIRE(!key.empty());
}

Signer::~Signer() = default;

std::string Signer::sign(std::span<std::string_view const> parts) const {
    return hex(impl_->keyed.sign(parts));
}

bool Signer::verify(std::string_view signature, std::span<std::string_view const> parts) const {
    return same_bytes(signature, sign(parts));
}

std::string_view to_string(Rejection why) noexcept {
    switch (why) {
        case Rejection::framing: return "framing";
        case Rejection::signature: return "signature";
        case Rejection::json: return "json";
        case Rejection::header: return "header";
        case Rejection::too_large: return "too_large";
    }
    return "?";
}

namespace {

tl::expected<Json, Rejection> object_of(std::string_view text) {
    auto value = parse_json(text);
    if (!value || !value->is_object()) return tl::unexpected(Rejection::json);
    return *std::move(value);
}

void keep_tail(std::string_view content, std::size_t bytes, Message& out) {
    auto const name = string_member(content, "name", 64);
    auto const text = string_member(content, "text", bytes);
    if (!text || text->text.empty()) return;
    out.content = {{"name", name ? name->text : std::string("stdout")}, {"text", text->text}};
    out.oversized = text->dropped;
}

bool known_version(Json const& header) {
    auto const it = header.find("version");
    if (it == header.end()) return true;  // 5.0 kernels may leave it out
    return it->is_string() && it->get_ref<std::string const&>().starts_with("5");
}

}  // namespace

tl::expected<Message, Rejection> parse_message(std::span<std::string_view const> frames, Signer const& signer,
                                               MessageLimits const& limits) {
    auto const delimiter = std::find(frames.begin(), frames.end(), kDelimiter);
    auto const before = static_cast<std::size_t>(delimiter - frames.begin());
    if (delimiter == frames.end() || before > limits.identities || frames.size() < before + 2 + kJsonParts)
        return tl::unexpected(Rejection::framing);
    auto const parts = frames.subspan(before + 2, kJsonParts);
    auto const buffers = frames.subspan(before + 2 + kJsonParts);
    if (buffers.size() > limits.buffers) return tl::unexpected(Rejection::framing);
    if (!signer.verify(frames[before + 1], parts)) return tl::unexpected(Rejection::signature);
    for (std::size_t i = 0; i < 3; ++i)
        if (parts[i].size() > limits.header_bytes) return tl::unexpected(Rejection::too_large);

    Message out;
    out.identities.assign(frames.begin(), delimiter);
    auto header = object_of(parts[0]);
    auto parent = object_of(parts[1]);
    auto metadata = object_of(parts[2]);
    if (!header || !parent || !metadata) return tl::unexpected(Rejection::json);
    out.header = *std::move(header);
    out.parent = *std::move(parent);
    out.metadata = *std::move(metadata);
    out.id = text_of(out.header, "msg_id");
    out.type = text_of(out.header, "msg_type");
    out.parent_id = text_of(out.parent, "msg_id");
    if (out.id.empty() || out.type.empty() || !known_version(out.header))
        return tl::unexpected(Rejection::header);
    if (parts[3].size() > limits.content_bytes) {
        out.oversized = parts[3].size();
        if (out.type == "stream") keep_tail(parts[3], limits.stream_tail, out);
        return out;
    }
    auto content = object_of(parts[3]);
    if (!content) {
        out.unreadable = std::max<std::size_t>(1, parts[3].size());
        return out;
    }
    out.content = *std::move(content);
    out.buffers.assign(buffers.begin(), buffers.end());
    return out;
}

std::vector<std::string> build_message(Message const& message, Signer const& signer) {
    std::array<std::string, kJsonParts> const parts{dump_json(message.header), dump_json(message.parent),
                                                    dump_json(message.metadata), dump_json(message.content)};
    std::array<std::string_view, kJsonParts> const views{parts[0], parts[1], parts[2], parts[3]};
    std::vector<std::string> out(message.identities);
    out.reserve(out.size() + 2 + kJsonParts + message.buffers.size());
    out.emplace_back(kDelimiter);
    out.push_back(signer.sign(views));
    out.insert(out.end(), parts.begin(), parts.end());
    out.insert(out.end(), message.buffers.begin(), message.buffers.end());
    return out;
}

Message make_message(std::string_view type, std::string_view session, std::string_view date, Json content) {
    Message out;
    out.id = uuid();
    out.type = std::string(type);
    out.header = {{"msg_id", out.id}, {"msg_type", out.type}, {"session", session},
                  {"date", date},     {"username", "execd"},  {"version", "5.3"}};
    out.content = std::move(content);
    return out;
}

std::string iso_time(std::int64_t unix_microseconds) {
    using namespace std::chrono;
    auto const at = sys_time<microseconds>(microseconds(unix_microseconds));
    auto const day = floor<days>(at);
    year_month_day const date(day);
    auto const rest = (at - day).count();
    char text[40];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(rest / 3'600'000'000), static_cast<int>(rest / 60'000'000 % 60),
                  static_cast<int>(rest / 1'000'000 % 60), static_cast<int>(rest % 1'000'000));
    return text;
}

}  // namespace execd::kernels
