#include "execd/dialects/opensandbox/routes.hpp"

namespace execd::opensandbox {

std::vector<http::Row> rows(Services&) {
    std::vector<http::Row> out;
    http::Row ping;
    ping.method = "GET";
    ping.path = "/ping";
    ping.operation_id = "ping";
    ping.tag = "Health";
    ping.doc = "Liveness.";
    ping.access = http::Access::open;
    ping.sync = [](http::Call&) -> Result<http::Answer> { return http::Answer::empty(); };
    out.push_back(ping);
    return out;
}

}  // namespace execd::opensandbox
