// CdpFilter: what clients send to Chromium, frame by frame, on its way up. Frames pass as they are, masks and
// all; only text messages up to 64 KiB are held until their end and looked at. Commands that would end the
// browser for everybody stay here and are answered for it. Pure.
//
// Bounded: at most one held message and one control frame, whatever a client sends.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "execd/http/ws_codec.hpp"

namespace execd::browser {

/// `text` is one CDP message. Empty: it may pass; otherwise the reply that the client gets instead.
[[nodiscard]] std::string reply_instead(std::string_view text);

class CdpFilter {
  public:
    CdpFilter();

    struct Step {
        std::string replies;  // whole frames for the client
        bool closed = false;  // the client's close frame is in what goes up; nothing comes after it
        bool broken = false;  // it broke the protocol
    };
    /// Takes a block (its bytes may change) and appends what goes up to `up`.
    [[nodiscard]] Step take(std::span<char> block, std::string& up);

  private:
    static constexpr std::size_t kLookedAt = 64U << 10;
    void begin_frame();
    void payload(std::string_view data, std::string& up);
    void end_frame(std::string& up, Step& step);
    void give_up_looking(std::string& up);

    http::WsReader reader_;
    bool looking_ = false;  // at the message that is being read
    std::string held_;      // its frames as they came
    std::string text_;      // its text
    std::uint64_t at_ = 0;  // of this frame's payload
};

}  // namespace execd::browser
