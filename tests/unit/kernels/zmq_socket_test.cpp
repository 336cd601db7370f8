// ZmqSocket between the signals that the reactor's thread gets.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include <boost/asio/post.hpp>

#include "harness.hpp"

namespace execd::kernels {
namespace {

/// Sends the thread that makes it a signal whenever the last one was handled, until its end.
class SignalStorm {
  public:
    SignalStorm() : thread_([this, victim = ::pthread_self()] { blow(victim); }) {}
    ~SignalStorm() {
        over_ = true;
        thread_.join();
        ::sigaction(SIGUSR1, &before_, nullptr);
    }
    SignalStorm(SignalStorm const&) = delete;
    SignalStorm& operator=(SignalStorm const&) = delete;

  private:
    static struct sigaction handle() {
        struct sigaction action {};
        struct sigaction before {};
        action.sa_handler = [](int) {};
        ::sigaction(SIGUSR1, &action, &before);
        return before;
    }
    void blow(pthread_t victim) {
        while (!over_) ::pthread_kill(victim, SIGUSR1);
    }

    struct sigaction before_ = handle();
    std::atomic<bool> over_ = false;
    std::thread thread_;
};

class ZmqSockets : public KernelTest {
  protected:
    ZmqSockets() : KernelTest(Contexts::Options{.home = "/nonexistent"}) {
        auto const zmq = std::make_shared<ZmqContext>();
        ZmqSocket::Options options;
        options.type = ZMQ_PAIR;
        options.send_hwm = options.recv_hwm = 0;
        left_ = ZmqSocket::open(loop_, zmq, options).value();
        right_ = ZmqSocket::open(loop_, zmq, options).value();
        EXPECT_TRUE(left_->bind("inproc://storm"));
        EXPECT_TRUE(right_->connect("inproc://storm"));
    }

    Task<void> send(int messages, std::string& trouble) {
        for (int i = 0; i < messages; ++i) {
            if (auto sent = left_->send({std::to_string(i), "a second frame"}); !sent)
                trouble = sent.error().message();
            if (i % 50 == 0) co_await asio::post(loop_.executor(), kUseTask);
        }
    }
    /// How many came before one was missing, torn, or refused.
    Task<int> exchange(int messages, std::string& trouble) {
        SignalStorm const storm;
        Scope sender(loop_, "sender");
        sender.spawn("send", send(messages, trouble));
        int received = 0;
        while (received < messages && trouble.empty()) {
            auto message = co_await right_->recv();
            if (!message) {
                trouble = message.error().message();
            } else if (message->size() != 2 || message->front().view() != std::to_string(received)) {
                trouble = "not the next one";
            } else {
                ++received;
            }
        }
        co_await sender.close(in(20));
        co_return received;
    }

    std::unique_ptr<ZmqSocket> left_;
    std::unique_ptr<ZmqSocket> right_;
};

// The reactor hears of each child's end by a signal: one that met libzmq in its look for news ended the
// reading of that channel for good (a context whose runs ended without their outputs).
TEST_F(ZmqSockets, SignalsBreakNothingOff) {
    constexpr int kMessages = 30'000;
    std::string trouble;
    EXPECT_EQ(run(exchange(kMessages, trouble)), kMessages);
    EXPECT_EQ(trouble, "");
}

}  // namespace
}  // namespace execd::kernels
