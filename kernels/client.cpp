#include "kernels/client.hpp"

#include <boost/asio/post.hpp>

#include "base/ids.hpp"
#include "base/log.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
// Signature and JSON of a larger message are worked on by the pool, so that the reactor stays under a
// millisecond.
constexpr std::size_t kInlineBytes = 64 << 10;
constexpr int kBurst = 16;  // then other work has a turn
constexpr Duration kNudge = 50ms;
constexpr Duration kKnock = 10s;
// A kernel that ends closes its connections a moment before we hear of its end.
constexpr Duration kMourn = 250ms;
constexpr Duration kQuiet = 1s;
constexpr Duration kDrain = 10s;
}  // namespace

std::uint64_t ClientCounts::dropped() const {
    std::uint64_t sum = 0;
    for (auto count : rejected) sum += count;
    return sum;
}

KernelClient::KernelClient(Loop& loop, std::shared_ptr<ZmqContext> zmq, Connection connection,
                           MessageLimits limits)
    : loop_(&loop),
      zmq_(std::move(zmq)),
      connection_(std::move(connection)),
      limits_(limits),
      signer_(connection_.key),
      session_(uuid_hex()),
      scope_(loop, "kernel.client") {}

// Without a listener the next event would block libzmq's thread, and with it every socket.
KernelClient::~KernelClient() {
    for (std::size_t i = 0; i < kChannels; ++i)
        if (links_[i].monitor && sockets_[i]) sockets_[i]->stop_monitor();
}

Result<void> KernelClient::open(Channel channel) {
    ZmqSocket::Options options;
    options.max_frame = limits_.frame_bytes;
    if (channel == Channel::iopub) {
        options.type = ZMQ_SUB;
        options.subscribe_all = true;
        options.recv_hwm = 0;  // put() has the bound
    } else if (channel != Channel::heartbeat) {
        // One identity for shell, control and stdin: the kernel sends input_request to the identity of the
        // request.
        options.routing_id = "execd-" + session_;
        options.immediate = channel == Channel::stdin_;
    }
    auto opened = ZmqSocket::open(*loop_, zmq_, options);
    if (!opened) return tl::unexpected(opened.error());
    if (auto connected = (*opened)->connect(connection_.endpoint(channel)); !connected) return connected;
    sockets_[static_cast<std::size_t>(channel)] = *std::move(opened);
    static constexpr std::array<char const*, kChannels> kNames{"read.shell", "read.iopub", "read.stdin",
                                                               "read.control", "read.heartbeat"};
    scope_.spawn(kNames[static_cast<std::size_t>(channel)], read(channel));
    return {};
}

// Ends when stdin is connected, and when nobody hears it in that time: not every kernel may serve it.
Task<void> KernelClient::await_stdin() {
    struct Done {
        KernelClient* client;
        ~Done() {
            client->knocking_ = false;
            client->changed_.notify_all();
        }
    } const done{this};
    co_await stdin_ready(Deadline::in(loop_->clock(), kKnock));
}

Task<Result<void>> KernelClient::knock(Deadline deadline) {
    if (socket(Channel::stdin_) == nullptr)
        if (auto opened = open(Channel::stdin_); !opened) co_return opened;
    // Said before: where the kernel listens already, all is done when spawn() comes back.
    knocking_ = true;
    if (!scope_.spawn("kernel.knock", await_stdin())) knocking_ = false;
    while (knocking_ && !failed_) {
        bool const told = co_await changed_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    co_return Result<void>{};
}

Task<Result<void>> KernelClient::connect(Deadline deadline, bool patient) {
    // A socket knocks every 2 ms until the kernel listens, which costs: through a start of half a second one
    // does it for all. stdin is the first: the kernel drops an input_request to an identity it has not met,
    // and the shell's answer proves that earlier handshakes are over.
    if (patient) {
        if (auto heard = co_await knock(deadline); !heard) co_return heard;
    } else if (auto opened = open(Channel::stdin_); !opened) {
        co_return opened;
    }
    // These and the others connect at their first knock.
    for (auto channel : {Channel::iopub, Channel::shell})
        if (auto opened = open(channel); !opened) co_return opened;
    auto const on_info = [this](Result<Message> reply) {
        if (!reply) return;
        have_info_ = true;
        info_ = std::move(reply->content);
        changed_.notify_all();
    };
    if (auto sent = post(Channel::shell, "kernel_info_request", Json::object(), on_info); !sent)
        co_return tl::unexpected(sent.error());
    while (!have_info_ && !failed_) {
        bool const told = co_await changed_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    while (have_info_ && !iopub_live_ && !failed_ && !deadline.passed(loop_->clock())) {
        // The kernel answers on iopub too (status busy): repeated until one such message has arrived.
        auto const until = earliest(deadline, Deadline::in(loop_->clock(), kNudge));
        bool const told = co_await changed_.wait(loop_->clock(), until);
        if (!told && !iopub_live_) (void)post(Channel::shell, "kernel_info_request", Json::object(), on_info);
    }
    if (failed_) co_return tl::unexpected(*failed_);
    if (!have_info_) co_return fail(Code::timed_out, "kernel.connect", "no answer to kernel_info_request");
    if (!iopub_live_) co_return fail(Code::timed_out, "kernel.connect", "no message on iopub");
    for (auto channel : {Channel::control, Channel::heartbeat})
        if (auto opened = open(channel); !opened) co_return opened;
    for (auto channel : {Channel::iopub, Channel::shell}) watch(channel);
    co_return Result<void>{};
}

void KernelClient::watch(Channel channel) {
    auto monitor = socket(channel)->monitor(ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED);
    if (!monitor) {
        log::warn("kernel.watch", {{"why", monitor.error().message()}});
        return;
    }
    link(channel).monitor = *std::move(monitor);
    scope_.spawn("kernel.listen", listen(channel));
}

// libzmq hands on what a connection had brought before it tells of the next attempt to connect.
Task<void> KernelClient::listen(Channel channel) {
    auto& mine = link(channel);
    while (!(mine.dropped && mine.ended)) {
        auto event = co_await mine.monitor->recv();
        if (!event) co_return;
        if (mine.dropped) {
            mine.ended = mine.ended || ZmqSocket::event_of(*event) == ZMQ_EVENT_CONNECT_RETRIED;
        } else if (ZmqSocket::event_of(*event) == ZMQ_EVENT_DISCONNECTED) {
            mine.dropped = true;
            scope_.spawn("kernel.mend", mend(channel));
        }
        changed_.notify_all();
    }
    // It would tell of every further attempt.
    socket(channel)->stop_monitor();
    mine.monitor.reset();
    changed_.notify_all();
}

Task<bool> KernelClient::drained() { return drained(Channel::iopub); }

Task<bool> KernelClient::drained(Channel channel) {
    auto& mine = link(channel);
    auto& clock = loop_->clock();
    auto const limit = Deadline::in(clock, kDrain);
    while (!closing_ && socket(channel) != nullptr) {
        if (mine.ended && !mine.busy && !socket(channel)->has_message()) co_return true;
        auto const seen = counts_.received;
        bool const told = co_await changed_.wait(clock, earliest(limit, Deadline::in(clock, kQuiet)));
        bool const quiet = !told && !mine.busy && counts_.received == seen;
        if (quiet || limit.passed(clock)) co_return false;
    }
    co_return false;
}

Task<void> KernelClient::mend(Channel channel) {
    auto& mine = link(channel);
    auto const until = Deadline::in(loop_->clock(), kMourn);
    while (!failed_ || !mine.ended) {
        bool const told = co_await changed_.wait(loop_->clock(), until);
        if (!told) break;
    }
    bool const alone = !mine.ended;  // libzmq does not try again
    mine.ended = true;
    bool const whole = co_await drained(channel);
    if (leaving_ && !failed_) co_return;  // a kernel that ends closes its connections as it goes
    if (failed_) {
        // Or libzmq would knock for ever where nobody is.
        for (std::size_t i = 0; i < kChannels && channel == Channel::iopub; ++i)
            if (sockets_[i]) sockets_[i]->disconnect(connection_.endpoint(static_cast<Channel>(i)));
        co_return;
    }
    ++counts_.reconnects;
    log::warn(
        "kernel.reconnect",
        {{"channel", channel == Channel::iopub ? "iopub" : "shell"}, {"gave_up", alone}, {"drained", whole}});
    if (channel == Channel::iopub) iopub_live_ = false;
    if (auto again = socket(channel)->reconnect(connection_.endpoint(channel)); !again)
        log::warn("kernel.reconnect", {{"why", again.error().message()}});
    mine.dropped = mine.ended = false;
    if (!mine.monitor) watch(channel);
    if (channel == Channel::shell) {
        fail_replies(
            Error{Code::disconnected, "kernel.reply", 0, "the connection ended before the reply came"});
        co_return;
    }
    if (hooks_.lost) hooks_.lost();
    while (!iopub_live_ && !failed_) {
        auto reply =
            co_await request(Channel::shell, "kernel_info_request", Json::object(), Deadline::never());
        if (!reply) co_return;
        if (!iopub_live_) co_await changed_.wait(loop_->clock(), Deadline::in(loop_->clock(), kNudge));
    }
}

Task<bool> KernelClient::live(Deadline deadline) {
    while (!iopub_live_ && !failed_) {
        bool const told = co_await changed_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    co_return iopub_live_;
}

Message KernelClient::make(std::string_view type, Json content) const {
    auto const wall = loop_->clock().wall().time_since_epoch();
    auto const date = iso_time(std::chrono::duration_cast<std::chrono::microseconds>(wall).count());
    return make_message(type, session_, date, std::move(content));
}

Result<std::string> KernelClient::post(Channel channel, std::string_view type, Json content,
                                       OnReply on_reply) {
    if (failed_) return tl::unexpected(*failed_);
    auto* const to = socket(channel);
    if (to == nullptr) return fail(Code::conflict, "kernel.request", "not connected");
    Message const message = make(type, std::move(content));
    if (auto sent = to->send(build_message(message, signer_)); !sent) return tl::unexpected(sent.error());
    pending_.emplace(message.id, std::move(on_reply));
    return message.id;
}

Result<void> KernelClient::tell(Channel channel, std::string_view type, Json content, Json parent) {
    Message message;
    message.type = std::string(type);
    message.content = std::move(content);
    message.parent = std::move(parent);
    return tell(channel, std::move(message));
}

Result<void> KernelClient::tell(Channel channel, Message message) {
    if (failed_) return tl::unexpected(*failed_);
    auto* const to = socket(channel);
    if (to == nullptr) return fail(Code::conflict, "kernel.tell", "not connected");
    Message made = make(message.type, std::move(message.content));
    made.parent = std::move(message.parent);
    made.metadata = std::move(message.metadata);
    made.buffers = std::move(message.buffers);
    return to->send(build_message(made, signer_));
}

Task<Result<Message>> KernelClient::request(Channel channel, std::string_view type, Json content,
                                            Deadline deadline) {
    struct Slot {
        std::optional<Result<Message>> reply;
        Event event;
    };
    auto const slot = std::make_shared<Slot>();
    auto id = post(channel, type, std::move(content), [slot](Result<Message> reply) {
        slot->reply = std::move(reply);
        slot->event.notify_all();
    });
    if (!id) co_return tl::unexpected(id.error());
    while (!slot->reply) {
        bool const told = co_await slot->event.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    if (slot->reply) {
        auto& reply = *slot->reply;
        if (reply && reply->oversized != 0)
            co_return fail(Code::too_large, std::string(type),
                           "the kernel answered with " + std::to_string(reply->oversized) + " bytes");
        if (reply && reply->unreadable != 0)
            co_return fail(Code::decode, std::string(type), "the kernel's answer could not be read");
        co_return std::move(reply);
    }
    pending_.erase(*id);
    co_return fail(Code::timed_out, std::string(type), "the kernel did not answer in time");
}

Task<Result<void>> KernelClient::silent(std::string code, Deadline deadline) {
    // A variable of its own: g++ 12 cannot have an initializer list inside a co_await expression.
    Json content = {{"code", std::move(code)}, {"silent", true},
                    {"store_history", false},  {"user_expressions", Json::object()},
                    {"allow_stdin", false},    {"stop_on_error", false}};
    auto reply = co_await request(Channel::shell, "execute_request", std::move(content), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    if (text_of(reply->content, "status") == "ok") co_return Result<void>{};
    co_return fail(Code::invalid_argument, "kernel.silent", text_of(reply->content, "evalue", "refused"));
}

Task<bool> KernelClient::stdin_ready(Deadline deadline) {
    auto* const to = socket(Channel::stdin_);
    if (to == nullptr || failed_) co_return false;
    co_return co_await to->sendable(deadline);
}

Task<bool> KernelClient::beat(Deadline deadline) {
    auto* const to = socket(Channel::heartbeat);
    if (to == nullptr || !to->send({"", "execd"})) co_return false;
    auto const wanted = beats_ + 1;
    while (beats_ < wanted && !failed_) {
        bool const told = co_await changed_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    co_return beats_ >= wanted;
}

KernelClient::Parse KernelClient::parse_now(Channel channel, ZmqMessage const& frames) const {
    auto message = parse_message(views(frames), signer_, limits_);
    if (!message) return tl::unexpected(message.error());
    Parsed out{*std::move(message), {}, false};
    if (channel == Channel::iopub) out.outputs = decode_output(out.message, out.bad);
    return out;
}

namespace {
// Unverified: only to choose what may be dropped without being read.
bool is_output(ZmqMessage const& frames) {
    std::size_t at = 0;
    while (at < frames.size() && frames[at].view() != "<IDS|MSG>") ++at;
    if (at + 2 >= frames.size()) return false;
    auto const header = frames[at + 2].view().substr(0, 4096);
    return header.find("\"stream\"") != std::string_view::npos ||
           header.find("display_data\"") != std::string_view::npos;
}
}  // namespace

// A kernel's PUB socket drops without a word what we do not take off its hands: so everything is taken at
// once, and what is too much is dropped here, where it can be told.
void KernelClient::put(Channel channel, ZmqMessage frames) {
    auto& mine = link(channel);
    auto const bytes = size_of(frames);
    if (!mine.backlog.empty() && mine.backlog_bytes + bytes > limits_.backlog_bytes && is_output(frames)) {
        if (mine.backlog.back().dropped == 0) mine.backlog.emplace_back();
        ++mine.backlog.back().dropped;
        mine.backlog.back().bytes += bytes;
        return;
    }
    mine.backlog_bytes += bytes;
    mine.backlog.push_back({std::move(frames), bytes, 0});
    if (mine.busy) return;
    mine.busy = true;
    if (!scope_.spawn("kernel.digest", digest(channel))) mine.busy = false;
}

Task<void> KernelClient::digest(Channel channel) {
    auto& mine = link(channel);
    while (!mine.backlog.empty()) {
        auto& first = mine.backlog.front();
        if (first.dropped != 0) {
            if (hooks_.dropped) hooks_.dropped(first.dropped, first.bytes);
        } else if (first.bytes <= kInlineBytes) {
            take(channel, parse_now(channel, first.frames));
            if (++mine.inlined % kBurst == 0) co_await asio::post(loop_->executor(), kUseTask);
        } else {
            if (channel == Channel::iopub && hooks_.dropped) hooks_.dropped(0, 0);
            // The place in the deque stays: only this coroutine takes from its front.
            auto work = [this, channel, &first] { return parse_now(channel, first.frames); };
            auto parsed = co_await loop_->pool().run(Lane::bulk, std::move(work));
            take(channel, std::move(parsed));
        }
        if (mine.backlog.front().dropped == 0) mine.backlog_bytes -= mine.backlog.front().bytes;
        mine.backlog.pop_front();
    }
    mine.busy = false;
    changed_.notify_all();
}

Task<void> KernelClient::read(Channel channel) {
    auto& mine = link(channel);
    for (;;) {
        if (mine.dropped) changed_.notify_all();
        auto frames = co_await socket(channel)->recv();
        if (!frames) {
            if (!closing_) log::error("kernel.read", {{"why", frames.error().message()}});
            co_return;
        }
        ++counts_.received;
        if (channel == Channel::heartbeat) {
            ++beats_;
            changed_.notify_all();
        } else if (!mine.busy && size_of(*frames) <= kInlineBytes) {
            take(channel, parse_now(channel, *frames));
        } else {
            put(channel, *std::move(frames));
        }
    }
}

void KernelClient::take(Channel channel, Parse parsed) {
    if (!parsed) return reject(parsed.error());
    if (parsed->message.unreadable != 0) reject(Rejection::json);
    dispatch(channel, *std::move(parsed));
}

void KernelClient::reject(Rejection why) {
    // One line for the first of each kind: a kernel that sends only rubbish must not fill the log.
    if (counts_.rejected[static_cast<std::size_t>(why)]++ == 0)
        log::warn("kernel.bad_message", {{"why", to_string(why)}});
}

void KernelClient::dispatch(Channel channel, Parsed parsed) {
    Message& message = parsed.message;
    switch (channel) {
        case Channel::iopub:
            if (!iopub_live_) {
                iopub_live_ = true;
                changed_.notify_all();
            }
            if (parsed.bad && counts_.malformed++ == 0)
                log::warn("kernel.bad_message", {{"why", "malformed"}, {"type", message.type}});
            if (message.type != "iopub_welcome" && hooks_.iopub)
                hooks_.iopub(std::move(message), std::move(parsed.outputs));
            return;
        case Channel::stdin_:
            if (message.type == "input_request" && hooks_.input_request)
                hooks_.input_request(std::move(message));
            return;
        default: on_reply(std::move(message));
    }
}

void KernelClient::on_reply(Message message) {
    auto const waiting = pending_.find(message.parent_id);
    if (waiting == pending_.end()) {
        ++counts_.unmatched;
        return;
    }
    auto const call = std::move(waiting->second);
    pending_.erase(waiting);
    call(std::move(message));
}

void KernelClient::fail_pending(Error const& why) {
    if (!failed_) failed_ = why;
    fail_replies(why);
}

void KernelClient::fail_replies(Error const& why) {
    auto const calls = std::move(pending_);
    pending_.clear();
    for (auto const& [id, call] : calls) call(tl::unexpected(why));
    changed_.notify_all();
}

Task<void> KernelClient::close(Deadline deadline) {
    closing_ = true;
    fail_pending(Error{Code::cancelled, "kernel.client", 0, "closed"});
    co_await scope_.close(deadline);
    for (std::size_t i = 0; i < kChannels; ++i) {
        if (links_[i].monitor && sockets_[i]) sockets_[i]->stop_monitor();
        links_[i].monitor.reset();
        sockets_[i].reset();
    }
}

}  // namespace execd::kernels
