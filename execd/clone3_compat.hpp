// EXECD_CLONE3_COMPAT of the original daemon (contracts/opensandbox.md §3.2): programs whose C library takes
// a refused clone3 for a failure find none (ENOSYS) and use clone. Called by main before there is any thread;
// holds nothing.
#pragma once
#include <string_view>

#include "base/error.hpp"

namespace execd {

/// Whether the variable's value asks for it: 1, true, yes, on and reexec do (a second exec is not needed
/// here), 0, false, off, no and nothing do not, in any case. Code::invalid_argument for everything else.
[[nodiscard]] Result<bool> wants_clone3_compat(std::string_view value);

/// From now on clone3 is unknown to this process and all that it starts, and so are new privileges (sudo,
/// setuid programs): the kernel wants that of who sets such a filter. Fails with the kernel's own reason.
[[nodiscard]] Result<void> hide_clone3();

}  // namespace execd
