#include "execd/version.hpp"

// The only file that knows the commit: a new commit recompiles nothing else.
namespace execd {

std::string_view version() noexcept { return EXECD_VERSION; }
std::string_view commit() noexcept { return EXECD_COMMIT; }

}  // namespace execd
