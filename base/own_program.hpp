// The file that this process was started from, opened for reading or execveat: helpers are started from it
// whatever has its name by then.
#pragma once
#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace execd {

/// By /proc/self/exe; where /proc is not mounted by the path that execve was given, as long as that still
/// names a file. The failure is that of the second.
[[nodiscard]] Result<UniqueFd> open_own_program();

/// Starting looks into most of the program's pages, resting into few: what is mapped of them is given back,
/// and comes again from the page cache as it is needed. Call when the start is over.
void forget_start_pages();

}  // namespace execd
