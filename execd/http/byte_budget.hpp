// ByteBudget: how many bytes of other people's data the HTTP core may hold in memory, per client and in all.
// Asked before the allocation: a refusal is an answer, never a crash. What is sent from disk, streamed or
// spliced is not held and not counted.
//
// Thread: the reactor. Owner: the Server; it outlives every Claim.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace execd::http {

class ByteBudget {
    struct Account {
        std::uint64_t held = 0;
        std::size_t claims = 0;
    };
    using Accounts = std::map<std::string, Account, std::less<>>;

  public:
    ByteBudget(std::uint64_t total, std::uint64_t per_client) : total_(total), per_client_(per_client) {}
    ByteBudget(ByteBudget const&) = delete;
    ByteBudget& operator=(ByteBudget const&) = delete;

    /// The bytes that one holder has been granted; gives them back when it dies. A default one is unlimited.
    class Claim {
      public:
        Claim() = default;
        /// `client` must outlive the claim (the connection owns both).
        Claim(ByteBudget* budget, std::string_view client) : budget_(budget), client_(client) {}
        Claim(Claim const&) = delete;
        Claim& operator=(Claim const&) = delete;
        ~Claim() { release(); }
        /// Holds `bytes` in all from now on, if it held fewer. Code::exhausted when that is over a budget;
        /// then nothing has changed.
        [[nodiscard]] Result<void> grow_to(std::uint64_t bytes);
        void release();
        [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

      private:
        ByteBudget* budget_ = nullptr;
        std::string_view client_;
        Accounts::iterator account_{};
        std::uint64_t bytes_ = 0;
    };

    [[nodiscard]] std::uint64_t held() const { return held_; }
    [[nodiscard]] std::uint64_t refused() const { return refused_; }

  private:
    std::uint64_t total_;
    std::uint64_t per_client_;
    std::uint64_t held_ = 0;
    std::uint64_t refused_ = 0;
    Accounts accounts_;
};

}  // namespace execd::http
