#include "kernels/client.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
// Signature and JSON of a larger message are worked on by the pool, so that the reactor stays under a
// millisecond.
constexpr std::size_t kInlineBytes = 64 << 10;
constexpr Duration kNudge = 50ms;
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

KernelClient::~KernelClient() = default;

Result<void> KernelClient::open(Channel channel) {
    ZmqSocket::Options options;
    if (channel == Channel::iopub) {
        options.type = ZMQ_SUB;
        options.subscribe_all = true;
        // What we do not read at once waits in the kernel's own queue: here it would have no bound in bytes.
        options.recv_hwm = 512;
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

Task<Result<void>> KernelClient::connect(Deadline deadline) {
    // These knock every 2 ms until the kernel listens; the others connect when it does, at the first knock.
    // stdin is the first: the kernel drops an input_request to an identity it has not met, and the shell's
    // answer proves that earlier handshakes are over.
    for (auto channel : {Channel::stdin_, Channel::iopub, Channel::shell})
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
    co_return Result<void>{};
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
    if (slot->reply) co_return *std::move(slot->reply);
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

Task<KernelClient::Parse> KernelClient::parse(Channel channel, ZmqMessage const& frames) {
    if (size_of(frames) <= kInlineBytes) co_return parse_now(channel, frames);
    auto work = [this, channel, &frames] { return parse_now(channel, frames); };
    co_return co_await loop_->pool().run(Lane::bulk, std::move(work));
}

Task<void> KernelClient::read(Channel channel) {
    for (;;) {
        auto frames = co_await socket(channel)->recv();
        if (!frames) co_return;
        ++counts_.received;
        if (channel == Channel::heartbeat) {
            ++beats_;
            changed_.notify_all();
            continue;
        }
        auto message = co_await parse(channel, *frames);
        if (message) {
            dispatch(channel, *std::move(message));
            continue;
        }
        // One line for the first of each kind: a kernel that sends only rubbish must not fill the log.
        if (counts_.rejected[static_cast<std::size_t>(message.error())]++ == 0)
            log::warn("kernel.bad_message", {{"why", to_string(message.error())}});
    }
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
    auto const calls = std::move(pending_);
    pending_.clear();
    for (auto const& [id, call] : calls) call(tl::unexpected(why));
    changed_.notify_all();
}

Task<void> KernelClient::close(Deadline deadline) {
    fail_pending(Error{Code::cancelled, "kernel.client", 0, "closed"});
    co_await scope_.close(deadline);
    for (auto& each : sockets_) each.reset();
}

}  // namespace execd::kernels
