#include <sys/uio.h>

#include <memory>

#include "base/both.hpp"
#include "execd/http/keep_alive.hpp"
#include "execd/http/proxy.hpp"

namespace execd::http {

namespace {

constexpr std::size_t kSmallBlock = 16U << 10;
constexpr std::size_t kLargeBlock = 1U << 20;
constexpr int kSmallReads = 64;  // in a row: a conversation again
constexpr auto kRest = std::chrono::seconds(1);
constexpr auto kHalfOpen = std::chrono::seconds(10);

// What both directions know: when one has ended the other gets a moment, not for ever.
struct State {
    bool one_ended = false;
};

// The memory of one direction: a small block for a conversation; while much flows a large one, which halves
// the work for a byte. The large one is given back when nothing came for a moment, and not had beyond the
// budget.
class Block {
  public:
    Block(ByteBudget* budget, std::string_view client)
        : claim_(budget, client), small_(std::make_unique_for_overwrite<char[]>(kSmallBlock)) {}

    [[nodiscard]] bool large() const { return large_ != nullptr; }
    [[nodiscard]] std::span<char> room() {
        return large() ? std::span(large_.get(), kLargeBlock) : std::span(small_.get(), kSmallBlock);
    }
    /// Adapts to a read that brought `n` bytes; what was read stays where it is until the next room().
    void grow_after(std::size_t n) {
        if (large()) {
            small_reads_ = n < kSmallBlock ? small_reads_ + 1 : 0;
            if (small_reads_ == kSmallReads) release();
        } else if (n == kSmallBlock && claim_.grow_to(kLargeBlock)) {
            large_ = std::make_unique_for_overwrite<char[]>(kLargeBlock);
            small_reads_ = 0;
        }
    }
    void release() {
        large_.reset();
        claim_.release();
    }

  private:
    ByteBudget::Claim claim_;
    std::unique_ptr<char[]> small_;
    std::unique_ptr<char[]> large_;
    int small_reads_ = 0;
};

Task<void> pump(Stream& from, Stream& to, std::string early, Duration stall, Stream const& payer,
                State& state) {
    bool good = true;
    if (!early.empty()) good = bool(co_await to.write(early, stall));
    Block block(payer.budget(), payer.client());
    Clock& clock = from.loop().clock();
    while (good) {
        bool const half_open = state.one_ended;
        Deadline deadline = half_open ? Deadline::in(clock, kHalfOpen) : Deadline::never();
        bool const may_rest = block.large() && !half_open;
        if (may_rest) deadline = Deadline::in(clock, kRest);
        std::span<char> const room = block.room();
        auto const got = co_await from.read_some(room, deadline);
        if (!got && got.error().code == Code::timed_out && may_rest) {
            block.release();
            continue;
        }
        // The other direction's end wakes this one so that it waits under a deadline.
        if (!got && got.error().code == Code::cancelled && from.open() && state.one_ended && !half_open)
            continue;
        if (!got || *got == 0) {
            good = got.has_value();
            break;
        }
        std::string_view rest(room.data(), *got);
        iovec const piece{room.data(), *got};
        if (to.open()) {
            auto const sent = to.try_write(std::span(&piece, 1));
            good = sent.has_value();
            if (good) rest.remove_prefix(*sent);
        }
        if (good && !rest.empty()) good = bool(co_await to.write(rest, stall));
        block.grow_after(*got);
    }
    if (good) {
        to.shutdown_write();
        if (state.one_ended) from.close();
    } else {
        from.close();
        to.close();
    }
    if (!std::exchange(state.one_ended, true)) to.cancel_read();  // the other direction sees the new deadline
}

}  // namespace

Task<void> tunnel(Stream& a, Stream& b, std::string early_for_a, std::string early_for_b, Duration stall) {
    State state;
    probe_when_idle(a);
    probe_when_idle(b);
    Stream const& payer = a.budget() != nullptr ? a : b;
    co_await both(pump(a, b, std::move(early_for_b), stall, payer, state),
                  pump(b, a, std::move(early_for_a), stall, payer, state));
    a.close();
    b.close();
}

}  // namespace execd::http
