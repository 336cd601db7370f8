#include "base/both.hpp"
#include "execd/http/proxy.hpp"

namespace execd::http {

namespace {

constexpr std::size_t kBlock = 256U << 10;
constexpr std::size_t kFirstBlock = 16U << 10;
constexpr auto kHalfOpen = std::chrono::seconds(10);

// What both directions know: when one has ended the other gets a moment, not for ever.
struct State {
    bool one_ended = false;
};

Task<void> pump(Stream& from, Stream& to, std::string early, Duration stall, State& state) {
    bool good = true;
    if (!early.empty()) good = bool(co_await to.write(early, stall));
    // Interactive connections never need the large block.
    std::string block(kFirstBlock, '\0');
    while (good) {
        Deadline const deadline =
            state.one_ended ? Deadline::in(from.loop().clock(), kHalfOpen) : Deadline::never();
        auto got = co_await from.read_some(block, deadline);
        if (!got && got.error().code == Code::cancelled && from.open() && state.one_ended &&
            deadline.is_never())
            continue;
        if (!got || *got == 0) {
            good = got.has_value();
            break;
        }
        good = bool(co_await to.write(std::string_view(block).substr(0, *got), stall));
        if (*got == block.size() && block.size() < kBlock) block.resize(kBlock);
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
    co_await both(pump(a, b, std::move(early_for_b), stall, state),
                  pump(b, a, std::move(early_for_a), stall, state));
    a.close();
    b.close();
}

}  // namespace execd::http
