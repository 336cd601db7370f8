// What the pieces of Readiness::missing mean to who only asks whether waiting helps.
#pragma once
#include <algorithm>
#include <string_view>

#include "execd/services.hpp"

namespace execd {

/// The entries of Readiness::missing that go away by themselves.
inline constexpr std::string_view kBeingMade = "kernel python is being made ready";
inline constexpr std::string_view kBrowserStarts = "the browser is being started";

/// False once nothing more will come up, whether or not everything did: an image without Python that asked
/// for a kernel beforehand still serves all else.
[[nodiscard]] inline bool still_starting(Readiness const& readiness) {
    auto const& missing = readiness.missing;
    auto const has = [&missing](std::string_view what) {
        return std::find(missing.begin(), missing.end(), what) != missing.end();
    };
    return !readiness.spawn_works || has(kBeingMade) || has(kBrowserStarts);
}

}  // namespace execd
