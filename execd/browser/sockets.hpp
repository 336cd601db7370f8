// The browser's and the desktop's WebSockets, for every dialect that has a path for them; and how this
// image's supervisor is made from the configuration.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <string>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::browser {

/// The upgrade to Chromium's socket at `path`; empty: that of the browser as a whole. Chromium is started
/// when it does not run. Code::unavailable says what is missing or why it ends.
[[nodiscard]] Task<Result<http::Answer>> open_cdp(Services& services, http::Call& call, std::string path);

/// The upgrade to the desktop's VNC server: RFB in binary messages.
[[nodiscard]] Task<Result<http::Answer>> open_vnc(Services& services, http::Call& call);

/// A port of Chromium or the VNC server, which answer whoever reaches them: no proxy may lead there.
[[nodiscard]] bool is_desktop_port(Services const& services, unsigned short port);

/// Code::unavailable when the configuration switched it off.
[[nodiscard]] Result<browser_proxy::Supervisor*> supervisor_of(Services& services);

}  // namespace execd::browser
