// Asio's non-template code, compiled once (BOOST_ASIO_SEPARATE_COMPILATION).
//
// Its one epoll_wait goes through the loop-lag probe: the time between two waits is exactly the time for
// which handlers held the loop.
#include <sys/epoll.h>

#include "base/lag_probe.hpp"

#define epoll_wait ::execd::probed_epoll_wait
#include <boost/asio/impl/src.hpp>
