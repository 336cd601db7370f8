#include "browser_proxy/cdp_pipe.hpp"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <nlohmann/json.hpp>

#include <array>

namespace execd::browser_proxy {

using Json = nlohmann::json;

struct CdpPipe::Reply {
    Json message;
};

namespace {

constexpr std::size_t kLongest = 4U << 20;  // bytes of one message: a data: URL of a target may be larger
constexpr int kDepth = 128;

Json parse(std::string_view text) {
    auto const shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kDepth; };
    return Json::parse(text, shallow, false);
}

std::string text_of(Json const& object, char const* key) {
    auto const at = object.is_object() ? object.find(key) : object.end();
    if (!object.is_object() || at == object.end() || !at->is_string()) return {};
    return at->get<std::string>();
}

Json const& member(Json const& object, char const* key) {
    static Json const none;
    if (!object.is_object()) return none;
    auto const at = object.find(key);
    return at == object.end() ? none : *at;
}

Target target_of(Json const& info) {
    return {text_of(info, "targetId"), text_of(info, "type"), text_of(info, "title"), text_of(info, "url")};
}

std::string params_of(char const* key, std::string const& value) {
    return Json{{key, value}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

CdpPipe::CdpPipe(Loop& loop, UniqueFd fd, std::function<void(TargetEvent)> on_target)
    : loop_(loop), socket_(loop.executor()), on_target_(std::move(on_target)) {
    boost::system::error_code ec;
    socket_.assign(asio::generic::stream_protocol(AF_UNIX, 0), fd.get(), ec);
    if (ec)
        open_ = false;
    else
        (void)fd.release();
}

CdpPipe::~CdpPipe() { close(); }

void CdpPipe::close() {
    open_ = false;
    boost::system::error_code ec;
    socket_.close(ec);
    replied_.notify_all();
}

Task<void> CdpPipe::run(std::shared_ptr<CdpPipe> self) {
    std::array<char, 16U << 10> block;
    while (self->open_) {
        auto [ec, n] = co_await self->socket_.async_read_some(asio::buffer(block), kAsTuple);
        if (ec || n == 0) break;
        self->take({block.data(), n});
    }
    self->close();
}

void CdpPipe::take(std::string_view bytes) {
    for (;;) {
        auto const end = bytes.find('\0');
        std::string_view const part = bytes.substr(0, end);
        too_long_ = too_long_ || partial_.size() + part.size() > kLongest;
        if (too_long_)
            partial_ = std::string();
        else
            partial_ += part;
        if (end == std::string_view::npos) return;
        bytes.remove_prefix(end + 1);
        std::string const text = std::exchange(partial_, std::string());
        if (!std::exchange(too_long_, false)) on_message(text);
    }
}

void CdpPipe::on_message(std::string_view text) {
    Json message = parse(text);
    if (!message.is_object()) return;
    if (Json const& id = member(message, "id"); id.is_number_integer()) {
        auto const at = waiting_.find(id.get<std::int64_t>());
        if (at == waiting_.end()) return;
        at->second = std::make_unique<Reply>();
        at->second->message = std::move(message);
        replied_.notify_all();
        return;
    }
    using Kind = TargetEvent::Kind;
    std::string const method = text_of(message, "method");
    Json const& params = member(message, "params");
    TargetEvent event;
    if (method == "Target.targetCreated" || method == "Target.targetInfoChanged") {
        event.kind = method == "Target.targetCreated" ? Kind::created : Kind::changed;
        event.target = target_of(member(params, "targetInfo"));
    } else if (method == "Target.targetDestroyed" || method == "Target.targetCrashed") {
        event.kind = method == "Target.targetDestroyed" ? Kind::destroyed : Kind::crashed;
        event.target.id = text_of(params, "targetId");
    }
    if (!event.target.id.empty() && on_target_) on_target_(std::move(event));
}

Task<Result<std::unique_ptr<CdpPipe::Reply>>> CdpPipe::call(std::string method, std::string params,
                                                            Deadline deadline) {
    std::int64_t const id = next_++;
    std::string text =
        R"({"id":)" + std::to_string(id) + R"(,"method":")" + method + R"(","params":)" + params + "}";
    text += '\0';
    if (!open_) co_return fail(Code::unavailable, method, "the browser has ended");
    // Our messages are small and few: what does not fit at once was not read for a long time.
    ssize_t const sent =
        ::send(socket_.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(text.size())) {
        if (sent > 0) close();  // half a message: nothing after it would be understood
        co_return fail(Code::unavailable, method, "the browser takes no commands");
    }
    struct Waiting {
        CdpPipe& self;
        std::int64_t id;
        ~Waiting() { self.waiting_.erase(id); }
    } const waiting{*this, id};
    waiting_[id] = nullptr;
    while (open_ && !waiting_[id]) {
        bool const woken = co_await replied_.wait(loop_.clock(), deadline);
        if (!woken && !waiting_[id])
            co_return fail(Code::timed_out, method, "the browser did not answer in time");
    }
    std::unique_ptr<Reply> reply = std::move(waiting_[id]);
    if (!reply) co_return fail(Code::unavailable, method, "the browser has ended");
    if (Json const& error = member(reply->message, "error"); error.is_object())
        co_return fail(Code::not_found, method, text_of(error, "message"));
    co_return reply;
}

Task<Result<BrowserVersion>> CdpPipe::version(Deadline deadline) {
    auto reply = co_await call("Browser.getVersion", "{}", deadline);
    if (!reply) co_return Failure(reply.error());
    Json const& result = member((*reply)->message, "result");
    BrowserVersion out;
    out.protocol = text_of(result, "protocolVersion");
    out.product = text_of(result, "product");
    out.revision = text_of(result, "revision");
    out.user_agent = text_of(result, "userAgent");
    out.javascript = text_of(result, "jsVersion");
    co_return out;
}

Task<Result<void>> CdpPipe::discover(Deadline deadline) {
    auto reply = co_await call("Target.setDiscoverTargets", R"({"discover":true})", deadline);
    if (!reply) co_return Failure(reply.error());
    co_return Result<void>();
}

Task<Result<std::string>> CdpPipe::create_page(std::string url, Deadline deadline) {
    std::string params = params_of("url", url);
    auto reply = co_await call("Target.createTarget", std::move(params), deadline);
    if (!reply) co_return Failure(reply.error());
    co_return text_of(member((*reply)->message, "result"), "targetId");
}

Task<Result<void>> CdpPipe::about_target(std::string method, std::string id, Deadline deadline) {
    std::string params = params_of("targetId", id);
    auto reply = co_await call(std::move(method), std::move(params), deadline);
    if (!reply) co_return Failure(reply.error());
    co_return Result<void>();
}

Task<Result<void>> CdpPipe::activate(std::string id, Deadline deadline) {
    return about_target("Target.activateTarget", std::move(id), deadline);
}

Task<Result<void>> CdpPipe::close_target(std::string id, Deadline deadline) {
    return about_target("Target.closeTarget", std::move(id), deadline);
}

}  // namespace execd::browser_proxy
