// Stream: one connected byte stream (TCP or unix socket), ours to read, write, watch and close. The only
// place that touches the concrete socket; everything above is free of stream types.
//
// Thread: the reactor. Owner: a Connection, a proxy's upstream pool, or an upgraded handler.
// Errors: Code::disconnected when the peer went away, Code::timed_out when a deadline passed, Code::io
// otherwise.
#pragma once
#include <sys/uio.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/ledger.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "base/unique_fd.hpp"
#include "execd/http/byte_budget.hpp"

namespace execd::http {

/// Bytes that went through streams, for figures.
struct Traffic {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
};

class Stream {
  public:
    static constexpr std::uint64_t kLeastRate = 100;  // bytes a second

    /// Takes a connected, non-blocking socket. Throws system_error where the kernel can watch no more of
    /// them.
    Stream(Loop& loop, UniqueFd fd, int family);
    ~Stream();
    Stream(Stream const&) = delete;
    Stream& operator=(Stream const&) = delete;

    /// Connects to an address given as numbers ("127.0.0.1", "::1").
    static Task<Result<std::unique_ptr<Stream>>> connect(Loop& loop, std::string ip, unsigned short port,
                                                         Deadline deadline);

    /// At least one byte; 0 is the orderly end of the peer's side.
    [[nodiscard]] Task<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline);
    /// Everything, in order. `stall` is the longest wait for a peer that takes nothing, and the patience with
    /// one that takes less than kLeastRate on average while it keeps us waiting.
    [[nodiscard]] Task<Result<void>> write(std::span<iovec> pieces, Duration stall);
    [[nodiscard]] Task<Result<void>> write(std::string_view bytes, Duration stall);
    /// As much as the kernel takes at once without waiting (may be 0); the caller hands the rest to write().
    [[nodiscard]] Result<std::size_t> try_write(std::span<iovec const> pieces);
    /// As much as is there at once; no value when nothing is.
    [[nodiscard]] Result<std::size_t> try_read(std::span<char> into, bool& would_block);
    /// Reads once in the background; `done` runs from the reactor and may outlive this stream, `into` must
    /// live until it runs or the stream is closed. At most one read may be pending.
    void start_read(std::span<char> into, std::function<void(Result<std::size_t>)> done);
    /// Ends a pending read with Code::cancelled (a pending write too).
    void cancel_read();
    [[nodiscard]] Task<Result<void>> wait_readable(Deadline deadline);
    /// `length` bytes of `file` from `offset`, by sendfile on the bulk lane. A file that shrank is an Error.
    [[nodiscard]] Task<Result<void>> send_file(int file, std::uint64_t offset, std::uint64_t length,
                                               Duration stall);

    /// Whose budget pays for what is kept of this stream's bytes (messages of a WebSocket). `client` must
    /// outlive the stream.
    void charge_to(ByteBudget* budget, std::string_view client) {
        budget_ = budget;
        client_ = client;
    }
    /// Where this stream's bytes are counted from now on.
    void count_on(std::shared_ptr<Traffic> traffic) { traffic_ = std::move(traffic); }
    [[nodiscard]] ByteBudget* budget() const { return budget_; }
    [[nodiscard]] std::string_view client() const { return client_; }

    /// No more bytes from us; the peer sees an end of file.
    void shutdown_write();
    /// Ends pending operations with an error and closes. Idempotent.
    void close();
    /// Closes with a reset instead of an orderly end (a response that must not look complete).
    void abort();
    [[nodiscard]] bool open() const { return socket_.is_open(); }
    [[nodiscard]] int native() { return socket_.native_handle(); }
    [[nodiscard]] Loop& loop() const { return *loop_; }
    /// "127.0.0.1", "::1" or "unix".
    [[nodiscard]] std::string peer_address();

  private:
    Task<Result<void>> wait_writable(Deadline deadline);
    Task<Result<void>> wait_for_reader(Duration stall);

    Loop* loop_;
    Socket socket_;
    std::uint64_t taken_ = 0;  // bytes since write() last had to wait
    Duration late_{};          // how far a slow reader is behind kLeastRate
    ByteBudget* budget_ = nullptr;
    std::string_view client_;
    std::shared_ptr<Traffic> traffic_;  // null: not counted
    ledger::Token token_;
};

}  // namespace execd::http
