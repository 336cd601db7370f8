// Answer: what a handler returns. A value is never rendered twice and nothing is sent before the handler has
// decided: the head of a stream is committed with its first bytes, so a producer that fails early still gets
// an error answer.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "base/error.hpp"
#include "base/task.hpp"
#include "base/unique_fd.hpp"
#include "execd/http/message.hpp"

namespace execd::http {

class Stream;
struct Answer;

/// The sending side of a streamed answer. Appending costs nothing; flush() is where backpressure happens: it
/// returns when the kernel took the bytes, under the write-stall limit.
///
/// Thread: the reactor; used by one coroutine.
class Writer {
  public:
    virtual ~Writer() = default;
    /// Bytes that go out with the next flush (or with the end of the answer).
    [[nodiscard]] std::string& out() { return out_; }
    /// Sends what is in out(). Code::disconnected when the client is gone, Code::timed_out when it stopped
    /// reading.
    [[nodiscard]] virtual Task<Result<void>> flush() = 0;
    /// Sends `bytes` from where they lie, after out().
    [[nodiscard]] virtual Task<Result<void>> write(std::string_view bytes) = 0;
    /// True once the status line is on its way and can no longer change.
    [[nodiscard]] bool committed() const { return committed_; }
    /// Status and headers of this answer, still open to change until committed.
    [[nodiscard]] virtual Answer& answer() = 0;
    /// True when the client has gone; what is written from then on is dropped.
    [[nodiscard]] virtual bool client_gone() const = 0;

  protected:
    std::string out_;
    bool committed_ = false;
};

/// The body of a streamed answer, run by the connection after the handler returned. An Error before the first
/// flush becomes the dialect's error answer; after it, the connection is cut so that the answer does not look
/// complete.
class Producer {
  public:
    virtual ~Producer() = default;
    [[nodiscard]] virtual Task<Result<void>> produce(Writer& writer) = 0;
};

/// Takes the connection over after `101 Switching Protocols` (or what the answer's status says) was sent.
class Upgrade {
  public:
    virtual ~Upgrade() = default;
    /// `early` are bytes that the client sent behind its request. The stream is closed when this returns.
    [[nodiscard]] virtual Task<void> run(Stream& stream, std::string early) = 0;
};

/// A part of an open file. `small` answers are read into memory, large ones go out by sendfile.
struct FilePart {
    UniqueFd fd;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

struct Answer {
    unsigned status = 200;
    Headers headers;
    std::variant<std::string, FilePart, std::unique_ptr<Producer>, std::unique_ptr<Upgrade>> body =
        std::string();
    /// The length of a producer's body when it is known; chunked otherwise.
    std::optional<std::uint64_t> known_length;
    /// End the connection after this answer.
    bool close = false;

    [[nodiscard]] static Answer empty(unsigned status = 200) {
        Answer a;
        a.status = status;
        return a;
    }
    [[nodiscard]] static Answer bytes(unsigned status, std::string_view content_type, std::string body) {
        Answer a;
        a.status = status;
        if (!content_type.empty()) a.headers.set("Content-Type", std::string(content_type));
        a.body = std::move(body);
        return a;
    }
    [[nodiscard]] static Answer stream(std::string_view content_type, std::unique_ptr<Producer> producer) {
        Answer a;
        if (!content_type.empty()) a.headers.set("Content-Type", std::string(content_type));
        a.body = std::move(producer);
        return a;
    }
    [[nodiscard]] static Answer upgraded(std::unique_ptr<Upgrade> upgrade) {
        Answer a;
        a.status = 101;
        a.body = std::move(upgrade);
        return a;
    }
};

}  // namespace execd::http
