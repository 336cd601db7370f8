// What the pieces of Readiness::missing mean to who only asks whether waiting helps.
#pragma once
#include <algorithm>
#include <string_view>

#include "execd/services.hpp"

namespace execd {

/// The one entry of Readiness::missing that goes away by itself.
inline constexpr std::string_view kBeingMade = "kernel python is being made ready";

/// False once nothing more will come up, whether or not everything did: an image without Python that asked
/// for a kernel beforehand still serves all else.
[[nodiscard]] inline bool still_starting(Readiness const& readiness) {
    auto const& missing = readiness.missing;
    return !readiness.spawn_works || std::find(missing.begin(), missing.end(), kBeingMade) != missing.end();
}

}  // namespace execd
