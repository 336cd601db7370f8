// Talk: one short conversation with something on a socket of this machine, under one deadline.
//
// Thread: the reactor.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/loop.hpp"
#include "base/unique_fd.hpp"

namespace execd::browser_proxy {

class Talk {
  public:
    Talk(Loop& loop, Deadline deadline);
    Talk(Talk const&) = delete;
    Talk& operator=(Talk const&) = delete;

    // Code::unavailable with what the system said, Code::timed_out after the deadline.

    [[nodiscard]] Task<Result<void>> connect_tcp(unsigned short port);  // of 127.0.0.1
    /// The socket of X display `number` in `directory`, the abstract one of that name first.
    [[nodiscard]] Task<Result<void>> connect_x(std::string directory, unsigned number);
    [[nodiscard]] Task<Result<void>> say(std::string bytes);
    [[nodiscard]] Task<Result<void>> hear(char* into, std::size_t size);

  private:
    using Protocol = asio::generic::stream_protocol;
    [[nodiscard]] Task<Result<void>> connect(Protocol::endpoint endpoint);
    [[nodiscard]] Failure failed(boost::system::error_code ec) const;

    Socket socket_;
    Timer timer_;
    bool late_ = false;
};

}  // namespace execd::browser_proxy
