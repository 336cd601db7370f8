#include "fs/watches.hpp"

#include "base/ids.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {
constexpr auto kCloseWithin = std::chrono::seconds(3);
}

Watches::Watches(Loop& loop, WatchesOptions options)
    : loop_(&loop), options_(options), sweep_(loop.clock()), scope_(loop, "fs.watches") {}
Watches::~Watches() = default;

Task<Result<std::string>> Watches::start(Executor& files, WatchOptions options) {
    if (held_.size() >= options_.at_most)
        co_return fail(Code::exhausted, "watch", std::to_string(options_.at_most) + " watches are open");
    auto watch = co_await Watch::start(files, std::move(options));
    if (!watch) co_return Failure(watch.error());
    if (closed_) {
        co_await (*watch)->close();
        co_return fail(Code::unavailable, "watch", "the daemon is stopping");
    }
    std::string id = uuid_hex();
    Held held;
    held.watch = std::move(*watch);
    held.used = loop_->clock().now();
    held_.emplace(id, std::move(held));
    arm();
    co_return id;
}

std::shared_ptr<Watch> Watches::find(std::string const& id) {
    auto const found = held_.find(id);
    if (found == held_.end()) return nullptr;
    found->second.used = loop_->clock().now();
    return found->second.watch;
}

Task<bool> Watches::remove(std::string id) {
    auto const found = held_.find(id);
    if (found == held_.end()) co_return false;
    auto const watch = std::move(found->second.watch);
    held_.erase(found);
    co_await watch->close();
    co_return true;
}

std::vector<std::string> Watches::ids() const {
    std::vector<std::string> out;
    for (auto const& [id, held] : held_) out.push_back(id);
    return out;
}

Task<void> Watches::end(std::shared_ptr<Watch> watch) { co_await watch->close(); }

void Watches::arm() {
    if (held_.empty() || sweep_.armed()) return;
    sweep_.arm(Deadline::in(loop_->clock(), options_.idle), [this] { sweep(); });
}

void Watches::sweep() {
    auto const now = loop_->clock().now();
    for (auto entry = held_.begin(); entry != held_.end();) {
        // Somebody who waits on it holds it too.
        bool const idle = now - entry->second.used >= options_.idle && entry->second.watch.use_count() == 1;
        if (idle) scope_.spawn("fs.watches.end", end(std::move(entry->second.watch)));
        entry = idle ? held_.erase(entry) : std::next(entry);
    }
    arm();
}

Task<void> Watches::close() {
    sweep_.cancel();
    closed_ = true;
    auto const waiting = waiting_;
    for (auto const& watch : waiting) co_await watch->close();
    auto held = std::move(held_);
    held_.clear();
    for (auto& [id, one] : held) co_await one.watch->close();
    auto const stragglers = co_await scope_.close(Deadline::in(loop_->clock(), kCloseWithin));
    static_cast<void>(stragglers);
}

// ---- one path
// -----------------------------------------------------------------------------------------------------

namespace {

/// What tells one file from another, or from itself before a change.
struct Look : Waited {
    std::uint64_t inode = 0;
    std::int64_t ctime_ns = 0;
};

Look state_of(Result<Entry> const& entry) {
    Look out;
    out.exists = entry.has_value();
    if (!entry) return out;
    out.size = entry->size;
    out.mtime_ns = entry->mtime_ns;
    out.inode = entry->inode;
    out.ctime_ns = entry->ctime_ns;
    return out;
}

bool is_met(WaitFor what, Look const& before, Look const& now) {
    switch (what) {
        case WaitFor::exists: return now.exists;
        case WaitFor::gone: return !now.exists;
        case WaitFor::changed:
            return before.exists != now.exists || before.size != now.size ||
                   before.mtime_ns != now.mtime_ns || before.inode != now.inode ||
                   before.ctime_ns != now.ctime_ns;
    }
    return false;
}

bool is_absence(Error const& error) {
    return error.code == Code::not_found || error.code == Code::not_a_directory;
}

/// Watches `path` itself, or the nearest directory above it that is there.
Task<Result<std::shared_ptr<Watch>>> watch_nearest(Executor& files, std::string path) {
    for (;;) {
        WatchOptions options(path);
        options.recursive = false;
        options.debounce = Duration::zero();
        auto watch = co_await Watch::start(files, std::move(options));
        if (watch || !is_absence(watch.error()) || path == "/") co_return watch;
        path = parent_of(std::string(path));
    }
}

/// watch_nearest() looks from below upwards: a directory that appeared behind its back is nearer than the one
/// it found, and what happens inside of it would wake nobody.
Task<bool> came_nearer(Executor& files, std::string watched, std::string path) {
    if (watched == path) co_return false;
    auto const entry = co_await files.run(Stat(std::move(watched), true));
    co_return entry && entry->kind == Kind::directory;
}

}  // namespace

/// A watch of wait(): closed however the wait ends.
class Watches::Waiting {
  public:
    Waiting(Watches& owner, std::shared_ptr<Watch> watch)
        : owner_(&owner), place_(owner.waiting_.insert(owner.waiting_.end(), std::move(watch))) {}
    ~Waiting() {
        auto watch = std::move(*place_);
        owner_->waiting_.erase(place_);
        // While everything closes, close() has closed this one already.
        owner_->scope_.spawn("fs.watches.end", end(std::move(watch)));
    }
    Waiting(Waiting const&) = delete;
    Waiting& operator=(Waiting const&) = delete;
    [[nodiscard]] Watch& watch() const { return **place_; }

  private:
    Watches* owner_;
    std::list<std::shared_ptr<Watch>>::iterator place_;
};

Task<Result<Waited>> Watches::wait(Executor& files, std::string path, WaitFor what, Deadline deadline) {
    std::optional<Look> before;
    for (;;) {
        // First the watch, then the look: a change in between wakes us.
        auto started = co_await watch_nearest(files, path);
        if (!started) co_return Failure(started.error());
        Waiting const waiting(*this, std::move(*started));
        std::uint64_t cursor = 0;
        for (;;) {
            auto const entry = co_await files.run(Stat(path, true));
            if (!entry && !is_absence(entry.error())) co_return Failure(entry.error());
            Look now = state_of(entry);
            if (!before) before = now;
            now.met = is_met(what, *before, now);
            if (now.met || deadline.passed(loop_->clock())) co_return Waited(now);
            bool const nearer = co_await came_nearer(files, waiting.watch().options().path, path);
            if (nearer) break;
            auto const batch = co_await waiting.watch().after(cursor, 1000, deadline);
            cursor = batch.cursor;
            if (closed_) co_return fail(Code::unavailable, "watch", "the daemon is stopping");
            // A parent that came or went: the nearest directory may be another one now.
            if (batch.ended || waiting.watch().options().path != path) break;
        }
    }
}

}  // namespace execd::fs
