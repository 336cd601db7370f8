#include "base/own_program.hpp"

#include <fcntl.h>
#include <sys/auxv.h>

#include <cerrno>

namespace execd {

Result<UniqueFd> open_own_program() {
    UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    if (file) return file;
    auto const* given = reinterpret_cast<char const*>(::getauxval(AT_EXECFN));
    if (given == nullptr) return fail(Code::unavailable, "own program", "/proc is not mounted");
    file.reset(::open(given, O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno("own program", errno, given);
    return file;
}

}  // namespace execd
