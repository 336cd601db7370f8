#include "fs/writer.hpp"

#include "base/digest.hpp"
#include "base/event.hpp"
#include "fs/cached.hpp"
#include "fs/content.hpp"
#include "fs/executor.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kPart = 256 * 1024;
constexpr std::size_t kSmall = 64 * 1024;
constexpr Duration kStuck = std::chrono::minutes(5);  // for one part
constexpr std::size_t kAtOnce = 512 * 1024;           // into memory by the reactor: a third of a millisecond

}  // namespace

/// Shared with the pool: the thread that writes a part keeps it alive, so that a Writer may die at any
/// moment. While `busy`, `part`, `hash` and `offset` are the thread's.
struct Writer::State {
    State(Executor& executor, WriteOptions wanted) : files(&executor), options(std::move(wanted)) {}

    Executor* files;
    WriteOptions options;
    std::optional<Staged> staged;
    std::optional<Sha256> hash;
    std::string filling;  // arriving
    std::string part;     // being written
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
    std::optional<Error> error;
    Event done;
    bool busy = false;
    bool may_hang = false;   // network and user-space file systems
    bool in_memory = false;  // what is staged lies there: writing waits for nothing
    bool committed = false;
    bool abandoned = false;

    /// Freeing the blocks of a large temporary takes a while: never on the reactor.
    static void discard(std::shared_ptr<State> state) {
        auto& pool = state->files->loop().pool();
        pool.submit(Lane::bulk, [state = std::move(state)] { state->staged.reset(); });
    }

    Result<void> put(std::span<char const> bytes) {
        if (hash) hash->update({bytes.data(), bytes.size()});
        auto ok = staged->how == StagedAs::direct
                      ? write_stream(staged->fd.get(), bytes)
                      : write_all(staged->fd.get(), bytes, static_cast<std::int64_t>(offset));
        offset += bytes.size();
        if (!ok) {
            Error failed = ok.error();
            failed.detail = options.path;
            return Failure(std::move(failed));
        }
        return ok;
    }
};

Writer::Writer(Executor& files, WriteOptions options)
    : state_(std::make_shared<State>(files, std::move(options))) {
    if (state_->options.sha256) state_->hash.emplace();
}

Writer::Writer(Writer&&) noexcept = default;

Writer::~Writer() {
    if (!state_ || !state_->staged) return;
    if (state_->busy)
        state_->abandoned = true;  // the thread that writes has it: it goes when that is done
    else
        State::discard(std::move(state_));
}

std::uint64_t Writer::size() const { return state_->size; }

Task<Result<void>> Writer::open() {
    auto state = state_;
    if (state->error) co_return Failure(*state->error);
    if (state->staged) co_return Result<void>();
    Stage stage{state->options};
    auto staged = co_await state->files->run(std::move(stage));
    if (!staged) {
        state->error = staged.error();
        co_return Failure(std::move(staged.error()));
    }
    state->staged.emplace(std::move(*staged));
    int const fd = state->staged->fd.get();
    // Nor is it known when the reader of a FIFO or a device will read.
    state->may_hang = state->staged->how == StagedAs::direct || state->files->may_hang(fd);
    state->in_memory =
        !state->may_hang && state->files->local() && state->staged->how != StagedAs::direct && in_memory(fd);
    co_return Result<void>();
}

Result<void> Writer::check_size() const {
    auto const& options = state_->options;
    if (options.max_size && state_->size > *options.max_size) return fail_errno("write", EFBIG, options.path);
    if (options.length && state_->size > *options.length)
        return fail(Code::conflict, "size",
                    "more than the " + std::to_string(*options.length) + " bytes announced");
    return {};
}

Task<Result<void>> Writer::finish_part() {
    auto state = state_;
    while (state->busy) {
        Deadline const end = Deadline::in(state->files->loop().clock(), kStuck);
        bool const woken = co_await state->done.wait(state->files->loop().clock(), end);
        if (!woken && state->busy && !state->error)
            state->error = Error{Code::timed_out, "fs.deadline", 0, state->options.path};
        if (!woken) break;
    }
    if (state->error) co_return Failure(*state->error);
    co_return Result<void>();
}

/// Puts `bytes` on a pool thread; to be called when nothing is busy and the file is open. `owner` is let go
/// of by the reactor.
Task<Result<void>> Writer::start_put(std::span<char const> bytes, std::shared_ptr<void const> owner) {
    auto state = state_;
    Executor::Slot held;
    if (state->may_hang) {
        auto got = co_await state->files->slot(Lane::bulk, state->files->deadline_of(Lane::bulk));
        if (!got) state->error = got.error();
        if (!got) co_return Failure(got.error());
        held = std::move(*got);
    }
    state->busy = true;
    auto executor = state->files->loop().executor();
    auto work = [state, bytes, owner = std::move(owner), held = std::move(held), executor,
                 guard = asio::make_work_guard(executor)]() mutable {
        auto ok = state->put(bytes);
        auto ended = [state = std::move(state), owner = std::move(owner), held = std::move(held),
                      ok = std::move(ok)]() mutable {
            if (!ok && !state->error) state->error = ok.error();
            state->busy = false;
            owner = nullptr;
            held = nullptr;
            state->done.notify_all();
            if (state->abandoned) State::discard(std::move(state));
        };
        asio::post(executor, std::move(ended));
    };
    auto& pool = state->files->loop().pool();
    pool.submit(Lane::bulk, std::move(work));
    co_return Result<void>();
}

/// Gives what has arrived to a pool thread and returns when the part before is written.
Task<Result<void>> Writer::hand_over() {
    auto state = state_;
    if (auto ok = co_await finish_part(); !ok) co_return ok;
    if (auto ok = co_await open(); !ok) co_return ok;
    std::swap(state->filling, state->part);
    state->filling.clear();
    std::span<char const> const part = state->part;
    co_return co_await start_put(part, nullptr);
}

namespace {
template <class State>
struct PutHere {
    PutHere(std::shared_ptr<State> s, std::span<char const> b) : state(std::move(s)), bytes(b) {}
    std::shared_ptr<State> state;
    std::span<char const> bytes;
    Result<void> operator()() const { return state->put(bytes); }
};
}  // namespace

Result<void> Writer::count(std::size_t bytes) {
    auto& state = *state_;
    if (state.committed) return fail(Code::conflict, "write", "already committed");
    if (state.error) return Failure(*state.error);
    state.size += bytes;
    auto ok = check_size();
    if (!ok) state.error = ok.error();
    return ok;
}

Task<Result<void>> Writer::write_kept(std::span<char const> bytes, std::shared_ptr<void const> owner) {
    auto state = state_;
    if (bytes.size() < kPart || owner == nullptr) co_return co_await write(bytes);
    if (auto ok = count(bytes.size()); !ok) co_return ok;
    if (!state->filling.empty())
        if (auto ok = co_await hand_over(); !ok) co_return ok;
    if (auto ok = co_await finish_part(); !ok) co_return ok;
    if (auto ok = co_await open(); !ok) co_return ok;
    co_return co_await start_put(bytes, std::move(owner));
}

Task<Result<void>> Writer::write(std::span<char const> bytes) {
    auto state = state_;
    if (auto ok = count(bytes.size()); !ok) co_return ok;
    if (state->in_memory && !state->busy && state->filling.empty() && bytes.size() <= kAtOnce) {
        auto ok = state->put(bytes);  // neither a copy nor a thread
        if (!ok) state->error = ok.error();
        co_return ok;
    }
    if (!state->may_hang && bytes.size() >= kPart && state->filling.empty()) {  // large enough: no copy
        if (auto ok = co_await finish_part(); !ok) co_return ok;
        if (auto ok = co_await open(); !ok) co_return ok;
        auto ok = co_await state->files->loop().pool().run(Lane::bulk, PutHere<State>(state, bytes));
        if (!ok) state->error = ok.error();
        co_return ok;
    }
    while (!bytes.empty()) {
        auto const room = kPart - state->filling.size();
        auto const now = bytes.first(std::min(room, bytes.size()));
        if (state->filling.size() + now.size() > kSmall && state->filling.capacity() < kPart)
            state->filling.reserve(kPart);
        state->filling.append(now.data(), now.size());
        bytes = bytes.subspan(now.size());
        if (state->filling.size() == kPart)
            if (auto ok = co_await hand_over(); !ok) co_return ok;
    }
    co_return Result<void>();
}

Task<Result<Written>> Writer::commit() {
    auto state = state_;
    if (state->committed) co_return fail(Code::conflict, "write", "already committed");
    if (state->error) co_return Failure(*state->error);
    state->committed = true;
    auto const& options = state->options;
    if (options.length && state->size != *options.length)
        co_return fail(
            Code::conflict, "size",
            std::to_string(state->size) + " of " + std::to_string(*options.length) + " bytes arrived");
    if (!state->staged && state->size <= kSmall) {
        if (state->hash) {
            state->hash->update(state->filling);
            if (hex(state->hash->finish()) != *options.sha256)
                co_return fail(Code::conflict, "sha256", options.path);
        }
        PutFile put{options, std::move(state->filling)};
        bool const alone = !state->files->any_held();
        if (alone && state->files->local() && !state->files->may_hang(options.path))
            if (auto quick = put.run_quick()) co_return std::move(*quick);
        if (alone) co_return co_await state->files->run(std::move(put));
        auto turn = co_await state->files->hold(options.path);
        if (!turn) co_return Failure(turn.error());
        co_return co_await state->files->run_holding(std::move(put), std::move(*turn));
    }
    if (!state->filling.empty())
        if (auto ok = co_await hand_over(); !ok) co_return Failure(ok.error());
    if (auto ok = co_await finish_part(); !ok) co_return Failure(ok.error());
    if (auto ok = co_await open(); !ok) co_return Failure(ok.error());
    if (state->hash && hex(state->hash->finish()) != *options.sha256)
        co_return fail(Code::conflict, "sha256", options.path);
    auto turn = co_await state->files->hold(options.path);
    if (!turn) co_return Failure(turn.error());
    Commit commit{options, std::move(*state->staged), state->size};
    state->staged.reset();
    co_return co_await state->files->run_holding(std::move(commit), std::move(*turn));
}

}  // namespace execd::fs
