#include "execd/http/proxy.hpp"

#include <algorithm>
#include <cstring>

#include "base/both.hpp"
#include "execd/http/chunked.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/head_scan.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

namespace {

ledger::Name const kUpstreams{"http.upstream"};
constexpr std::size_t kSmallAnswer = 64U << 10;  // bytes: sent whole, with its length
constexpr std::size_t kFirstRoom = 16U << 10;    // bytes: holds the heads, small answers and events
constexpr std::size_t kLargeRoom = 256U << 10;   // for bodies that come faster than that
constexpr std::size_t kLeastRead = 1U << 10;
constexpr std::size_t kSmallHead = 4U << 10;  // bytes of a request head that nobody counts

bool hop_by_hop(std::string_view name) {
    for (std::string_view hop : {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
                                 "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade"})
        if (iequals(name, hop)) return true;
    return false;
}

// The Cookie header as it was sent, without the cookie called `ours`.
void append_cookies(std::string& out, std::string_view value, std::string_view ours) {
    std::string kept;
    while (!value.empty()) {
        std::string_view const pair = value.substr(0, value.find(';'));
        value.remove_prefix(std::min(value.size(), pair.size() + 1));
        if (trim(pair.substr(0, pair.find('='))) == ours) continue;
        kept.append(kept.empty() ? "" : ";").append(kept.empty() ? trim(pair) : pair);
    }
    if (!kept.empty()) out.append("Cookie: ").append(kept).append("\r\n");
}

// Done twice is the same as done once (RFC 9110, 9.2.2).
bool idempotent(std::string_view method) {
    for (std::string_view one : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
        if (method == one) return true;
    return false;
}

Failure unreachable(unsigned short port, std::string_view why) {
    return fail(Code::unavailable, "proxy",
                "nothing answers on port " + std::to_string(port) + " (" + std::string(why) + ")");
}

}  // namespace

// Whose budget pays for what one exchange keeps: the request's head for another try, and the room, twice
// because an answer's head or a chunk's bytes are copied out of it.
struct Payer {
    BodyReader* body = nullptr;
    std::size_t head = 0;  // bytes
    [[nodiscard]] Result<void> hold(std::size_t room) const {
        std::size_t const bytes = (head > kSmallHead ? head : 0) + (room > kFirstRoom ? 2 * room : 0);
        return body != nullptr && bytes > 0 ? body->hold(bytes) : Result<void>();
    }
};

// One connection to a port, with what was read from it beyond the last answer.
struct ReverseProxy::Upstream {
    std::unique_ptr<Stream> stream;
    unsigned short port = 0;
    std::unique_ptr<char[]> room;  // of `size` bytes; [begin, end) are unread
    std::size_t size = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    bool filled = false;  // by the last read: there may be more
    bool reused = false;
    TimePoint idle_since{};
    ledger::Token token{kUpstreams};

    [[nodiscard]] std::string_view buffered() const { return {room.get() + begin, end - begin}; }
    void consume(std::size_t n) {
        begin += n;
        if (begin == end) begin = end = 0;
    }
    /// Reads on behind what is buffered; 0 at the end. What comes faster than it is read gets more room, up
    /// to `most`, if the budget of the client allows it; Code::exhausted when it does not and there is none.
    Task<Result<std::size_t>> more(Deadline deadline, Payer const& payer, std::size_t most = kFirstRoom) {
        std::size_t const kept = end - begin;
        std::size_t wanted = size;
        if (filled && size < most) {
            wanted = std::min(size * 4, most);
            if (!payer.hold(wanted)) wanted = size;
        }
        if (wanted < kept + kLeastRead) {
            wanted = kept + kFirstRoom;
            if (auto held = payer.hold(wanted); !held) co_return Failure(held.error());
        }
        if (wanted > size) {
            auto larger = std::make_unique_for_overwrite<char[]>(wanted);
            if (kept > 0) std::memcpy(larger.get(), room.get() + begin, kept);
            room = std::move(larger);
            size = wanted;
        } else if (begin > 0 && kept > 0) {
            std::memmove(room.get(), room.get() + begin, kept);
        }
        begin = 0;
        end = kept;
        auto got = co_await stream->read_some({room.get() + end, size - end}, deadline);
        filled = got && *got == size - end;
        if (got) end += *got;
        co_return got;
    }
    /// Before it waits in the pool: what one large answer took is not kept.
    void rest() {
        filled = reused = false;
        if (size <= kFirstRoom) return;
        room.reset();
        size = begin = end = 0;
    }
};

// One request and its answer. Lives in the handler, and in the producer when the body is streamed.
class ProxyExchange {
  public:
    ProxyExchange(ReverseProxy& proxy, unsigned short port, Payer payer)
        : proxy_(proxy), port_(port), payer_(payer) {}

    Task<Result<void>> begin(std::string const& head, bool fresh);
    Task<Result<void>> read_head(bool to_head);
    Task<Result<void>> send_body(BodyReader& body, bool chunked);
    void fill_answer(Answer& answer, bool to_head) const;
    /// The whole body when it is small and here already.
    [[nodiscard]] std::optional<std::string> whole_body();
    Task<Result<void>> relay_body(Writer& writer);
    void done();

    [[nodiscard]] unsigned status() const { return scan_.status_code; }
    [[nodiscard]] bool reused() const { return upstream_ && upstream_->reused; }
    [[nodiscard]] bool heard() const { return heard_; }
    [[nodiscard]] unsigned short port() const { return port_; }
    [[nodiscard]] std::unique_ptr<ReverseProxy::Upstream> release() { return std::move(upstream_); }
    [[nodiscard]] ReverseProxy::Options const& options() const { return proxy_.options_; }
    [[nodiscard]] Clock& clock() const { return proxy_.loop_->clock(); }

  private:
    ReverseProxy& proxy_;
    unsigned short port_;
    Payer payer_;
    std::unique_ptr<ReverseProxy::Upstream> upstream_;
    std::string head_;
    HeadScan scan_;
    bool heard_ = false;
    bool body_done_ = false;
};

ReverseProxy::ReverseProxy(Loop& loop, Options options)
    : loop_(&loop), options_(std::move(options)), idle_timer_(loop.clock()) {}
ReverseProxy::~ReverseProxy() = default;

std::size_t ReverseProxy::idle_upstreams() const {
    std::size_t n = 0;
    for (auto const& [port, list] : idle_) n += list.size();
    return n;
}

std::unique_ptr<ReverseProxy::Upstream> ReverseProxy::take(unsigned short port) {
    auto const entry = idle_.find(port);
    if (entry == idle_.end()) return nullptr;
    auto& pool = entry->second;
    while (!pool.empty()) {
        auto upstream = std::move(pool.back());
        pool.pop_back();
        // A server that closed it meanwhile has left an end to read; stray bytes would answer the wrong
        // request.
        char byte = 0;
        bool would_block = false;
        auto probe = upstream->stream->try_read({&byte, 1}, would_block);
        if (!probe || !would_block) continue;
        upstream->reused = true;
        return upstream;
    }
    return nullptr;
}

Task<Result<std::unique_ptr<ReverseProxy::Upstream>>> ReverseProxy::connect(unsigned short port) {
    Deadline const deadline = Deadline::in(loop_->clock(), options_.connect);
    auto stream = co_await Stream::connect(*loop_, "127.0.0.1", port, deadline);
    if (!stream) {
        auto v6 = co_await Stream::connect(*loop_, "::1", port, deadline);
        if (!v6)
            co_return unreachable(port, errno_text(stream.error().sys != 0 ? stream.error().sys : ETIMEDOUT));
        stream = std::move(v6);
    }
    auto upstream = std::make_unique<Upstream>();
    upstream->stream = std::move(*stream);
    upstream->port = port;
    co_return upstream;
}

void ReverseProxy::give_back(std::unique_ptr<Upstream> upstream) {
    auto& pool = idle_[upstream->port];
    upstream->idle_since = loop_->clock().now();
    upstream->rest();
    pool.push_back(std::move(upstream));
    if (pool.size() > options_.idle_per_port) pool.pop_front();
    if (!idle_timer_.armed()) drop_idle_at(pool.back()->idle_since);
}

void ReverseProxy::drop_idle_at(TimePoint idle_since) {
    idle_timer_.arm(Deadline(idle_since + options_.keep_idle), [this] { drop_idle(); });
}

void ReverseProxy::drop_idle() {
    TimePoint const newest = loop_->clock().now() - options_.keep_idle;
    TimePoint next = TimePoint::max();
    for (auto entry = idle_.begin(); entry != idle_.end();) {
        auto& pool = entry->second;
        while (!pool.empty() && pool.front()->idle_since <= newest) pool.pop_front();
        if (!pool.empty()) next = std::min(next, pool.front()->idle_since);
        entry = pool.empty() ? idle_.erase(entry) : std::next(entry);
    }
    if (next != TimePoint::max()) drop_idle_at(next);
}

// The pairs of `target`'s query that are credentials of ours are left out; the rest stays as it was sent.
std::string ReverseProxy::without_credentials(std::string target) const {
    auto const mark = target.find('?');
    if (mark == std::string::npos || !options_.is_query_credential) return target;
    std::string kept;
    std::string_view rest = std::string_view(target).substr(mark + 1);
    bool dropped = false;
    while (!rest.empty()) {
        std::string_view const pair = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        auto const parsed = parse_query(pair);
        if (parsed && parsed->size() == 1 &&
            options_.is_query_credential(parsed->front().first, parsed->front().second)) {
            dropped = true;
            continue;
        }
        kept.append(kept.empty() ? "" : "&").append(pair);
    }
    if (!dropped) return target;
    target.resize(mark);
    return kept.empty() ? target : target + "?" + kept;
}

std::string ReverseProxy::request_head(Call const& call, unsigned short port,
                                       std::string const& target) const {
    Head const& head = *call.head;
    std::string out;
    out.reserve(head.raw.size() + 256);
    out.append(head.method).append(" ").append(target).append(" HTTP/1.1\r\n");
    // One name for the request: an absolute target's replaces the field (RFC 9112, 3.2.2), and HTTP/1.0 may
    // come without one.
    out.append("Host: ");
    if (head.host.empty())
        out.append("127.0.0.1:").append(std::to_string(port));
    else
        out.append(head.host);
    out.append("\r\n");
    std::string_view forwarded_for;
    std::string_view real_ip;
    for (auto const& [name, value] : head.fields) {
        if (iequals(name, "X-Forwarded-For")) forwarded_for = value;
        if (iequals(name, "X-Real-IP")) real_ip = value;
    }
    for (auto const& [name, value] : head.fields) {
        // What the Connection header names is for this hop only.
        if (hop_by_hop(name) || iequals(name, "Host") || iequals(name, "X-Forwarded-For") ||
            iequals(name, "X-Forwarded-Proto") || iequals(name, "X-Forwarded-Host") ||
            iequals(name, "Expect") ||
            (head.has_token("Connection", name) && !iequals(name, "Content-Length")))
            continue;
        if (options_.is_credential && options_.is_credential(name, value)) continue;
        if (iequals(name, "Cookie") && !options_.session_cookie.empty()) {
            append_cookies(out, value, options_.session_cookie);
            continue;
        }
        out.append(name).append(": ").append(value).append("\r\n");
    }
    std::string_view const first = forwarded_for.substr(0, forwarded_for.find(','));
    out.append("X-Forwarded-For: ");
    if (!first.empty() || !real_ip.empty()) out.append(first.empty() ? real_ip : first).append(", ");
    out.append(call.peer).append("\r\nX-Forwarded-Proto: http\r\n");
    if (head.chunked) out.append("Transfer-Encoding: chunked\r\n");
    if (head.upgrade)
        out.append("Connection: Upgrade\r\nUpgrade: ")
            .append(head.find("Upgrade").value_or(""))
            .append("\r\n");
    out.append("\r\n");
    return out;
}

// ---- one exchange
// ---------------------------------------------------------------------------------------------------

Task<Result<void>> ProxyExchange::begin(std::string const& head, bool fresh) {
    heard_ = false;
    if (!fresh) upstream_ = proxy_.take(port_);
    if (fresh || !upstream_) {
        auto upstream = co_await proxy_.connect(port_);
        if (!upstream) co_return Failure(upstream.error());
        upstream_ = std::move(*upstream);
    }
    iovec const piece{const_cast<char*>(head.data()), head.size()};
    auto const sent = upstream_->stream->try_write(std::span(&piece, 1));
    if (!sent) co_return Failure(sent.error());
    if (*sent == head.size()) co_return Result<void>();
    co_return co_await upstream_->stream->write(std::string_view(head).substr(*sent), options().stall);
}

Task<Result<void>> ProxyExchange::read_head(bool to_head) {
    std::size_t resume = 0;
    for (;;) {
        auto const end = find_head_end(upstream_->buffered(), resume);
        if (end) {
            head_.assign(upstream_->buffered().substr(0, *end));
            upstream_->consume(*end);
            resume = 0;
            scan_ = scan_response_head(head_, to_head);
            if (!scan_.ok())
                co_return fail(Code::unavailable, "proxy",
                               "port " + std::to_string(port_) + " broke HTTP: " + std::string(scan_.text()));
            if (scan_.status_code >= 200 || scan_.status_code == 101) co_return Result<void>();
            continue;  // 100, 103: not ours to pass on
        }
        if (upstream_->buffered().size() > options().head_bytes)
            co_return fail(Code::unavailable, "proxy",
                           "port " + std::to_string(port_) + " sent too large a head");
        // A handler behind the port may think as long as it likes; our client's leaving ends the wait.
        auto got = co_await upstream_->more(Deadline::never(), payer_);
        if (!got && got.error().code == Code::exhausted) co_return Failure(got.error());
        if (!got) co_return unreachable(port_, got.error().message());
        if (*got == 0) co_return unreachable(port_, "it closed the connection without an answer");
        heard_ = true;
    }
}

Task<Result<void>> ProxyExchange::send_body(BodyReader& body, bool chunked) {
    for (;;) {
        auto piece = co_await body.next();
        if (!piece) co_return Failure(piece.error());
        if (piece->empty()) break;
        ChunkHead const mark = chunk_head(piece->size());
        iovec parts[3];
        std::size_t n = 0;
        if (chunked) parts[n++] = {const_cast<char*>(mark.bytes.data()), mark.size};
        parts[n++] = {const_cast<char*>(piece->data()), piece->size()};
        if (chunked) parts[n++] = {const_cast<char*>(kChunkEnd.data()), kChunkEnd.size()};
        auto sent = co_await upstream_->stream->write(std::span(parts, n), options().stall);
        if (!sent) co_return sent;
    }
    if (chunked) co_return co_await upstream_->stream->write(kLastChunk, options().stall);
    co_return Result<void>();
}

void ProxyExchange::fill_answer(Answer& answer, bool to_head) const {
    answer.status = scan_.status_code;
    std::string_view connection;
    for_each_field(scan_.field_lines, [&connection](std::string_view name, std::string_view value) {
        if (iequals(name, "Connection")) connection = value;
    });
    for_each_field(scan_.field_lines, [&](std::string_view name, std::string_view value) {
        bool const length = iequals(name, "Content-Length");
        if (hop_by_hop(name) || iequals(name, "Date") || (length && !to_head) ||
            (!length && has_token(connection, name)))
            return;
        answer.headers.add(name, std::string(value));
    });
    if (scan_.status_code == 101) {
        for_each_field(scan_.field_lines, [&](std::string_view name, std::string_view value) {
            if (iequals(name, "Upgrade")) answer.headers.set("Upgrade", std::string(value));
        });
        answer.headers.set("Connection", "Upgrade");
    }
    if (scan_.body == BodyKind::length) answer.known_length = scan_.content_length;
}

std::optional<std::string> ProxyExchange::whole_body() {
    if (scan_.body == BodyKind::none) {
        body_done_ = true;
        return std::string();
    }
    if (scan_.body != BodyKind::length || scan_.content_length > kSmallAnswer) return std::nullopt;
    if (upstream_->buffered().size() < scan_.content_length) return std::nullopt;
    std::string body(upstream_->buffered().substr(0, scan_.content_length));
    upstream_->consume(body.size());
    body_done_ = true;
    return body;
}

Task<Result<void>> ProxyExchange::relay_body(Writer& writer) {
    std::uint64_t left = scan_.content_length;
    ChunkedDecoder decoder;
    if (scan_.body == BodyKind::none) body_done_ = true;
    // The head goes out now: the first byte of an event stream may be a long way off.
    if (!body_done_ && upstream_->buffered().empty())
        if (auto sent = co_await writer.flush(); !sent) co_return sent;
    while (!body_done_) {
        std::string_view block = upstream_->buffered();
        std::size_t const had = block.size();
        if (scan_.body == BodyKind::chunked) {
            for (bool more = true; more;) {
                auto const step = decoder.next(block);
                if (step.event == ChunkedDecoder::Event::data) writer.out().append(step.data);
                if (step.event == ChunkedDecoder::Event::fault)
                    co_return fail(Code::io, "proxy", std::string(to_string(decoder.fault())));
                body_done_ = step.event == ChunkedDecoder::Event::end;
                more = step.event == ChunkedDecoder::Event::data;
            }
            upstream_->consume(had - block.size());
            if (!writer.out().empty())
                if (auto sent = co_await writer.flush(); !sent) co_return sent;
        } else if (had > 0) {
            std::string_view const piece =
                scan_.body == BodyKind::length
                    ? block.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, had)))
                    : block;
            if (auto sent = co_await writer.write(piece); !sent) co_return sent;
            left -= piece.size();
            upstream_->consume(piece.size());
            body_done_ = scan_.body == BodyKind::length && left == 0;
        }
        if (body_done_) break;
        auto got = co_await upstream_->more(Deadline::never(), payer_, kLargeRoom);
        if (!got) co_return Failure(got.error());
        if (*got > 0) continue;
        if (scan_.body == BodyKind::until_close) break;
        co_return fail(Code::io, "proxy",
                       "port " + std::to_string(port_) + " closed the connection inside its answer");
    }
    done();
    co_return Result<void>();
}

void ProxyExchange::done() {
    if (upstream_ && body_done_ && scan_.keep_alive && upstream_->buffered().empty() &&
        scan_.body != BodyKind::until_close)
        proxy_.give_back(std::move(upstream_));
    upstream_.reset();
}

namespace {

class Relay final : public Producer {
  public:
    explicit Relay(std::unique_ptr<ProxyExchange> exchange) : exchange_(std::move(exchange)) {}
    Task<Result<void>> produce(Writer& writer) override { co_return co_await exchange_->relay_body(writer); }

  private:
    std::unique_ptr<ProxyExchange> exchange_;
};

// A request with a body: its bytes and the answer's flow at the same time.
class DuplexRelay final : public Producer {
  public:
    DuplexRelay(std::unique_ptr<ProxyExchange> exchange, BodyReader& body, bool chunked)
        : exchange_(std::move(exchange)), body_(body), chunked_(chunked) {}
    Task<Result<void>> produce(Writer& writer) override {
        co_await both(send(), receive(writer));
        co_return result_;
    }

  private:
    Task<void> send() {
        auto sent = co_await exchange_->send_body(body_, chunked_);
        // An upstream may answer (413, 401) without reading on: its answer counts, not our broken write.
        if (!sent && sent.error().where == "body") result_ = sent;
    }
    Task<void> receive(Writer& writer) {
        auto head = co_await exchange_->read_head(false);
        if (head) {
            exchange_->fill_answer(writer.answer(), false);
            head = co_await exchange_->relay_body(writer);
        }
        if (result_) result_ = head;
    }
    std::unique_ptr<ProxyExchange> exchange_;
    BodyReader& body_;
    bool chunked_;
    Result<void> result_;
};

class Tunnel final : public Upgrade {
  public:
    Tunnel(std::unique_ptr<ReverseProxy::Upstream> upstream, Duration stall)
        : upstream_(std::move(upstream)), stall_(stall) {}
    Task<void> run(Stream& client, std::string early) override {
        std::string for_client(upstream_->buffered());
        co_await tunnel(client, *upstream_->stream, std::move(for_client), std::move(early), stall_);
    }

  private:
    std::unique_ptr<ReverseProxy::Upstream> upstream_;
    Duration stall_;
};

}  // namespace

Task<Result<Answer>> ReverseProxy::forward(Call& call, unsigned short port, std::string target) {
    Head const& head = *call.head;
    std::string const request = request_head(call, port, without_credentials(std::move(target)));
    bool const to_head = head.method == "HEAD";
    Payer const payer{call.body, request.size()};
    if (auto held = payer.hold(0); !held) co_return Failure(held.error());
    auto exchange = std::make_unique<ProxyExchange>(*this, port, payer);
    if (head.has_body()) {
        // A body cannot be sent twice, so it does not ride on a connection that may be closing.
        if (auto begun = co_await exchange->begin(request, true); !begun) co_return Failure(begun.error());
        co_return Answer::stream(
            "", std::make_unique<DuplexRelay>(std::move(exchange), *call.body, head.chunked));
    }
    // On a kept connection that closes just now nobody knows whether the request was carried out: what may
    // not be done twice gets a connection of its own.
    for (bool fresh = head.upgrade || !idempotent(head.method);; fresh = true) {
        auto begun = co_await exchange->begin(request, fresh);
        if (begun) begun = co_await exchange->read_head(to_head);
        if (begun) break;
        bool const try_again = exchange->reused() && !exchange->heard();
        if (!try_again) co_return Failure(begun.error());
    }
    Answer answer;
    exchange->fill_answer(answer, to_head);
    if (exchange->status() == 101) {
        answer.body = std::make_unique<Tunnel>(exchange->release(), options_.stall);
        co_return answer;
    }
    if (auto body = exchange->whole_body()) {
        answer.body = std::move(*body);
        answer.known_length.reset();
        exchange->done();
        co_return answer;
    }
    answer.body = std::make_unique<Relay>(std::move(exchange));
    co_return answer;
}

}  // namespace execd::http
