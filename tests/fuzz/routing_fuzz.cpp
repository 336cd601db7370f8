// Any method and path against a table with every kind of row: no crash, parameters are what the path says,
// and what was found can be found again from its own decoded parameters.
#include "base/check.hpp"
#include "execd/http/route.hpp"
#include "execd/http/target.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

class Plain final : public Dialect {
  public:
    [[nodiscard]] std::string_view name() const override { return "fuzz"; }
    [[nodiscard]] Answer error(Error const&, Call const*) override { return Answer::empty(500); }
    [[nodiscard]] Answer not_found(Head const&) override { return Answer::empty(404); }
    [[nodiscard]] Answer method_not_allowed(Head const&, std::vector<std::string> const&) override {
        return Answer::empty(405);
    }
    [[nodiscard]] Answer unauthorized(Head const&, Error const&) override { return Answer::empty(401); }
};

Row row(std::string method, std::string path) {
    Row out;
    out.method = std::move(method);
    out.path = std::move(path);
    out.sync = [](Call&) -> Result<Answer> { return Answer::empty(); };
    return out;
}

Router& table() {
    static Plain dialect;
    static auto router =
        Router::build({row("GET", "/ping"), row("GET", "/a/{x}"), row("GET", "/a/{x}/b"),
                       row("POST", "/a/{x}/{y}"), row("*", "/a/{x}/tail/{rest...}"), row("GET", "/a/b"),
                       row("*", "/proxy/{port}/{rest...}"), row("DELETE", "/files"),
                       row("GET", "/files/{path...}"), row("GET", "/v1/{id}/info"), row("GET", "/")},
                      {{"", &dialect}});
    EXECD_REQUIRE(router.has_value());
    return **router;
}

std::string path_of(Row const& row, Pairs const& params) {
    std::string out;
    std::size_t next = 0;
    for (std::string_view rest = row.path; !rest.empty();) {
        auto const open = rest.find('{');
        out += rest.substr(0, open);
        if (open == std::string_view::npos) break;
        auto const close = rest.find('}');
        bool const tail = rest.substr(open, close - open).ends_with("...");
        append_percent_encoded(out, params[next++].second, tail ? Encode::path : Encode::segment);
        rest.remove_prefix(close + 1);
    }
    return out;
}

void run(std::string_view input) {
    static constexpr std::string_view kMethods[] = {"GET", "POST", "HEAD", "DELETE", "OPTIONS", "X"};
    std::string_view const method = kMethods[fuzz::take_byte(input) % std::size(kMethods)];
    std::string const path = "/" + std::string(input);
    Head head;
    ListenerInfo listener;
    Pairs params;
    auto const found = table().match(method, path, head, listener, params);
    (void)table().owner(path);
    EXECD_REQUIRE(found.row == nullptr || found.allowed.empty());
    if (found.row == nullptr || found.bad_encoding) return;
    EXECD_REQUIRE(found.row->method == method || found.row->method == "*" || found.head_as_get);
    for (auto const& [name, value] : params) {
        // A value that is empty or holds a slash cannot be told from path structure any more.
        if (name != "rest" && name != "path" && value.find('/') != std::string::npos) return;
        if (value.empty() || value.find("//") != std::string::npos || value.front() == '/') return;
    }
    Pairs again;
    auto const twice = table().match(method, path_of(*found.row, params), head, listener, again);
    EXECD_REQUIRE(twice.row == found.row);
    EXECD_REQUIRE(again == params);
}

fuzz::Target const kTarget("routing", run);

}  // namespace
}  // namespace execd::http
