// KernelClient: the five channels of one kernel (jupyter_client "Messaging in Jupyter", section
// "Introduction"): shell and control requests matched with their replies, iopub, stdin, heartbeat.
//
// The iopub subscription is proven live (iopub_welcome of JEP 65, or any iopub message after a nudge) before
// connect() returns: no output of the first run can be lost.
//
// Thread: the reactor. Owner: Kernel. close() before destruction.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/scope.hpp"
#include "kernels/connection.hpp"
#include "kernels/output.hpp"
#include "kernels/zmq_socket.hpp"

namespace execd::kernels {

struct ClientCounts {
    RejectionCounts rejected{};
    std::uint64_t received = 0;
    /// Messages of a known type that lack what it needs.
    std::uint64_t malformed = 0;
    /// Replies that nobody waits for (any more).
    std::uint64_t unmatched = 0;
    [[nodiscard]] std::uint64_t dropped() const;
};

class KernelClient {
  public:
    using OnReply = std::function<void(Result<Message>)>;
    struct Hooks {
        /// Every good iopub message, in order, with what it says (decode_output).
        std::function<void(Message, std::vector<Output>)> iopub;
        std::function<void(Message)> input_request;
    };

    KernelClient(Loop& loop, std::shared_ptr<ZmqContext> zmq, Connection connection,
                 MessageLimits limits = {});
    ~KernelClient();
    KernelClient(KernelClient const&) = delete;
    KernelClient& operator=(KernelClient const&) = delete;

    void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }
    /// Connects (also before the kernel listens) and waits for kernel_info and a live subscription. Fails
    /// with timed_out, or with what fail_pending() said.
    [[nodiscard]] Task<Result<void>> connect(Deadline deadline);

    /// Sends a request; `on_reply` is called exactly once: with the reply, or with the reason why none will
    /// come. Returns the message id.
    Result<std::string> post(Channel channel, std::string_view type, Json content, OnReply on_reply);
    /// The same as a wait. A late reply is dropped and counted.
    [[nodiscard]] Task<Result<Message>> request(Channel channel, std::string_view type, Json content,
                                                Deadline deadline);
    /// Runs source of ours that leaves no trace: no history, no count, no output. Fails when it raises.
    [[nodiscard]] Task<Result<void>> silent(std::string code, Deadline deadline);
    /// A message without a reply (comm_msg, input_reply).
    Result<void> tell(Channel channel, std::string_view type, Json content, Json parent = Json::object());
    /// The same with metadata and buffers; the header is made here.
    Result<void> tell(Channel channel, Message message);
    /// True when the stdin channel's handshake is over: what asks for input after that finds us. A kernel
    /// drops an input_request to somebody it has not met.
    [[nodiscard]] Task<bool> stdin_ready(Deadline deadline);
    /// True when the kernel's heartbeat answered in time.
    [[nodiscard]] Task<bool> beat(Deadline deadline);

    /// No reply will come any more (the process ended, the context closes).
    void fail_pending(Error const& why);
    [[nodiscard]] Task<void> close(Deadline deadline);

    /// Content of the kernel_info_reply.
    [[nodiscard]] Json const& info() const { return info_; }
    [[nodiscard]] ClientCounts const& counts() const { return counts_; }

  private:
    [[nodiscard]] Result<void> open(Channel channel);
    [[nodiscard]] Task<void> read(Channel channel);
    struct Parsed {
        Message message;
        std::vector<Output> outputs;
        bool bad = false;
    };
    using Parse = tl::expected<Parsed, Rejection>;
    [[nodiscard]] Parse parse_now(Channel channel, ZmqMessage const& frames) const;
    [[nodiscard]] Task<Parse> parse(Channel channel, ZmqMessage const& frames);
    [[nodiscard]] Message make(std::string_view type, Json content) const;
    void dispatch(Channel channel, Parsed parsed);
    void on_reply(Message message);
    ZmqSocket* socket(Channel channel) { return sockets_[static_cast<std::size_t>(channel)].get(); }

    Loop* loop_;
    std::shared_ptr<ZmqContext> zmq_;
    Connection connection_;
    MessageLimits limits_;
    Signer signer_;
    std::string session_;
    std::array<std::unique_ptr<ZmqSocket>, kChannels> sockets_;
    Hooks hooks_;
    std::unordered_map<std::string, OnReply> pending_;
    std::optional<Error> failed_;
    Event changed_;
    bool iopub_live_ = false;
    bool have_info_ = false;
    std::uint64_t beats_ = 0;
    Json info_;
    ClientCounts counts_;
    Scope scope_;
};

}  // namespace execd::kernels
