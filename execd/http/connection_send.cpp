#include <sys/uio.h>
#include <unistd.h>

#include <ctime>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "execd/http/chunked.hpp"
#include "execd/http/connection.hpp"
#include "execd/http/fields.hpp"
#include "fs/cached.hpp"

namespace execd::http {

namespace {

constexpr std::uint64_t kSmallFile = 256U << 10;  // bytes: read and sent together with the head

// The Date line, made once a second.
std::string const& date_line() {
    static thread_local std::string line;
    static thread_local std::time_t made = 0;
    std::time_t const now = std::time(nullptr);
    if (now != made) {
        made = now;
        line = "Date: " + format_http_date(now) + "\r\n";
    }
    return line;
}

constexpr std::string_view kRequestId = "X-Request-Id";

bool bodiless(unsigned status) { return status < 200 || status == 204 || status == 304; }

iovec piece_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

void Connection::render_head(Answer const& answer, std::optional<std::uint64_t> length, bool chunked) {
    out_.clear();
    out_ += "HTTP/1.1 ";
    out_ += std::to_string(answer.status);
    out_ += ' ';
    out_ += reason_phrase(answer.status);
    out_ += "\r\n";
    out_ += date_line();
    for (auto const& [name, value] : answer.headers) {
        if (!is_field_value(value)) continue;  // a CR or LF here would let a value write headers of its own
        out_ += name;
        out_ += ": ";
        out_ += value;
        out_ += "\r\n";
    }
    if (answer.headers.find(kRequestId) == nullptr) {
        out_ += kRequestId;
        out_ += ": ";
        out_ += request_id_;
        out_ += "\r\n";
    }
    if (chunked) {
        out_ += "Transfer-Encoding: chunked\r\n";
    } else if (length && !bodiless(answer.status)) {
        out_ += "Content-Length: ";
        out_ += std::to_string(*length);
        out_ += "\r\n";
    }
    if (answer.status != 101) {
        if (!keep_)
            out_ += "Connection: close\r\n";
        else if (head_.minor_version == 0)
            out_ += "Connection: keep-alive\r\n";
    }
    out_ += "\r\n";
}

void Connection::answered(Answer const& answer) {
    if (call_ == nullptr || call_->dialect == nullptr) return;  // a head that nobody could read
    Call const& call = *std::exchange(call_, nullptr);
    Duration const took = server_.loop_->clock().now() - began_;
    server_.figures_[call.dialect].add(answer.status, took);
    bool const slow = server_.limits_.slow > Duration::zero() && took > server_.limits_.slow;
    bool const ours = answer.status >= 500;
    if (answer.status < 400 && !slow) return;
    // Neither path nor query: they may carry what is nobody's business.
    auto const* const id = answer.headers.find(kRequestId);
    log::write(ours || slow ? log::Level::warn : log::Level::info, slow ? "http.slow" : "http.failed",
               {{"request_id", id != nullptr ? *id : request_id_},
                {"dialect", call.dialect->name()},
                {"operation", call.row != nullptr ? std::string_view(call.row->operation_id) : "none"},
                {"method", head_.method},
                {"status", answer.status},
                {"ms", std::chrono::duration<double, std::milli>(took).count()},
                {"peer", peer_}});
}

// Everything but streams. False when the connection cannot be used any more.
Task<bool> Connection::send(Call const& call, Answer& answer) {
    if (answer.close) keep_ = false;
    if (auto* part = std::get_if<FilePart>(&answer.body); part != nullptr && !head_only_)
        co_return co_await send_file(call, answer);
    std::optional<std::uint64_t> length;
    std::string_view body;
    if (auto const* bytes = std::get_if<std::string>(&answer.body)) {
        length = bytes->size();
        body = *bytes;
    } else if (auto const* part = std::get_if<FilePart>(&answer.body)) {
        length = part->length;
    } else {
        length = answer.known_length;
    }
    // A HEAD answer may carry the length that GET would have.
    if (head_only_ && answer.headers.find("Content-Length") != nullptr) length.reset();
    render_head(answer, length, false);
    if (head_only_ || bodiless(answer.status)) body = {};
    // Small bodies ride in the same buffer: one copy is cheaper than a second iovec.
    if (body.size() <= 2048) {
        out_ += body;
        body = {};
    }
    answered(answer);
    iovec pieces[2] = {piece_of(out_), piece_of(body)};
    auto sent = stream_.try_write(std::span(pieces, body.empty() ? 1 : 2));
    if (sent && *sent == out_.size() + body.size()) co_return true;
    if (sent) {
        std::size_t const of_head = std::min(*sent, out_.size());
        pieces[0] = piece_of(std::string_view(out_).substr(of_head));
        pieces[1] = piece_of(body.substr(*sent - of_head));
        auto rest = co_await stream_.write(std::span(pieces), server_.limits_.write_stall);
        if (rest) co_return true;
    }
    peer_gone_ = true;
    co_return false;
}

Task<bool> Connection::send_file(Call const& call, Answer& answer) {
    auto& part = std::get<FilePart>(answer.body);
    render_head(answer, part.length, false);
    // Without the budget for a copy the kernel sends it from the page cache, only slower.
    if (part.length <= kSmallFile && pay(in_.size(), head_size_, out_.size() + part.length)) {
        // From the page cache without a thread hop when it is there; the pool reads it otherwise.
        std::size_t const head = out_.size();
        out_.resize(head + part.length);
        std::span<char> const into(out_.data() + head, part.length);
        std::int64_t n = part.length == 0
                             ? 0
                             : fs::read_cached(part.fd.get(), into, static_cast<std::int64_t>(part.offset));
        if (n != static_cast<std::int64_t>(part.length)) {
            n = co_await server_.loop_->pool().run(
                Lane::bulk, [fd = part.fd.get(), all = into, at = part.offset] {
                    std::size_t have = 0;
                    while (have < all.size()) {
                        errno = fault::hit("read");
                        ssize_t const got = errno == 0 ? ::pread(fd, all.data() + have, all.size() - have,
                                                                 static_cast<off_t>(at + have))
                                                       : -1;
                        if (got < 0 && errno == EINTR) continue;
                        if (got < 0) return -std::int64_t{errno};
                        if (got == 0) break;
                        have += static_cast<std::size_t>(got);
                    }
                    return static_cast<std::int64_t>(have);
                });
        }
        if (n != static_cast<std::int64_t>(part.length)) {
            // The head has promised nothing yet.
            out_.clear();
            Error why{Code::io, "read", n < 0 ? static_cast<int>(-n) : 0, {}};
            if (n >= 0) why.detail = "the file became shorter while it was read";
            Answer failed = error_answer(why, call);
            keep_ = false;
            co_return co_await send(call, failed);
        }
        answered(answer);
        if (auto const out = co_await stream_.write(out_, server_.limits_.write_stall); out) co_return true;
        peer_gone_ = true;
        co_return false;
    }
    answered(answer);
    auto sent = co_await stream_.write(out_, server_.limits_.write_stall);
    if (sent)
        sent =
            co_await stream_.send_file(part.fd.get(), part.offset, part.length, server_.limits_.write_stall);
    if (sent) co_return true;
    stream_.abort();
    peer_gone_ = true;
    co_return false;
}

// ---- streams
// ----------------------------------------------------------------------------------------------------

Task<bool> Connection::produce(Call& call, Answer& answer, bool& sent) {
    if (answer.close) keep_ = false;
    auto producer = std::move(std::get<std::unique_ptr<Producer>>(answer.body));
    ChunkWriter writer(*this, answer);
    // A cancelled producer unwinds through here: what it had committed is committed.
    struct Note {
        ChunkWriter const& writer;
        bool& sent;
        ~Note() { sent = sent || writer.committed(); }
    } const note{writer, sent};
    auto result = co_await producer->produce(writer);
    if (result) result = co_await writer.finish();
    if (result) {
        sent = true;
        co_return true;
    }
    if (result.error().code == Code::disconnected || result.error().code == Code::timed_out) {
        if (writer.committed()) peer_gone_ = true;
    } else if (writer.committed()) {
        log::warn("http.stream_failed", {{"request_id", request_id_},
                                         {"operation", call.row->operation_id},
                                         {"error", result.error().message()}});
    }
    if (!writer.committed()) answer_ = error_answer(result.error(), call);
    co_return false;
}

Connection::ChunkWriter::ChunkWriter(Connection& connection, Answer& answer)
    : connection_(connection), answer_(answer), stall_(connection.server_.limits_.write_stall) {}

Task<Result<void>> Connection::ChunkWriter::flush() {
    if (out_.empty() && committed_) co_return Result<void>();
    co_return co_await send_pieces({}, false);
}

Task<Result<void>> Connection::ChunkWriter::write(std::string_view bytes) {
    co_return co_await send_pieces(bytes, false);
}

Task<Result<void>> Connection::ChunkWriter::finish() {
    if (answer_.known_length && sent_ + out_.size() != *answer_.known_length)
        co_return fail(Code::internal, "stream", "the body's length is not what its head promised");
    co_return co_await send_pieces({}, true);
}

Task<Result<void>> Connection::ChunkWriter::send_pieces(std::string_view more, bool last) {
    if (connection_.peer_gone_ || !connection_.stream_.open()) co_return fail(Code::disconnected, "write");
    std::string_view head;
    if (!committed_) {
        if (answer_.close) connection_.keep_ = false;
        bool const open_ended = !answer_.known_length && !bodiless(answer_.status);
        chunked_ = open_ended && connection_.head_.minor_version >= 1;
        if (open_ended && !chunked_)
            connection_.keep_ = false;  // HTTP/1.0: the end of the connection ends it
        connection_.render_head(answer_, answer_.known_length, chunked_);
        connection_.answered(answer_);
        head = connection_.out_;
        committed_ = true;
    }
    std::size_t const size = out_.size() + more.size();
    ChunkHead const mark = chunk_head(size);
    iovec pieces[6];
    std::size_t n = 0;
    if (!head.empty()) pieces[n++] = piece_of(head);
    if (chunked_ && size > 0) {
        pieces[n++] = piece_of(mark.view());
    }
    if (!out_.empty()) pieces[n++] = piece_of(out_);
    if (!more.empty()) pieces[n++] = piece_of(more);
    if (chunked_ && size > 0) {
        static constexpr std::string_view kEndAndLast = "\r\n0\r\n\r\n";
        pieces[n++] = piece_of(last ? kEndAndLast : kChunkEnd);
    } else if (chunked_ && last) {
        pieces[n++] = piece_of(kLastChunk);
    }
    sent_ += size;
    auto result = co_await connection_.stream_.write(std::span(pieces, n), stall_);
    out_.clear();
    if (!result) connection_.peer_gone_ = true;
    co_return result;
}

// ---- the end of a request
// ------------------------------------------------------------------------------------------

Task<void> Connection::run_upgrade(Answer& answer) {
    auto& upgrade = std::get<std::unique_ptr<Upgrade>>(answer.body);
    // The upgraded protocol reads the stream itself: take back the background read first.
    if (watch_) {
        taking_back_ = true;
        stream_.cancel_read();
        while (watch_) co_await watch_done_.wait();
    }
    std::string early(buffered());
    consume(early.size());
    if (peer_gone_) co_return;
    co_await upgrade->run(stream_, std::move(early));
}

// Unread body bytes are swallowed when they are few, so that the connection can go on.
Task<bool> Connection::finish_body() {
    std::uint64_t left = server_.limits_.drain_body;
    while (!body_->done()) {
        if (body_->content_length().value_or(0) > left && body_->content_length()) co_return false;
        auto piece = co_await body_->next();
        if (!piece || piece->size() > left) co_return false;
        left -= piece->size();
    }
    co_return true;
}

// Closing with unread bytes in the kernel makes it send a reset, which can destroy the answer on its way: end
// our side, then read on for a moment.
Task<void> Connection::linger() {
    stream_.shutdown_write();
    if (watch_) co_return;  // the pending read ends with the close
    Deadline const deadline = Deadline::in(server_.loop_->clock(), server_.limits_.linger);
    char sink[16384];
    std::size_t budget = 64U << 20;  // a refused upload is not torn down in the middle of the client's write
    while (budget > 0) {
        auto got = co_await stream_.read_some(sink, deadline);
        if (!got || *got == 0) co_return;
        budget -= std::min(budget, *got);
    }
}

}  // namespace execd::http
