#include "shell/sessions.hpp"

namespace execd::shell {

Task<Result<std::shared_ptr<Session>>> Sessions::open(Session::Options options) {
    if (auto const room = check_room("session"); !room) co_return tl::unexpected(room.error());
    auto opened = co_await Session::open(*loop_, *executions_, std::move(options));
    if (opened) add(*opened);
    co_return opened;
}

Task<Result<std::shared_ptr<Session>>> Sessions::open_or_attach(Session::Options options) {
    std::string const id = options.id;
    std::string const digest = options.digest;
    auto const differs = [&id] {
        return fail(Code::conflict, "session", id + " was opened with another request");
    };
    while (true) {
        if (auto const found = find(id)) {
            if (found->digest() != digest) co_return differs();
            co_return found;
        }
        auto const opening = opening_.find(id);
        if (opening == opening_.end()) break;
        if (opening->second != digest) co_return differs();
        co_await opened_.wait();
    }
    struct Turn {
        Sessions* sessions;
        std::string const& id;
        Turn(Sessions* s, std::string const& i, std::string const& d) : sessions(s), id(i) {
            sessions->opening_.emplace(i, d);
        }
        ~Turn() {
            sessions->opening_.erase(id);
            sessions->opened_.notify_all();
        }
    } const turn(this, id, digest);
    co_return co_await open(std::move(options));
}

Result<std::shared_ptr<Terminal>> Terminals::create_or_attach(Terminal::Options options) {
    if (auto found = find(options.id)) {
        if (found->digest() == options.digest) return found;
        return fail(Code::conflict, "terminal", options.id + " was made with another request");
    }
    return create(std::move(options));
}

Result<std::shared_ptr<Terminal>> Terminals::create(Terminal::Options options) {
    if (auto const room = check_room("terminal"); !room) return tl::unexpected(room.error());
    auto terminal = Terminal::create(*loop_, *executions_, std::move(options));
    add(terminal);
    return terminal;
}

}  // namespace execd::shell
