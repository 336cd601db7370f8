// `execd doctor`: says what works in this container and how to mend what does not.
#pragma once
#include "execd/config.hpp"

namespace execd {

/// Prints a line per capability; 0 when everything needed for a start is there, 1 otherwise.
[[nodiscard]] int doctor(Config const& config);

}  // namespace execd
