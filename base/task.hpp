// The coroutine vocabulary. One io_context on one thread runs everything; its concrete executor type (instead
// of the erased one) is baked into the aliases because it is measurably cheaper.
//
// Rules: coroutines are named functions whose parameters are values or owners (never capturing lambdas);
// nothing is detached, everything is spawned in a Scope (base/scope.hpp); errors of operations come back as
// values (kAsTuple).
//
// Cancellation: a cancelled coroutine's pending operation ends (with operation_aborted, or `false` from an
// Event), and its next co_await throws boost::system::system_error(operation_aborted). Nobody catches that
// but the Scope: what has to be undone is held by RAII.
//
// GCC 12: no co_await in the bare condition of an if, while, do-while or switch. When an exception comes out
// of it (every cancellation is one) the process crashes, optimised or not. `if (auto got = co_await f();
// !got)` and `for (; co_await f();)` are compiled rightly; scripts/check-awaits finds the others.
#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace execd {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;

template <class T = void>
using Task = asio::awaitable<T, Executor>;

inline constexpr asio::use_awaitable_t<Executor> kUseTask{};
/// `auto [ec, n] = co_await socket.async_read_some(buffer, kAsTuple);`
inline constexpr auto kAsTuple = asio::as_tuple(kUseTask);

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
/// TCP and unix sockets alike: one concrete stream type in the whole daemon.
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

}  // namespace execd
