#include "execd/dialects/own/tickets.hpp"

#include "execd/dialects/own/executions.hpp"
#include "execd/http/wire/describe.hpp"

namespace execd::own {

namespace tickets {

struct TicketRequest {
    std::string path = "/";
    std::int64_t life_seconds = 30;
    std::optional<std::int64_t> uses;
};
BOOST_DESCRIBE_STRUCT(TicketRequest, (), (path, life_seconds, uses))
constexpr auto wire_notes(TicketRequest const*) {
    return wire::notes(
        {{.field = "path",
          .doc = "What it opens: this path and what is below",
          .min_len = 1,
          .defaulted = true},
         {.field = "life_seconds", .min = 1, .max = 3600, .defaulted = true},
         {.field = "uses", .doc = "How often; without it until its life ends", .min = 1, .max = 1'000'000}});
}

struct TicketAnswer {
    std::string ticket;
    std::int64_t expires_in = 0;
};
BOOST_DESCRIBE_STRUCT(TicketAnswer, (), (ticket, expires_in))
constexpr auto wire_notes(TicketAnswer const*) {
    return wire::notes({{.field = "ticket", .doc = "Shown once; goes into ?ticket="},
                        {.field = "expires_in", .doc = "Seconds"}});
}

}  // namespace tickets

namespace {

Task<Result<http::Answer>> issue(auth::TicketStore& store, bool allowed, http::Call& call) {
    if (!allowed) co_return fail(Code::permission_denied, "ticket", "a ticket makes no tickets");
    tickets::TicketRequest request;
    if (auto read = co_await read_body(call, request); !read) co_return Failure(read.error());
    if (!request.path.starts_with('/'))
        co_return fail(Code::invalid_argument, "path", "a path begins with a slash");
    auth::TicketTerms terms;
    terms.path_prefix = std::move(request.path);
    terms.life = std::chrono::seconds(request.life_seconds);
    if (request.uses) terms.uses = static_cast<std::uint32_t>(*request.uses);
    terms.subject = call.principal.name;
    auto ticket = store.issue(std::move(terms));
    if (!ticket) co_return Failure(ticket.error());
    tickets::TicketAnswer answer;
    answer.ticket = std::move(*ticket);
    answer.expires_in = request.life_seconds;
    http::Answer out = json_answer(201, answer);
    out.headers.set("Cache-Control", "no-store");
    co_return out;
}

}  // namespace

http::Row ticket_row(auth::TicketStore& store, MayMint may_mint) {
    http::Row row;
    row.method = "POST";
    row.path = "/execd/v1/tickets";
    row.operation_id = "createTicket";
    row.tag = "execd";
    row.doc = "A short-lived key for URLs that cannot carry a header (?ticket=).";
    row.body = http::BodyPolicy::json;
    row.request = &wire::ops_of<tickets::TicketRequest>();
    row.statuses.push_back({201, &wire::ops_of<tickets::TicketAnswer>(), "application/json", "Made"});
    row.invoke = [store = &store, may_mint = std::move(may_mint)](http::Call& call) {
        return issue(*store, may_mint(call), call);
    };
    return row;
}

}  // namespace execd::own
