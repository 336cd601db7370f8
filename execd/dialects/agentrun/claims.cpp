#include "execd/dialects/agentrun/claims.hpp"

#include <array>
#include <memory>
#include <span>

#include "base/ids.hpp"
#include "execd/held_answer.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

claims::ClaimPtr claim_of(Services& services, Call const& call) {
    bool const named = call.row != nullptr && call.row->path.starts_with("/sandboxes/{sandboxId}");
    if (!named) return nullptr;
    auto claim = services.claims->find(call.param("sandboxId"), kKind);
    return claim && claim->alive() ? claim : nullptr;
}

std::string owner_of(claims::ClaimPtr const& claim) { return claim ? claim->id() : std::string(); }

bool sees(claims::ClaimPtr const& claim, std::string_view owner) { return !claim || claim->id() == owner; }

shell::Environment environment_of(Services& services, claims::ClaimPtr const& claim) {
    shell::Environment out = services.environment->make();
    if (claim) out.overlay(claim->env());
    return out;
}

namespace {

Task<Result<Answer>> refuse(Error error) { co_return Failure(std::move(error)); }

}  // namespace

void use_claims(Services& services, http::Row& row) {
    if (!row.invoke) return;
    row.invoke = [s = &services, inner = std::make_shared<http::Handler const>(row.invoke)](Call& call) {
        auto const claim = claim_of(*s, call);
        if (!claim) return (*inner)(call);
        auto entered = s->claims->enter(claim->id(), kKind);
        if (!entered) return refuse(entered.error());
        return answer_held(std::move(*entered), inner, call);
    };
}

std::string new_sandbox_id(WallTime now) {
    static constexpr char kAlphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    auto milliseconds = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
    std::string out(26, '0');
    for (std::size_t i = 10; i-- > 0; milliseconds >>= 5) out[i] = kAlphabet[milliseconds & 31U];
    std::array<std::byte, 16> random{};
    random_bytes(random);
    for (std::size_t i = 0; i < random.size(); ++i)
        out[10 + i] = kAlphabet[std::to_integer<unsigned>(random[i]) & 31U];
    return out;
}

}  // namespace execd::agentrun
