#include "execd/http/keep_alive.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

namespace execd::http {

void probe_when_idle(Stream& stream) {
    int const on = 1;
    ::setsockopt(stream.native(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    std::pair<int, int> const seconds[] = {{TCP_KEEPIDLE, 60}, {TCP_KEEPINTVL, 15}, {TCP_KEEPCNT, 4}};
    for (auto const& [option, value] : seconds)
        ::setsockopt(stream.native(), IPPROTO_TCP, option, &value, sizeof value);
}

}  // namespace execd::http
