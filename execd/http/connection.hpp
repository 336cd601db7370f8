// Connection: one client socket from accept to close. Private to the HTTP room.
//
// One coroutine reads heads and sends answers; a handler that waits runs beside a background read, which
// notices that the client is gone and keeps pipelined bytes. At most one read is ever pending.
#pragma once
#include <boost/asio/cancellation_signal.hpp>

#include <array>
#include <memory>
#include <string>

#include "base/event.hpp"
#include "base/ledger.hpp"
#include "execd/http/body.hpp"
#include "execd/http/body_in_hand.hpp"
#include "execd/http/route.hpp"
#include "execd/http/server.hpp"
#include "execd/http/stream.hpp"

namespace execd::http {

class Connection {
  public:
    Connection(Server& server, UniqueFd fd, int family, ListenerInfo const& listener);
    ~Connection();
    Connection(Connection const&) = delete;
    Connection& operator=(Connection const&) = delete;

    /// Serves until the end; the connection lives in this coroutine's frame.
    [[nodiscard]] static Task<void> run(std::unique_ptr<Connection> self);
    /// Between requests: nobody loses anything when it is closed now.
    [[nodiscard]] bool idle() const { return idle_; }
    /// Cuts the connection and cancels its handler.
    void stop();
    /// Sends `bytes` (as much as fits at once) and nothing more.
    void refuse(std::string_view bytes);
    [[nodiscard]] std::size_t of_its_client() const;

  private:
    class Body;
    class ChunkWriter;
    struct Watch;

    // connection.cpp: from bytes to a call
    Task<void> serve_all();
    Task<bool> next_head();
    Task<Result<std::size_t>> fill(Deadline deadline);
    [[nodiscard]] std::string_view buffered() const {
        return std::string_view(in_).substr(begin_, end_ - begin_);
    }
    void consume(std::size_t n);
    std::span<char> spare(std::size_t at_least);
    /// True when spare(at_least) stays within the byte budget.
    bool may_grow(std::size_t at_least);
    /// Has held_ pay for buffers of these sizes.
    [[nodiscard]] Result<void> pay(std::size_t in, std::size_t head, std::size_t out);
    /// Gives back what large requests and answers made the buffers.
    void shrink();
    Task<void> rest();
    Task<bool> refuse_head(unsigned status, std::string_view why);
    /// The first `size` bytes become head_; false when the budget does not allow it.
    bool take_head(std::size_t size);
    void start_watch();
    void watched(Result<std::size_t> got);
    void peer_left(bool orderly);
    Task<bool> serve();
    /// Sets call.row, or gives the answer at once.
    std::optional<Answer> resolve(Call& call);
    /// The answer of the row's sync handler, if it has one that can answer without waiting.
    std::optional<Answer> at_once(Call& call);
    Task<bool> serve_waiting(Call& call);
    Task<void> run_handler(Call& call, bool& sent, bool& whole);
    Answer error_answer(Error const& error, Call const& call);

    // connection_send.cpp: from an answer to bytes
    Task<bool> send(Call const& call, Answer& answer);
    Task<bool> send_file(Call const& call, Answer& answer);
    /// True when the answer was sent to its end.
    Task<bool> produce(Call& call, Answer& answer, bool& sent);
    Task<void> run_upgrade(Answer& answer);
    Task<bool> finish_body();
    Task<void> linger();
    void render_head(Answer const& answer, std::optional<std::uint64_t> length, bool chunked);
    /// The first byte of an answer is about to leave: counted, and logged where it failed or was slow.
    void answered(Answer const& answer);

    Server& server_;
    ListenerInfo const& listener_;
    Stream stream_;
    std::string peer_;

    ByteBudget::Claim held_;  // what in_, head_ and out_ take beyond a small request's
    std::string in_;          // [begin_, end_) holds unread bytes
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    Head head_;
    std::size_t head_size_ = 0;  // bytes that head_ was given
    std::string out_;
    std::unique_ptr<Body> body_;

    std::shared_ptr<Watch> watch_;
    Event watch_done_;
    asio::cancellation_signal stop_handler_;
    Call* running_ = nullptr;   // the call whose handler waits
    Call* call_ = nullptr;      // the call that is being answered
    TimePoint began_{};         // its head was complete
    std::string request_id_;    // what the client called it, or we
    Answer answer_;             // what it returned
    bool peer_gone_ = false;    // nothing can be sent any more
    bool peer_closed_ = false;  // its sending side ended in order: it may still read
    bool idle_ = true;
    bool keep_ = true;
    bool taking_back_ = false;  // the background read was cancelled by us
    bool head_only_ = false;    // HEAD: the body stays here
    std::uint64_t served_ = 0;
    ledger::Token token_;
};

/// The request body over a connection's buffer and socket.
class Connection::Body final : public BodyReader, public BodyInHand {
  public:
    Body(Connection& connection, std::uint64_t limit);
    ~Body() override;
    Task<Result<std::string_view>> next() override;
    std::optional<std::uint64_t> content_length() const override { return connection_.head_.content_length; }
    bool done() const override { return done_; }
    /// The client waits for `100 Continue` and will not send the body before (or instead of) the answer.
    [[nodiscard]] bool unasked() const { return must_continue_; }
    Result<void> hold(std::uint64_t bytes) override { return held_.grow_to(bytes); }
    std::optional<std::string_view> whole() const override;
    std::shared_ptr<void const> keep() const override { return last_; }

  private:
    /// A large block that nobody keeps; null when there is none and the budget allows no more.
    [[nodiscard]] std::shared_ptr<char[]> const* free_block();
    Task<Result<std::string_view>> next_of_length();
    Task<Result<std::string_view>> next_chunk();
    Task<Result<void>> more();
    /// Until when the next bytes have to come.
    [[nodiscard]] Deadline progress_deadline() const;
    void count(TimePoint since, Result<std::size_t> const& got);

    struct Chunks;
    Connection& connection_;
    std::uint64_t limit_;
    std::uint64_t taken_ = 0;
    std::uint64_t left_ = 0;
    std::uint64_t received_ = 0;  // bytes that had to be waited for
    Duration waited_{};           // for them; not the time that the handler took
    std::size_t to_consume_ = 0;  // bytes of the connection's buffer that the last view covered
    bool done_ = false;
    bool must_continue_ = false;
    std::unique_ptr<Chunks> chunks_;
    ByteBudget::Claim held_;  // what the handler keeps of it
    ByteBudget::Claim large_held_;
    // For bodies much longer than the connection's buffer; two, so that one can be written while the other is
    // filled.
    std::array<std::shared_ptr<char[]>, 2> large_;
    std::shared_ptr<void const> last_;  // the block under the last piece
};

/// The sending side of a streamed answer.
class Connection::ChunkWriter final : public Writer {
  public:
    ChunkWriter(Connection& connection, Answer& answer);
    Task<Result<void>> flush() override;
    Task<Result<void>> write(std::string_view bytes) override;
    Answer& answer() override { return answer_; }
    bool client_gone() const override { return connection_.peer_gone_; }
    /// Sends what is left together with the end mark.
    Task<Result<void>> finish();

  private:
    Task<Result<void>> send_pieces(std::string_view more, bool last);
    Connection& connection_;
    Answer& answer_;
    bool chunked_ = false;
    std::uint64_t sent_ = 0;
    Duration stall_;
};

}  // namespace execd::http
