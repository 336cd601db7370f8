// Probes that run a real command: a program that says it is up is believed when it has answered one.
//
// Thread: the reactor.
#pragma once
#include <string>

#include "base/error.hpp"
#include "base/loop.hpp"

namespace execd::browser_proxy {

/// Opens a connection to an X server (X Window System Protocol, "Connection Setup") at
/// `directory`/X`display`, the abstract socket of that name first. Code::unavailable, Code::timed_out.
[[nodiscard]] Task<Result<void>> probe_x(Loop& loop, std::string directory, unsigned display,
                                         Deadline deadline);

/// Version and security types of an RFB server on 127.0.0.1 (RFC 6143 §7.1.1, §7.1.2); security None must be
/// among them. The same errors.
[[nodiscard]] Task<Result<void>> probe_rfb(Loop& loop, unsigned short port, Deadline deadline);

}  // namespace execd::browser_proxy
