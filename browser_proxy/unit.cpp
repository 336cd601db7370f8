#include "browser_proxy/unit.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/utf8.hpp"

namespace execd::browser_proxy {

std::string_view to_string(UnitState state) noexcept {
    switch (state) {
        case UnitState::idle: return "idle";
        case UnitState::starting: return "starting";
        case UnitState::ready: return "ready";
        case UnitState::waiting: return "waiting";
        case UnitState::stopped: return "stopped";
    }
    return "stopped";
}

namespace {

// What it said last, behind why it ended: " (no protocol specified)".
std::string last_line(std::string_view words) {
    while (!words.empty() && (words.back() == '\n' || words.back() == '\r')) words.remove_suffix(1);
    auto const line = words.substr(words.rfind('\n') + 1);  // npos + 1 is 0
    return line.empty() ? std::string() : " (" + to_utf8(line.substr(0, 300)) + ")";
}

}  // namespace

Unit::Unit(Loop& loop, Launcher& launcher, std::string name, Times times)
    : loop_(loop), launcher_(launcher), name_(std::move(name)), times_(times), scope_(loop, name_) {}

Unit::~Unit() = default;

void Unit::enter(UnitState state) {
    state_ = state;
    changed_.notify_all();
}

void Unit::want() {
    if (state_ != UnitState::idle) return;
    enter(UnitState::starting);
    scope_.spawn(name_, run());
}

Task<Result<void>> Unit::demand(Deadline deadline) {
    if (state_ == UnitState::ready) co_return Result<void>();
    if (state_ == UnitState::idle) {
        std::string why = missing();
        if (!why.empty()) co_return fail(Code::unavailable, name_, std::move(why));
        want();
    }
    std::uint64_t const failed_before = ended_;
    // One failure may be the end of what ran before, and a start that fell into it.
    while (state_ != UnitState::ready && state_ != UnitState::stopped && ended_ < failed_before + 2) {
        bool const woken = co_await changed_.wait(loop_.clock(), deadline);
        if (!woken && state_ != UnitState::ready)
            co_return fail(Code::unavailable, name_,
                           reason_.empty() ? std::string("it is not up yet") : reason_);
    }
    if (state_ == UnitState::ready) co_return Result<void>();
    if (state_ == UnitState::stopped) co_return fail(Code::unavailable, name_, "the daemon is stopping");
    co_return fail(Code::unavailable, name_, reason_);
}

Duration Unit::pause() const {
    if (failures_ == 0) return Duration::zero();
    return std::min(times_.longest_pause, times_.first_pause * (1 << std::min(failures_ - 1, 10U)));
}

Task<void> Unit::run() {
    for (;;) {
        enter(UnitState::starting);
        reason_ = co_await once();
        ++ended_;
        log::warn("desktop.ended",
                  {{"unit", name_}, {"reason", reason_}, {"pause_ms", pause().count() / 1'000'000}});
        enter(UnitState::waiting);
        auto const rest = running_;
        if (rest) co_await rest->stop(times_.grace);
        running_.reset();
        went_down();
        bool const rested = co_await loop_.clock().sleep_for(pause());
        if (!rested) co_return;
    }
}

Task<std::string> Unit::once() {
    Clock& clock = loop_.clock();
    auto up = co_await come_up(Deadline::in(clock, times_.come_up));
    if (!up) {
        ++failures_;
        std::string why = up.error().message();
        if (running_ && !running_->alive()) why += last_line(running_->last_words());
        co_return why;
    }
    TimePoint const since = clock.now();
    well_ = since;
    ++generation_;
    log::info("desktop.ready", {{"unit", name_}, {"pid", running_->pid()}, {"generation", generation_}});
    enter(UnitState::ready);
    std::string why = co_await stay();
    failures_ = well_ - since >= times_.lasted ? 0 : failures_ + 1;
    co_return why;
}

// A program that stands still keeps its sockets, and the kernel takes connections for it: only a question
// tells. It is asked twice: after a pause of the whole container the first answer is late before it could
// come.
Task<std::string> Unit::stay() {
    auto const running = running_;
    Clock& clock = loop_.clock();
    std::string silence;
    for (int unanswered = 0; unanswered < 2;) {
        if (unanswered == 0) {
            bool const can_be_asked = patience() > Duration::zero();
            Deadline const next = can_be_asked ? Deadline::in(clock, times_.watch) : Deadline::never();
            bool const ended = co_await running->ended(next);
            if (ended) {
                well_ = clock.now();
                co_return running->why();
            }
        }
        Deadline const until = Deadline::in(clock, patience() / 2);
        auto answer = co_await ask(until);
        if (answer) {
            well_ = clock.now();
            unanswered = 0;
            continue;
        }
        silence = answer.error().message();
        ++unanswered;
        // Who is ending hangs up first.
        bool const ended = co_await running->ended(until);
        if (ended) co_return running->why();
    }
    co_return "it hung: " + silence;
}

Task<Result<void>> Unit::ask(Deadline) { co_return Result<void>(); }

Task<Result<void>> Unit::launch(Launch launch) {
    auto started = co_await launcher_.start(std::move(launch));
    if (!started) co_return Failure(started.error());
    running_ = std::move(*started);
    co_return Result<void>();
}

Task<void> Unit::close() {
    if (state_ != UnitState::stopped) enter(UnitState::stopped);
    (void)co_await scope_.close(Deadline::in(loop_.clock(), std::chrono::seconds(1)));
    auto const rest = std::move(running_);
    running_.reset();
    if (rest) co_await rest->stop(times_.grace);
    went_down();
}

UnitStatus Unit::status() const {
    UnitStatus out;
    out.name = name_;
    out.state = state_;
    out.pid = running_ && running_->alive() ? running_->pid() : 0;
    out.generation = generation_;
    out.ended = ended_;
    out.reason = reason_;
    if (state_ == UnitState::idle) out.missing = missing();
    return out;
}

}  // namespace execd::browser_proxy
