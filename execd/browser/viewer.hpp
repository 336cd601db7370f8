// The page on which people look at the desktop: a small page of ours around noVNC, whose modules are looked
// for beside the daemon at run time: <data directory>/novnc/core/rfb.js, data directories as XDG_DATA_DIRS
// has them (/usr/local/share:/usr/share). Without noVNC the page is refused with what is missing.
//
// Thread: the reactor.
#pragma once
#include <string>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::browser {

/// `file` below the page's directory: "" and "vnc.html" are the page, "viewer.js" its script, "novnc/..."
/// noVNC's modules. Code::not_found; Code::unavailable without noVNC.
[[nodiscard]] Task<Result<http::Answer>> viewer_file(Services& services, http::Call& call, std::string file);

}  // namespace execd::browser
