#include "execd/dialects/agentrun/claims.hpp"

#include <array>
#include <span>

#include "base/ids.hpp"

namespace execd::agentrun {

Claim const* Claims::create(Claim claim) {
    std::string const id = claim.id;
    auto const known = all_.find(id);
    if (known != all_.end() && !known->second.ended) return nullptr;
    if (known == all_.end()) order_.push_back(id);
    Claim const& made = all_[id] = std::move(claim);
    if (order_.size() > kMost) {
        all_.erase(order_.front());
        order_.pop_front();
    }
    return &made;
}

Claim const* Claims::find(std::string const& id) const {
    auto const found = all_.find(id);
    return found == all_.end() ? nullptr : &found->second;
}

bool Claims::end(std::string const& id, WallTime now) {
    auto const found = all_.find(id);
    if (found == all_.end()) return true;
    if (found->second.ended) return false;
    found->second.ended = now;
    found->second.updated = now;
    return true;
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
