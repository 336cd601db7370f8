#include "shell/sessions.hpp"

namespace execd::shell {

Task<Result<std::shared_ptr<Session>>> Sessions::open(Session::Options options) {
    if (auto const room = check_room("session"); !room) co_return tl::unexpected(room.error());
    auto opened = co_await Session::open(*loop_, *executions_, std::move(options));
    if (opened) add(*opened);
    co_return opened;
}

Result<std::shared_ptr<Terminal>> Terminals::create(Terminal::Options options) {
    if (auto const room = check_room("terminal"); !room) return tl::unexpected(room.error());
    auto terminal = Terminal::create(*loop_, *executions_, std::move(options));
    add(terminal);
    return terminal;
}

}  // namespace execd::shell
