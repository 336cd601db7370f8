#include "execd/http/connection.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include <algorithm>

#include "base/check.hpp"
#include "base/log.hpp"
#include "execd/http/chunked.hpp"
#include "execd/http/head_scan.hpp"

namespace execd::http {

namespace {
ledger::Name const kConnections{"http.connection"};
constexpr std::size_t kFirstBuffer = 4U << 10;
constexpr std::size_t kReadAhead = 64U << 10;   // pipelined bytes kept while a handler runs
constexpr std::size_t kLargeRead = 512U << 10;  // one read of a large body
// A client that asks again soon finds the buffers of its last request; one that rests longer does not keep
// them.
constexpr auto kRest = std::chrono::seconds(1);

/// What a client may call its request: it goes into our log and back to the client.
bool is_request_id(std::string_view text) {
    constexpr std::size_t kLongest = 128;
    auto const plain = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
               c == '_' || c == '.' || c == ':';
    };
    return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), plain);
}

std::size_t beyond_first(std::size_t size) { return size > kFirstBuffer ? size - kFirstBuffer : 0; }
}  // namespace

// The background read that runs while a handler waits. It may end after the connection: then it finds no
// owner.
struct Connection::Watch {
    Connection* owner = nullptr;
};

Connection::Connection(Server& server, UniqueFd fd, int family, ListenerInfo const& listener)
    : server_(server),
      listener_(listener),
      stream_(*server.loop_, std::move(fd), family),
      peer_(stream_.peer_address()),
      held_(&server.budget_, peer_),
      token_(kConnections) {
    stream_.charge_to(&server.budget_, peer_);
    stream_.count_on(server.traffic_);
    server_.live_.insert(this);
    ++server_.per_client_[peer_];
}

Connection::~Connection() {
    if (watch_) watch_->owner = nullptr;
    stream_.close();
    server_.live_.erase(this);
    auto const entry = server_.per_client_.find(peer_);
    if (entry != server_.per_client_.end() && --entry->second == 0) server_.per_client_.erase(entry);
}

void Connection::stop() {
    peer_gone_ = true;
    stream_.close();
    stop_handler_.emit(asio::cancellation_type::terminal);
}

void Connection::refuse(std::string_view bytes) {
    iovec const piece{const_cast<char*>(bytes.data()), bytes.size()};
    [[maybe_unused]] auto ignored = stream_.try_write(std::span(&piece, 1));
    stream_.shutdown_write();
}

std::size_t Connection::of_its_client() const {
    auto const entry = server_.per_client_.find(peer_);
    return entry == server_.per_client_.end() ? 0 : entry->second;
}

Task<void> Connection::run(std::unique_ptr<Connection> self) { co_await self->serve_all(); }

Task<void> Connection::serve_all() {
    for (;;) {
        bool const got_head = co_await next_head();
        if (!got_head) break;
        ++served_;
        ++server_.counters_.requests;
        bool const go_on = co_await serve();
        if (!go_on || server_.draining_) break;
        idle_ = true;
    }
    if (stream_.open() && !peer_gone_) co_await linger();
}

// ---- reading
// -------------------------------------------------------------------------------------------------

void Connection::consume(std::size_t n) {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
}

bool Connection::may_grow(std::size_t at_least) {
    std::size_t const used = end_ - begin_;
    if (std::max(in_.size(), kFirstBuffer) - used >= at_least) return true;
    // As spare() grows: doubling.
    std::size_t const size = std::max(in_.size() * 2, used + at_least);
    return pay(size, head_size_, out_.capacity()).has_value();
}

Result<void> Connection::pay(std::size_t in, std::size_t head, std::size_t out) {
    return held_.grow_to(beyond_first(in) + beyond_first(head) + beyond_first(out));
}

void Connection::shrink() {
    if (watch_ || end_ != begin_) return;
    // Swapped: a short string that is moved in leaves the large one its memory.
    std::string().swap(in_);
    begin_ = end_ = 0;
    Head none;
    std::swap(head_, none);
    head_size_ = 0;
    std::string().swap(out_);
    held_.release();
}

std::span<char> Connection::spare(std::size_t at_least) {
    EXECD_ASSERT(!watch_);
    if (in_.size() - end_ < at_least && begin_ > 0) {
        std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (in_.size() - end_ < at_least) in_.resize(std::max({kFirstBuffer, in_.size() * 2, end_ + at_least}));
    return {in_.data() + end_, in_.size() - end_};
}

// Waits for more bytes of the client; 0 at the end. A pending background read is awaited instead of a second
// one.
Task<Result<std::size_t>> Connection::fill(Deadline deadline) {
    if (watch_) {
        std::size_t const before = end_ - begin_;
        while (watch_ && !peer_gone_ && !peer_closed_)
            if (bool const woken = co_await watch_done_.wait(server_.loop_->clock(), deadline); !woken)
                co_return fail(Code::timed_out, "read");
        if (end_ - begin_ > before) co_return end_ - begin_ - before;
    }
    if (peer_gone_) co_return fail(Code::disconnected, "read");
    if (peer_closed_) co_return std::size_t{0};
    if (!may_grow(1)) co_return fail(Code::exhausted, "read", "too many bytes are held in memory already");
    auto got = co_await stream_.read_some(spare(1), deadline);
    if (got) end_ += *got;
    if (got && *got == 0) peer_closed_ = true;
    co_return got;
}

void Connection::start_watch() {
    if (watch_ || peer_gone_ || peer_closed_ || end_ - begin_ >= kReadAhead || !stream_.open()) return;
    if (!may_grow(1024)) return;
    std::span<char> const into = spare(1024);
    watch_ = std::make_shared<Watch>();
    watch_->owner = this;
    stream_.start_read(into, [watch = watch_](Result<std::size_t> got) {
        if (watch->owner != nullptr) watch->owner->watched(std::move(got));
    });
}

void Connection::watched(Result<std::size_t> got) {
    watch_.reset();
    if (got && *got > 0) {
        end_ += *got;
        if (running_ != nullptr) start_watch();
    } else if (!taking_back_) {
        peer_left(got.has_value());
    }
    watch_done_.notify_all();
}

// An orderly end of the client's sending side cannot be told from leaving: work that is only worth doing for
// a listener ends without an answer. What is kept goes on, and its answer reaches a client that closed just
// its half.
void Connection::peer_left(bool orderly) {
    (orderly ? peer_closed_ : peer_gone_) = true;
    if (running_ == nullptr || running_->row == nullptr) return;
    Row const& row = *running_->row;
    if (row.on_disconnect == OnDisconnect::keep) return;
    if (row.on_disconnect == OnDisconnect::interrupt && row.interrupt) row.interrupt(*running_);
    peer_gone_ = true;
    stop_handler_.emit(asio::cancellation_type::terminal);
}

// Always false: nothing more is read from a connection whose next head was refused.
Task<bool> Connection::refuse_head(unsigned status, std::string_view why) {
    head_ = Head();
    request_id_ = server_.next_request_id();
    Answer answer = server_.router_->owner("/")->bad_request({status, std::string(why)});
    keep_ = false;
    co_await send(Call(), answer);
    co_return false;
}

// A connection between requests keeps nothing large. A background read that is still there looks into in_.
Task<void> Connection::rest() {
    if (watch_) {
        taking_back_ = true;
        stream_.cancel_read();
        while (watch_) co_await watch_done_.wait();
        taking_back_ = false;
    }
    if (end_ == begin_) shrink();
}

bool Connection::take_head(std::size_t size) {
    // The views of its lines are few (HeadLimits::fields).
    if (!pay(in_.size(), size, out_.capacity())) return false;
    head_size_ = std::max(head_size_, size);
    head_.raw.assign(buffered().substr(0, size));
    consume(size);
    return true;
}

Task<bool> Connection::next_head() {
    std::size_t resume = 0;
    Clock& clock = server_.loop_->clock();
    Deadline deadline = Deadline::in(clock, server_.limits_.idle);
    Deadline resting = Deadline::in(clock, kRest);
    bool started = false;
    if (out_.capacity() > kFirstBuffer && !pay(in_.size(), head_size_, out_.capacity()))
        std::string().swap(out_);
    for (;;) {
        if (std::size_t const skip = leading_empty_line(buffered()); skip > 0 && served_ > 0) consume(skip);
        auto const end = find_head_end(buffered(), resume);
        if (end && *end <= server_.limits_.head_bytes) {
            idle_ = false;
            if (take_head(*end)) co_return true;
            co_return co_await refuse_head(503, "too much memory is in use");
        }
        if (end || buffered().size() > server_.limits_.head_bytes) {
            ++server_.counters_.bad_heads;
            co_return co_await refuse_head(431, "request head too large");
        }
        if (!started && !buffered().empty()) {
            started = true;
            idle_ = false;
            deadline = Deadline::in(clock, server_.limits_.head);
        }
        bool const may_rest = !started && held_.bytes() > 0 && !resting.is_never();
        auto const got = co_await fill(may_rest ? earliest(resting, deadline) : deadline);
        if (!got && got.error().code == Code::timed_out && may_rest) {
            resting = Deadline::never();
            co_await rest();
            continue;
        }
        if (!got && got.error().code == Code::timed_out && started)
            co_return co_await refuse_head(408, "request head not complete in time");
        if (!got && got.error().code == Code::exhausted)
            co_return co_await refuse_head(503, "too much memory is in use");
        if (!got) {
            peer_gone_ = got.error().code != Code::timed_out;
            co_return false;
        }
        if (*got == 0) co_return false;
    }
}

// ---- one request
// ----------------------------------------------------------------------------------------------

Task<bool> Connection::serve() {
    keep_ = true;
    head_only_ = false;
    Call call;
    call_ = &call;
    struct Forget {
        Call*& call;
        ~Forget() { call = nullptr; }
    } const forget{call_};
    began_ = server_.loop_->clock().now();
    call.head = &head_;
    call.listener = &listener_;
    call.loop = server_.loop_;
    call.peer = peer_;
    std::optional<Answer> answer = resolve(call);
    keep_ =
        keep_ && head_.keep_alive && served_ < server_.limits_.requests_per_connection && !server_.draining_;
    if (!answer && !head_.has_body()) answer = at_once(call);
    if (answer && !head_.has_body()) {
        bool const sent = co_await send(call, *answer);
        co_return sent&& keep_;
    }
    body_ = std::make_unique<Body>(*this,
                                   call.row != nullptr ? call.row->body_limit : server_.limits_.drain_body);
    call.body = body_.get();
    if (!answer && head_.has_body()) answer = at_once(call);
    bool good = false;
    if (answer) {
        if (body_->unasked()) keep_ = false;  // the client may or may not send the body now: nobody can tell
        good = co_await send(call, *answer);
    } else {
        good = co_await serve_waiting(call);
    }
    if (good && keep_) good = co_await finish_body();
    body_.reset();
    answer_ = Answer();  // its bytes, or its open file, are not kept until the next request
    co_return good&& keep_;
}

std::optional<Answer> Connection::at_once(Call& call) {
    if (!call.row->sync) return std::nullopt;
    auto made = call.row->sync(call);
    if (!made) return error_answer(made.error(), call);
    if (made->status == 0 && call.row->invoke) return std::nullopt;
    return std::move(*made);
}

std::optional<Answer> Connection::resolve(Call& call) {
    if (auto fault = parse_head(head_)) {
        ++server_.counters_.bad_heads;
        request_id_ = server_.next_request_id();
        keep_ = false;  // where the next request would begin is unknown
        Dialect* owner = server_.router_->owner(head_.path.empty() ? "/" : head_.path);
        call.dialect = owner;
        return owner->bad_request(*fault);
    }
    auto const theirs = head_.find("X-Request-ID");
    request_id_ = theirs && is_request_id(*theirs) ? std::string(*theirs) : server_.next_request_id();
    call.request_id = request_id_;
    head_only_ = head_.method == "HEAD";
    call.path = head_.path;
    for (auto const& stage : server_.stages_) stage(call);
    Router::Match match = server_.router_->match(head_.method, call.path, head_, listener_, call.params);
    call.row = match.row;
    call.dialect = match.row != nullptr ? match.row->dialect : server_.router_->owner(call.path);
    if (head_.bad_expectation)
        return call.dialect->bad_request({417, "Expect: only 100-continue is understood"});
    if (match.row == nullptr || match.row->access == Access::token) {
        auto principal = server_.authorize_(call, *call.dialect);
        if (!principal) return call.dialect->unauthorized(head_, principal.error());
        call.principal = std::move(*principal);
    }
    if (match.bad_encoding)
        return call.dialect->error(Error{Code::invalid_argument, "path", 0, "broken percent encoding"},
                                   &call);
    if (match.row != nullptr) {
        if (head_.content_length && match.row->body != BodyPolicy::none &&
            *head_.content_length > match.row->body_limit)
            return error_answer(
                Error{Code::too_large, "body", 0,
                      "the body has " + std::to_string(*head_.content_length) + " bytes, at most " +
                          std::to_string(match.row->body_limit) + " are taken"},
                call);
        return std::nullopt;
    }
    if (match.allowed.empty()) return call.dialect->not_found(head_);
    if (head_.method == "OPTIONS")
        if (auto answer = call.dialect->options(head_, match.allowed)) return answer;
    return call.dialect->method_not_allowed(head_, match.allowed);
}

Answer Connection::error_answer(Error const& error, Call const& call) {
    return call.dialect->error(error, &call);
}

// The handler is a coroutine of its own only so that it can be cancelled by itself; this one waits for it.
Task<bool> Connection::serve_waiting(Call& call) {
    bool sent = false;
    bool whole = false;
    bool broke = false;
    running_ = &call;
    if (!head_.has_body()) start_watch();
    try {
        co_await asio::co_spawn(server_.loop_->executor(), run_handler(call, sent, whole),
                                asio::bind_cancellation_slot(stop_handler_.slot(), kUseTask));
    } catch (boost::system::system_error const& e) {
        broke = true;
        if (e.code() != asio::error::operation_aborted)
            log::error(
                "http.handler_exception",
                {{"request_id", request_id_}, {"operation", call.row->operation_id}, {"what", e.what()}});
    } catch (std::exception const& e) {
        broke = true;
        log::error("http.handler_exception",
                   {{"request_id", request_id_}, {"operation", call.row->operation_id}, {"what", e.what()}});
    }
    running_ = nullptr;
    if (sent) {
        // A stream that did not come to its end must not look complete.
        if (!whole || broke) stream_.abort();
        co_return whole && !broke;
    }
    if (peer_gone_) co_return false;
    if (broke) answer_ = error_answer(Error{Code::internal, "handler", 0, "internal error"}, call);
    if (body_ != nullptr && body_->unasked()) keep_ = false;
    if (auto* upgrade = std::get_if<std::unique_ptr<Upgrade>>(&answer_.body)) {
        bool const switched = co_await send(call, answer_);
        if (switched) co_await run_upgrade(answer_);
        *upgrade = nullptr;
        co_return false;
    }
    co_return co_await send(call, answer_);
}

Task<void> Connection::run_handler(Call& call, bool& sent, bool& whole) {
    answer_ = Answer();
    auto made = co_await call.row->invoke(call);
    answer_ = made ? std::move(*made) : error_answer(made.error(), call);
    if (std::holds_alternative<std::unique_ptr<Producer>>(answer_.body) && !head_only_) {
        if (body_ == nullptr || body_->done())
            start_watch();  // otherwise the body's reader does it at its end
        whole = co_await produce(call, answer_, sent);
    }
}

// ---- the request body
// -----------------------------------------------------------------------------------------

struct Connection::Body::Chunks {
    ChunkedDecoder decoder;
};

Connection::Body::Body(Connection& connection, std::uint64_t limit)
    : connection_(connection),
      limit_(limit),
      held_(&connection.server_.budget_, connection.peer_),
      large_held_(&connection.server_.budget_, connection.peer_) {
    Head const& head = connection.head_;
    done_ = !head.has_body();
    must_continue_ = head.expect_continue && !done_ && head.minor_version >= 1;
    left_ = head.content_length.value_or(0);
    if (head.chunked) chunks_ = std::make_unique<Chunks>();
}

Connection::Body::~Body() { connection_.consume(to_consume_); }

std::optional<std::string_view> Connection::Body::whole() const {
    if (chunks_ || must_continue_ || taken_ > 0 || connection_.buffered().size() < left_) return std::nullopt;
    return connection_.buffered().substr(0, left_);
}

Task<Result<std::string_view>> Connection::Body::next() {
    connection_.consume(std::exchange(to_consume_, 0));
    last_ = nullptr;
    if (done_) {
        // From here on the background read watches the client.
        if (connection_.running_ != nullptr) connection_.start_watch();
        co_return std::string_view();
    }
    if (std::exchange(must_continue_, false) && connection_.buffered().empty()) {
        auto sent = co_await connection_.stream_.write("HTTP/1.1 100 Continue\r\n\r\n",
                                                       connection_.server_.limits_.write_stall);
        if (!sent) co_return Failure(sent.error());
    }
    // Not as `? co_await : co_await`: g++ 12 destroys the operands of that twice.
    Result<std::string_view> piece;
    if (chunks_)
        piece = co_await next_chunk();
    else
        piece = co_await next_of_length();
    if (piece && !piece->empty()) {
        taken_ += piece->size();
        if (taken_ > limit_)
            co_return fail(Code::too_large, "body",
                           "the body has more than " + std::to_string(limit_) + " bytes");
    }
    if (piece && piece->empty() && connection_.running_ != nullptr) connection_.start_watch();
    co_return piece;
}

// A client that sends a byte now and then is not one that is still there for the whole of its body.
Deadline Connection::Body::progress_deadline() const {
    auto const& server = connection_.server_;
    auto const& limits = server.limits_;
    Call const* const call = connection_.running_;
    bool const conversation =
        chunks_ && call != nullptr && call->row != nullptr && call->row->body == BodyPolicy::raw;
    Duration patience = limits.body_progress;
    if (!conversation && limits.body_rate > 0) {
        constexpr std::uint64_t kLongest = 1'000'000;  // seconds
        std::chrono::seconds const earned(std::min(received_ / limits.body_rate, kLongest));
        patience = std::min(patience, limits.body_progress + earned - waited_);
    }
    return Deadline::in(server.loop_->clock(), patience);
}

void Connection::Body::count(TimePoint since, Result<std::size_t> const& got) {
    waited_ += connection_.server_.loop_->clock().now() - since;
    if (got) received_ += *got;
}

Task<Result<void>> Connection::Body::more() {
    TimePoint const since = connection_.server_.loop_->clock().now();
    auto got = co_await connection_.fill(progress_deadline());
    count(since, got);
    if (!got) {
        bool const ours = got.error().code == Code::timed_out || got.error().code == Code::exhausted;
        if (!ours) connection_.peer_gone_ = true;
        connection_.keep_ = false;
        co_return Failure(got.error());
    }
    if (*got == 0) {
        connection_.keep_ = false;
        co_return fail(Code::decode, "body", "the client ended its side inside the body");
    }
    co_return Result<void>();
}

std::shared_ptr<char[]> const* Connection::Body::free_block() {
    for (std::size_t i = 0; i < large_.size(); ++i) {
        auto& block = large_[i];
        if (block && block.use_count() > 1) continue;
        if (!block) {
            if (!large_held_.grow_to((i + 1) * kLargeRead)) return nullptr;
            block = std::make_shared_for_overwrite<char[]>(kLargeRead);
        }
        return &block;
    }
    return nullptr;
}

Task<Result<std::string_view>> Connection::Body::next_of_length() {
    // Without the budget for a large block the connection's own small buffer does, only slower.
    auto const* const block = connection_.buffered().empty() && left_ > kLargeRead / 4 && !connection_.watch_
                                  ? free_block()
                                  : nullptr;
    if (block != nullptr) {
        // Straight from the socket into a large block: no copy, few calls.
        TimePoint const since = connection_.server_.loop_->clock().now();
        auto got = co_await connection_.stream_.read_some(
            {block->get(), static_cast<std::size_t>(std::min<std::uint64_t>(kLargeRead, left_))},
            progress_deadline());
        count(since, got);
        if (got && *got > 0) {
            left_ -= *got;
            done_ = left_ == 0;
            last_ = *block;
            co_return std::string_view(block->get(), *got);
        }
        connection_.keep_ = false;
        if (got) {
            connection_.peer_closed_ = true;
            co_return fail(Code::decode, "body", "the client ended its side inside the body");
        }
        if (got.error().code != Code::timed_out) connection_.peer_gone_ = true;
        co_return Failure(got.error());
    }
    if (connection_.buffered().empty())
        if (auto read = co_await more(); !read) co_return Failure(read.error());
    std::string_view const piece =
        connection_.buffered().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, SIZE_MAX)));
    to_consume_ = piece.size();
    left_ -= piece.size();
    done_ = left_ == 0;
    co_return piece;
}

Task<Result<std::string_view>> Connection::Body::next_chunk() {
    for (;;) {
        std::string_view block = connection_.buffered();
        std::size_t const had = block.size();
        auto const step = chunks_->decoder.next(block);
        std::size_t const used = had - block.size();
        if (step.event == ChunkedDecoder::Event::data) {
            to_consume_ = used;
            co_return step.data;
        }
        connection_.consume(used);
        if (step.event == ChunkedDecoder::Event::end) {
            done_ = true;
            co_return std::string_view();
        }
        if (step.event == ChunkedDecoder::Event::fault) {
            connection_.keep_ = false;
            co_return fail(Code::decode, "body", std::string(to_string(chunks_->decoder.fault())));
        }
        if (auto read = co_await more(); !read) co_return Failure(read.error());
    }
}

}  // namespace execd::http
