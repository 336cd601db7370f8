// Xeus' server over our libzmq, on one thread: the shell, control, stdin, iopub and heartbeat sockets and the
// worker's descriptors are waited for together. Xeus' own server (xeus::make_xserver_zmq) has a thread for
// each of iopub and heartbeat, hears nothing on control while a cell runs, and waits 50 ms after each failed
// cell.
//
// Thread: the kernel process's only one besides libzmq's.
#pragma once
#include <poll.h>
#include <zmq.h>

#include <array>
#include <deque>
#include <functional>
#include <vector>

#include <xeus/xserver.hpp>

#include "base/unique_fd.hpp"
#include "kernels/connection.hpp"
#include "kernels/message.hpp"

namespace execd::kernels::native {

/// What a connection file says. Throws std::runtime_error with words for people.
[[nodiscard]] Connection read_connection(std::string const& file);

/// Descriptors besides the sockets.
class Watched {
  public:
    virtual ~Watched() = default;
    virtual void watch(std::vector<pollfd>& into) = 0;
    virtual void ready(std::span<pollfd const> those) = 0;
};

class Server final : public xeus::xserver {
  public:
    /// Binds; throws std::runtime_error.
    explicit Server(Connection const& connection);
    ~Server() override;

    void set_watched(Watched* watched) { watched_ = watched; }
    /// Called when SIGINT or an interrupt_request comes while a cell runs. When none runs it is ignored.
    void on_interrupt(std::function<void()> call) { on_interrupt_ = std::move(call); }
    /// Called when a shutdown was asked for while a cell runs.
    void on_shutdown(std::function<void()> call) { on_shutdown_ = std::move(call); }

    /// A descriptor that becomes readable when nobody is left whom the kernel serves: it stops then.
    void set_lifeline(UniqueFd fd) { lifeline_ = std::move(fd); }

    /// Waits once, at most so many milliseconds (-1: without end), and handles what came. While a cell runs
    /// the shell socket is left alone.
    void turn(bool in_cell, int milliseconds);
    [[nodiscard]] bool stopped() const { return stopped_; }

    /// The header of the shell request that is being worked on, or was last.
    [[nodiscard]] Json const& parent() const { return parent_; }
    /// Output that belongs to an earlier request.
    void publish_for(Json const& parent, std::string_view type, Json content);
    /// The client's answer to the input_request that was sent last; nothing while there is none.
    [[nodiscard]] bool waits_for_input() const { return input_wanted_; }
    void forget_input() { input_wanted_ = false; }
    /// Wakes turn() from a signal handler.
    static void wake(char why) noexcept;

  private:
    enum Socket { shell, iopub, stdin_, control, heartbeat };
    struct Messenger;

    xeus::xcontrol_messenger& get_control_messenger_impl() override;
    void send_shell_impl(xeus::xmessage message) override;
    void send_control_impl(xeus::xmessage message) override;
    void send_stdin_impl(xeus::xmessage message) override;
    void publish_impl(xeus::xpub_message message, xeus::channel c) override;
    void start_impl(xeus::xpub_message message) override;
    void abort_queue_impl(listener const& l, long polling_interval) override;
    void stop_impl() override;
    void update_config_impl(xeus::xconfiguration& config) const override;

    [[nodiscard]] bool receive(Socket from, Message& into);
    void send(Socket to, Message const& message);
    void send_frames(Socket to, std::vector<std::string> const& frames);
    void beat();
    void take_shell(Message message);
    void take_control(Message message, bool in_cell);
    void answer_aborted(Message const& request);
    void interrupted(bool in_cell);
    void read_signals(bool in_cell);

    UniqueFd lifeline_;
    void* context_ = nullptr;
    std::array<void*, 5> sockets_{};
    Signer signer_;
    std::string session_;
    std::unique_ptr<Messenger> messenger_;
    Watched* watched_ = nullptr;
    std::function<void()> on_interrupt_;
    std::function<void()> on_shutdown_;
    std::deque<Message> waiting_shell_;
    std::deque<Message> sent_before_error_;  // came before the reply of a failed cell went out
    std::deque<Message> waiting_control_;
    Json parent_ = Json::object();
    bool started_ = false;  // Xeus listens: until then requests wait in their sockets
    bool stopped_ = false;
    bool input_wanted_ = false;
    bool deaf_ = false;  // a subscriber does not read
    std::vector<pollfd> fds_;
    std::vector<zmq_pollitem_t> items_;
};

}  // namespace execd::kernels::native
