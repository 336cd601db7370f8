#include "execd/dialects/opensandbox/claims.hpp"

#include "execd/claims/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/held_answer.hpp"
#include "execd/http/gate.hpp"
#include "execd/http/target.hpp"
#include "execd/self_proxy.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

/// By its path or a header.
std::string named_claim(Call const& call) {
    if (auto id = mounted_claim(call)) return std::move(*id);
    return std::string(call.header(kClaimHeader).value_or(""));
}

/// Minted for one claim, whose id is the subject (lifecycle_more.cpp).
bool is_of_endpoint(Call const& call) { return !call.principal.dialect.empty(); }

}  // namespace

std::string claim_id(Call const& call) {
    return is_of_endpoint(call) ? call.principal.name : named_claim(call);
}

bool may_use(Call const& call, std::string_view claim) {
    return !is_of_endpoint(call) || call.principal.name == claim;
}

bool sees(Call const& call, std::string_view owner) {
    std::string const id = claim_id(call);
    return id.empty() || id == owner;
}

shell::Environment environment_of(Services& services, Call const& call) {
    return environment_of(services, claim_id(call));
}

shell::Environment environment_of(Services& services, std::string_view owner) {
    shell::Environment out = services.environment->make();
    if (auto const claim = services.claims->find(owner)) out.overlay(claim->env());
    return out;
}

Answer no_sandbox(std::string_view id) {
    return refusal(404, "DOCKER::SANDBOX_NOT_FOUND", "Sandbox " + std::string(id) + " not found.");
}

Result<Answer> uninitialized() {
    Answer answer = json(R"({"error":"execd is not initialized yet: POST /internal/init comes first"})", 503);
    answer.headers.set("Retry-After", "0");
    return answer;
}

Answer wrong_state(std::string_view message) { return refusal(409, "DOCKER::SANDBOX_NOT_RUNNING", message); }

namespace {

Answer refused(Error const& error, std::string_view id) {
    if (error.code == Code::conflict) return wrong_state(error.message());
    return no_sandbox(id);
}

Task<Result<Answer>> refuse(Answer answer) { co_return std::move(answer); }

struct Guarded {
    Services* services;
    http::SyncHandler sync;
    http::Handler invoke;

    /// For both kinds of handlers; empty when the request may go on.
    [[nodiscard]] std::optional<Answer> gate(Call const& call, claims::Activity& held) const {
        std::string const id = claim_id(call);
        if (id.empty()) return std::nullopt;
        std::string const named = named_claim(call);
        if (!named.empty() && named != id) return no_sandbox(named);
        auto entered = services->claims->enter(id);
        if (!entered) return refused(entered.error(), id);
        held = std::move(*entered);
        return std::nullopt;
    }
};

}  // namespace

void guard_claims(Services& services, std::vector<http::Row>& rows, std::size_t first) {
    for (std::size_t i = first; i < rows.size(); ++i) {
        http::Row& row = rows[i];
        auto const all = std::make_shared<Guarded>(Guarded{&services, row.sync, row.invoke});
        if (row.sync)
            row.sync = [all](Call& call) -> Result<Answer> {
                claims::Activity held;
                if (auto no = all->gate(call, held)) return std::move(*no);
                return all->sync(call);
            };
        if (row.invoke)
            row.invoke = [all](Call& call) -> Task<Result<Answer>> {
                claims::Activity held;
                if (auto no = all->gate(call, held)) return refuse(std::move(*no));
                if (!held.claim()) return all->invoke(call);
                return answer_held(std::move(held), {all, &all->invoke}, call);
            };
    }
}

namespace {

std::optional<Result<Answer>> foreign(Call const& call) {
    std::string const& id = call.param("sandboxId");
    if (id.empty() && is_of_endpoint(call))
        return refusal(403, "FORBIDDEN", "an endpoint's token is good for its own sandbox alone");
    if (!may_use(call, id)) return no_sandbox(id);
    return std::nullopt;
}

}  // namespace

void guard_lifecycle(std::vector<http::Row>& rows, std::size_t first) {
    for (std::size_t i = first; i < rows.size(); ++i) http::put_before(rows[i], foreign);
}

http::SyncHandler ping_of(Services& services) {
    return [s = &services](Call& call) -> Result<Answer> {
        std::string const id = claim_id(call);
        if (id.empty()) return Answer::empty();
        auto const claim = s->claims->find(id);
        return claim && claim->alive() ? Answer::empty() : no_sandbox(id);
    };
}

}  // namespace execd::opensandbox
