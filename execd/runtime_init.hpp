// What POST /internal/init brought (contracts/opensandbox.md §9): a warm container learns whose it is. Its
// variables go to everything that any dialect starts from then on, below EXECD_ENVS and the request's own.
//
// Thread: the reactor. One for the process, which is one container's.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "execd/http/route.hpp"

namespace execd {

struct RuntimeInit {
    bool done = false;
    std::string sandbox_id;
    std::int64_t generation = 0;
    std::map<std::string, std::string> env;
};
[[nodiscard]] RuntimeInit& runtime_init();

/// Until it was initialized nothing but what is open to everybody (liveness, the initialization itself) is
/// served; all else answers `refusal`.
void wait_for_init(std::vector<http::Row>& rows, Result<http::Answer> (*refusal)());
/// In the words of each row's dialect.
[[nodiscard]] Result<http::Answer> not_initialized();

}  // namespace execd
