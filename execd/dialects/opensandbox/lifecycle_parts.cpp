#include "execd/dialects/opensandbox/lifecycle_parts.hpp"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "execd/dialects/opensandbox/dialect.hpp"

namespace execd::opensandbox {

using http::Answer;

namespace {

struct Unit {
    std::string_view name;
    double factor;
};
// Kubernetes' suffixes.
constexpr std::array kUnits{Unit{"Ki", 1024.0},
                            Unit{"Mi", 1048576.0},
                            Unit{"Gi", 1073741824.0},
                            Unit{"Ti", 1099511627776.0},
                            Unit{"k", 1e3},
                            Unit{"K", 1e3},
                            Unit{"M", 1e6},
                            Unit{"G", 1e9},
                            Unit{"T", 1e12},
                            Unit{"m", 1e-3},
                            Unit{"", 1.0}};

std::optional<double> quantity(std::string_view text) {
    double number = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc() || !(number >= 0) || !(number < 1e15)) return std::nullopt;
    std::string_view const unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    for (auto const& known : kUnits)
        if (unit == known.name) return number * known.factor;
    return std::nullopt;
}

std::string_view state_name(claims::State state) {
    switch (state) {
        case claims::State::pending: return "Pending";
        case claims::State::running: return "Running";
        case claims::State::pausing: return "Pausing";
        case claims::State::paused: return "Paused";
        case claims::State::ended: return "Terminated";
    }
    return "Unknown";
}

}  // namespace

Result<shell::ResourceLimits> limits_of(std::map<std::string, std::string> const& wanted) {
    shell::ResourceLimits out;
    for (auto const& [name, text] : wanted) {
        bool const known = name == "cpu" || name == "memory" || name == "pids";
        if (!known) continue;  // gpu and others: there is nothing that they could be taken from
        auto const value = quantity(text);
        if (!value || *value <= 0 || *value > 1e18)
            return fail(Code::invalid_argument, "resourceLimits." + name, "no quantity: " + text);
        if (name == "cpu") out.cpu = *value;
        if (name == "memory") out.memory = static_cast<std::uint64_t>(*value);
        if (name == "pids") out.pids = static_cast<std::uint64_t>(*value);
    }
    return out;
}

claims::ClaimPtr claim_of(Services& services, http::Call const& call) {
    auto claim = services.claims->find(call.param("sandboxId"), kKind);
    return claim && claim->alive() ? claim : nullptr;
}

wire::Timestamp stamp_of(WallTime at) { return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)}; }

SandboxBody body_of(claims::Claim const& claim) {
    SandboxBody out;
    out.id = claim.id();
    if (auto uri = claim.note("image"); !uri.empty()) out.image = SandboxImage{std::move(uri)};
    out.status.state = state_name(claim.state());
    if (!claim.not_enforced().empty()) {
        std::string text = "not enforced here:";
        for (auto const& name : claim.not_enforced()) text += " " + name;
        out.status.message = std::move(text);
    }
    out.status.last_transition_at = stamp_of(claim.since());
    if (auto const platform = claim.note("platform"); !platform.empty()) {
        auto const slash = platform.find('/');
        out.platform = SandboxPlatform{platform.substr(0, slash), platform.substr(slash + 1)};
    }
    if (!claim.metadata().empty()) out.metadata.emplace(claim.metadata().begin(), claim.metadata().end());
    auto const words = nlohmann::json::parse(claim.note("entrypoint"), nullptr, false);
    if (words.is_array()) out.entrypoint = words.get<std::vector<std::string>>();
    if (claim.expires()) out.expires_at = stamp_of(*claim.expires());
    out.created_at = stamp_of(claim.created());
    return out;
}

Answer bad_request(std::string_view why) { return refusal(400, "INVALID_REQUEST", why); }

}  // namespace execd::opensandbox
