#include "execd/auth/tokens.hpp"

#include "base/ids.hpp"

namespace execd::auth {

namespace {
constexpr std::size_t kTokenBytes = 32;

bool opens(std::string_view prefix, std::string_view path) {
    if (prefix == "/" || prefix == path) return true;
    if (!path.starts_with(prefix)) return false;
    return prefix.ends_with('/') || path[prefix.size()] == '/';
}
}  // namespace

void TokenStore::drop_expired() {
    std::erase_if(tokens_, [this](auto const& entry) { return entry.second.expires.passed(*clock_); });
}

Result<std::string> TokenStore::mint(Dialect dialect, std::string subject, Duration life) {
    if (tokens_.size() >= limit_) drop_expired();
    if (tokens_.size() >= limit_) return fail(Code::exhausted, "auth.mint", "too many live tokens");
    std::string token = random_hex(kTokenBytes);
    tokens_.insert_or_assign(sha256(token), Minted{dialect, std::move(subject), Deadline::in(*clock_, life)});
    return token;
}

std::optional<Minted> TokenStore::find(Dialect dialect, std::string_view token) const {
    auto const at = tokens_.find(sha256(token));
    if (at == tokens_.end() || at->second.dialect != dialect || at->second.expires.passed(*clock_))
        return std::nullopt;
    return at->second;
}

bool TokenStore::revoke(std::string_view token) { return tokens_.erase(sha256(token)) > 0; }

void TokenStore::revoke_subject(Dialect dialect, std::string_view subject) {
    std::erase_if(tokens_, [&](auto const& entry) {
        return entry.second.dialect == dialect && entry.second.subject == subject;
    });
}

Result<std::string> TicketStore::issue(TicketTerms terms) {
    if (tickets_.size() >= limit_)
        std::erase_if(tickets_, [this](auto const& entry) { return entry.second.expires.passed(*clock_); });
    if (tickets_.size() >= limit_) return fail(Code::exhausted, "auth.ticket", "too many live tickets");
    std::string ticket = random_hex(kTokenBytes);
    Deadline const expires = Deadline::in(*clock_, terms.life);
    tickets_.insert_or_assign(sha256(ticket), Ticket{std::move(terms), expires});
    return ticket;
}

bool TicketStore::holds(std::string_view ticket) const {
    auto const at = tickets_.find(sha256(ticket));
    return at != tickets_.end() && !at->second.expires.passed(*clock_);
}

std::optional<std::string> TicketStore::use(std::string_view ticket, std::string_view path) {
    auto const at = tickets_.find(sha256(ticket));
    if (at == tickets_.end()) return std::nullopt;
    Ticket& found = at->second;
    if (found.expires.passed(*clock_)) {
        tickets_.erase(at);
        return std::nullopt;
    }
    if (!opens(found.terms.path_prefix, path)) return std::nullopt;
    std::string subject = found.terms.subject;
    if (found.terms.uses) {
        if (*found.terms.uses <= 1)
            tickets_.erase(at);
        else
            --*found.terms.uses;
    }
    return subject;
}

}  // namespace execd::auth
