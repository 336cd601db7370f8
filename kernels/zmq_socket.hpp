// ZeroMQ sockets on the reactor: libzmq's C interface, its edge-triggered ZMQ_FD waited for by Asio, every
// operation non-blocking. ZMQ_EVENTS is looked at after every send and receive, because either may swallow
// the edge.
//
// Thread: the reactor. Owner: the KernelClient; the context is shared by all sockets and made with the first
// one, so that an idle daemon has no ZeroMQ threads.
#pragma once
#include <zmq.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"

namespace execd::kernels {

class ZmqContext {
  public:
    ZmqContext();
    /// Waits for libzmq's threads; quick, since every socket has LINGER 0 and is closed by then.
    ~ZmqContext();
    ZmqContext(ZmqContext const&) = delete;
    ZmqContext& operator=(ZmqContext const&) = delete;
    [[nodiscard]] void* get() const { return context_; }

  private:
    void* context_;
};

/// One received frame: owns libzmq's buffer, so that a large message is not copied. May be read by any
/// thread.
class ZmqFrame {
  public:
    ZmqFrame() noexcept { zmq_msg_init(&message_); }
    ~ZmqFrame() { zmq_msg_close(&message_); }
    ZmqFrame(ZmqFrame&& other) noexcept {
        zmq_msg_init(&message_);
        zmq_msg_move(&message_, &other.message_);
    }
    ZmqFrame& operator=(ZmqFrame&& other) noexcept {
        if (this != &other) zmq_msg_move(&message_, &other.message_);
        return *this;
    }
    [[nodiscard]] std::string_view view() const noexcept {
        auto* const m = const_cast<zmq_msg_t*>(&message_);
        return {static_cast<char const*>(zmq_msg_data(m)), zmq_msg_size(m)};
    }

  private:
    friend class ZmqSocket;
    zmq_msg_t message_;
};
using ZmqMessage = std::vector<ZmqFrame>;
[[nodiscard]] std::vector<std::string_view> views(ZmqMessage const& message);
[[nodiscard]] std::size_t size_of(ZmqMessage const& message);

class ZmqSocket {
  public:
    struct Options {
        int type = ZMQ_DEALER;
        /// Messages that may wait; over it send() answers exhausted, and received ones stay in the sender.
        int send_hwm = 256;
        int recv_hwm = 256;
        /// Bytes of one frame; a peer that sends more is disconnected before the frame is stored.
        std::int64_t max_frame = std::int64_t{512} << 20;
        int reconnect_ms = 2;
        std::string routing_id;
        bool subscribe_all = false;
        /// Sends only over a connection whose handshake is over: then sendable() tells when that is.
        bool immediate = false;
    };
    [[nodiscard]] static Result<std::unique_ptr<ZmqSocket>> open(Loop& loop,
                                                                 std::shared_ptr<ZmqContext> context,
                                                                 Options const& options);
    ~ZmqSocket();
    ZmqSocket(ZmqSocket const&) = delete;
    ZmqSocket& operator=(ZmqSocket const&) = delete;

    [[nodiscard]] Result<void> connect(std::string const& endpoint);
    [[nodiscard]] Result<void> bind(std::string const& endpoint);
    /// Gives the connection up (what it has brought and nobody took is lost), and connects anew.
    [[nodiscard]] Result<void> reconnect(std::string const& endpoint);
    void disconnect(std::string const& endpoint);
    /// Tells the events of this socket's connections from now on: one message each, event_of() reads it.
    /// (libzmq "zmq_socket_monitor".)
    [[nodiscard]] Result<std::unique_ptr<ZmqSocket>> monitor(int events);
    void stop_monitor();
    [[nodiscard]] static int event_of(ZmqMessage const& message);
    /// The endpoint after a bind to a wildcard port.
    [[nodiscard]] std::string endpoint() const;

    /// All frames or none. Code::exhausted at the high-water mark.
    [[nodiscard]] Result<void> send(std::vector<std::string> const& frames);
    /// True when send() would be taken now. Needs a receiver: it is what the reactor wakes.
    [[nodiscard]] Task<bool> sendable(Deadline deadline);
    /// True when a message waits to be received.
    [[nodiscard]] bool has_message();
    /// The next message; one receiver at a time. Gives other work a turn after a burst. Fails when cancelled.
    [[nodiscard]] Task<Result<ZmqMessage>> recv();

  private:
    ZmqSocket(Loop& loop, std::shared_ptr<ZmqContext> context, void* socket, int fd);
    [[nodiscard]] int events() const;
    [[nodiscard]] bool readable() const { return (events() & ZMQ_POLLIN) != 0; }
    void wake_receiver();
    [[nodiscard]] Result<ZmqMessage> take();

    Loop* loop_;
    std::shared_ptr<ZmqContext> context_;
    void* socket_;
    Descriptor edge_;
    bool receiving_ = false;
    bool woken_ = false;
    int burst_ = 0;
    Event stirred_;
};

}  // namespace execd::kernels
