#include "execd/http/byte_budget.hpp"

#include "base/fault.hpp"

namespace execd::http {

Result<void> ByteBudget::Claim::grow_to(std::uint64_t bytes) {
    if (bytes <= bytes_) return {};
    if (int const e = fault::hit("buffer")) return fail(Code::exhausted, "buffer", errno_text(e));
    if (budget_ == nullptr) {
        bytes_ = bytes;
        return {};
    }
    ByteBudget& budget = *budget_;
    auto account = bytes_ > 0 ? account_ : budget.accounts_.find(client_);
    std::uint64_t const more = bytes - bytes_;
    std::uint64_t const of_client = account == budget.accounts_.end() ? 0 : account->second.held;
    bool const fits = more <= budget.total_ - std::min(budget.held_, budget.total_) &&
                      more <= budget.per_client_ - std::min(of_client, budget.per_client_);
    if (!fits) {
        ++budget.refused_;
        return fail(Code::exhausted, "buffer", "too many bytes are held in memory for requests already");
    }
    if (account == budget.accounts_.end())
        account = budget.accounts_.emplace(std::string(client_), Account()).first;
    account_ = account;
    if (bytes_ == 0) ++account->second.claims;
    account->second.held += more;
    budget.held_ += more;
    bytes_ = bytes;
    return {};
}

void ByteBudget::Claim::release() {
    if (bytes_ == 0) return;
    std::uint64_t const had = std::exchange(bytes_, 0);
    if (budget_ == nullptr) return;
    budget_->held_ -= had;
    account_->second.held -= had;
    if (--account_->second.claims == 0) budget_->accounts_.erase(account_);
}

}  // namespace execd::http
