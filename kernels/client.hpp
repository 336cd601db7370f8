// KernelClient: the five channels of one kernel (jupyter_client "Messaging in Jupyter", section
// "Introduction"): shell and control requests matched with their replies, iopub, stdin, heartbeat.
//
// The iopub subscription is proven live (iopub_welcome of JEP 65, or any iopub message after a nudge) before
// connect() returns: no output of the first run can be lost. A connection of a living kernel that ends (by a
// message over the limit of a frame, which libzmq answers by giving the connection up for good) is made anew
// and proven live again; what was lost meanwhile is told by Hooks::lost.
//
// Thread: the reactor. Owner: Kernel. close() before destruction.
#pragma once
#include <array>
#include <deque>
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
    /// Connections that ended and were made anew.
    std::uint64_t reconnects = 0;
    [[nodiscard]] std::uint64_t dropped() const;
};

class KernelClient {
  public:
    using OnReply = std::function<void(Result<Message>)>;
    struct Hooks {
        /// Every good iopub message, in order, with what it says (decode_output).
        std::function<void(Message, std::vector<Output>)> iopub;
        std::function<void(Message)> input_request;
        /// The iopub connection ended: outputs may be missing from here on until live() says otherwise.
        std::function<void()> lost;
        /// Outputs that came faster than they can be parsed were dropped: how many messages and bytes.
        std::function<void(std::uint64_t, std::uint64_t)> dropped;
    };

    KernelClient(Loop& loop, std::shared_ptr<ZmqContext> zmq, Connection connection,
                 MessageLimits limits = {});
    ~KernelClient();
    KernelClient(KernelClient const&) = delete;
    KernelClient& operator=(KernelClient const&) = delete;

    void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }
    /// Of messages that come from now on; `frame_bytes` only before connect().
    void set_limits(MessageLimits limits) { limits_ = limits; }
    /// Waits until the kernel listens (on stdin; 10 s at most, not every kernel may), at the cost of one
    /// socket.
    [[nodiscard]] Task<Result<void>> knock(Deadline deadline);
    /// Connects (also before the kernel listens) and waits for kernel_info and a live subscription. Fails
    /// with timed_out, or with what fail_pending() said. `patient`: the kernel has a long start before it.
    [[nodiscard]] Task<Result<void>> connect(Deadline deadline, bool patient = false);

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
    /// True when the iopub subscription is live (at once when it is).
    [[nodiscard]] Task<bool> live(Deadline deadline);
    [[nodiscard]] bool is_live() const { return iopub_live_; }
    /// After the kernel's end: waits until all that it had sent on iopub went through the hook. False when
    /// that cannot be known (a child of the kernel keeps the connection open): after 1 s without a message,
    /// or 10 s.
    [[nodiscard]] Task<bool> drained();
    /// True when the kernel's heartbeat answered in time.
    [[nodiscard]] Task<bool> beat(Deadline deadline);

    /// The kernel was told to end: a connection that ends is not made anew.
    void expect_end() { leaving_ = true; }
    /// No reply will come any more (the process ended, the context closes).
    void fail_pending(Error const& why);
    [[nodiscard]] Task<void> close(Deadline deadline);

    /// Content of the kernel_info_reply.
    [[nodiscard]] Json const& info() const { return info_; }
    [[nodiscard]] ClientCounts const& counts() const { return counts_; }

  private:
    [[nodiscard]] Result<void> open(Channel channel);
    [[nodiscard]] Task<void> read(Channel channel);
    [[nodiscard]] Task<void> await_stdin();
    struct Parsed {
        Message message;
        std::vector<Output> outputs;
        bool bad = false;
    };
    using Parse = tl::expected<Parsed, Rejection>;
    [[nodiscard]] Parse parse_now(Channel channel, ZmqMessage const& frames) const;
    void take(Channel channel, Parse parsed);
    /// What waits to be parsed by the pool, or (without frames) what was dropped there.
    struct Waiting {
        ZmqMessage frames;
        std::size_t bytes = 0;
        std::uint64_t dropped = 0;
    };
    void put(Channel channel, ZmqMessage frames);
    [[nodiscard]] Task<void> digest(Channel channel);
    [[nodiscard]] Message make(std::string_view type, Json content) const;
    struct Link {
        std::unique_ptr<ZmqSocket> monitor;
        bool busy = false;  // digest() is at work
        std::deque<Waiting> backlog;
        std::size_t backlog_bytes = 0;
        unsigned inlined = 0;
        bool dropped = false;  // the connection has ended
        bool ended = false;    // all that it had brought is in the socket
    };
    Link& link(Channel channel) { return links_[static_cast<std::size_t>(channel)]; }
    void watch(Channel channel);
    [[nodiscard]] Task<void> listen(Channel channel);
    [[nodiscard]] Task<void> mend(Channel channel);
    [[nodiscard]] Task<bool> drained(Channel channel);
    void fail_replies(Error const& why);
    void reject(Rejection why);
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
    std::array<Link, kChannels> links_;
    Hooks hooks_;
    std::unordered_map<std::string, OnReply> pending_;
    std::optional<Error> failed_;
    Event changed_;
    bool iopub_live_ = false;
    bool have_info_ = false;
    bool knocking_ = false;
    bool leaving_ = false;
    bool closing_ = false;
    std::uint64_t beats_ = 0;
    Json info_;
    ClientCounts counts_;
    Scope scope_;
};

}  // namespace execd::kernels
