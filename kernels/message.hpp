// The Jupyter wire format (jupyter_client "Messaging in Jupyter", section "The Wire Protocol", protocol 5.0
// to 5.x): multipart frames  identities... <IDS|MSG> signature header parent_header metadata content
// buffers... The signature is checked in constant time before any byte of JSON is parsed.
//
// Pure; any thread (a Signer is immutable).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/json_text.hpp"

namespace execd::kernels {

struct Message {
    std::vector<std::string> identities;  // routing ids; on iopub the topic
    std::string id;
    std::string type;
    std::string parent_id;  // empty: no parent
    Json header = Json::object();
    Json parent = Json::object();
    Json metadata = Json::object();
    Json content = Json::object();
    std::vector<std::string> buffers;
    /// Not 0: the content was over the limit, and so many bytes of it were left out: all, or of a `stream`
    /// all but the end of its text.
    std::size_t oversized = 0;
    /// Not 0: the content of so many bytes was no JSON object, or nested too deep, and was left out. Header
    /// and parent are good.
    std::size_t unreadable = 0;
};

/// HMAC-SHA256 over the four JSON frames, in lower-case hexadecimal.
class Signer {
  public:
    /// An empty key is a programming error: we always make one.
    explicit Signer(std::string_view key);
    ~Signer();
    Signer(Signer const&) = delete;
    Signer& operator=(Signer const&) = delete;

    [[nodiscard]] std::string sign(std::span<std::string_view const> parts) const;
    [[nodiscard]] bool verify(std::string_view signature, std::span<std::string_view const> parts) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Why a message was dropped. A bad message never harms the connection or its neighbours.
enum class Rejection { framing, signature, json, header, too_large };
inline constexpr std::size_t kRejections = 5;
[[nodiscard]] std::string_view to_string(Rejection) noexcept;
using RejectionCounts = std::array<std::uint64_t, kRejections>;

struct MessageLimits {
    std::size_t header_bytes = 1 << 20;    // of header, parent_header and metadata each
    std::size_t content_bytes = 64 << 20;  // over it: Message::oversized instead of the content
    std::size_t stream_tail = 8 << 20;     // what is kept of the text of a larger `stream`
    std::size_t buffers = 1024;
    std::size_t identities = 16;
    /// Of one frame as it is received: a peer that sends more loses its connection (zmq_socket.hpp).
    std::int64_t frame_bytes = std::int64_t{512} << 20;
    /// Received and not yet parsed: over it, outputs are dropped unread and declared.
    std::size_t backlog_bytes = 64 << 20;
};

[[nodiscard]] tl::expected<Message, Rejection> parse_message(std::span<std::string_view const> frames,
                                                             Signer const& signer,
                                                             MessageLimits const& limits = {});

/// The frames of a message that we send. `content` is JSON text.
[[nodiscard]] std::vector<std::string> build_message(Message const& message, Signer const& signer);

/// A request or reply of ours: header with a fresh id, our session, `date` as ISO 8601 UTC.
[[nodiscard]] Message make_message(std::string_view type, std::string_view session, std::string_view date,
                                   Json content);

/// "2026-11-21T04:10:00.123456Z"
[[nodiscard]] std::string iso_time(std::int64_t unix_microseconds);

}  // namespace execd::kernels
