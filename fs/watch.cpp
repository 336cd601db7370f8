#include "fs/watch.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/unique_fd.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/watch_tree.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kReadBuffer = 64 * 1024;
constexpr std::size_t kMaxHeld = 10'000;
constexpr auto kCloseWithin = std::chrono::seconds(10);

/// The kernel's event; its own struct ends in an array, which a coroutine frame cannot hold.
struct Notice {
    int wd = -1;
    std::uint32_t mask = 0;
    std::uint32_t cookie = 0;
    std::string name{};
};

bool take_notice(std::string_view& buffer, Notice& out) {
    if (buffer.size() < sizeof(::inotify_event)) return false;
    ::inotify_event event{};
    std::memcpy(&event, buffer.data(), sizeof event);
    char const* const name = buffer.data() + sizeof event;
    out = {event.wd, event.mask, event.cookie,
           std::string(name, event.len == 0 ? 0 : ::strnlen(name, event.len))};
    buffer.remove_prefix(sizeof event + event.len);
    return true;
}

/// No path begins with it.
constexpr char kNowhere = '?';
std::string nowhere(std::uint32_t cookie) { return kNowhere + std::to_string(cookie); }

/// Operations (fs/executor.hpp) of their own: where the file system may hang they share its few threads, and
/// nothing that they use is the watch's, which may be gone first.
struct AddTree {
    using Answer = AddedTree;
    static constexpr Lane kLane = Lane::search;
    AddTree(bool slow, int fd, std::string at, std::shared_ptr<WatchFilter const> how, bool all)
        : may_hang(slow),
          inotify(::fcntl(fd, F_DUPFD_CLOEXEC, 0)),
          path(std::move(at)),
          filter(std::move(how)),
          list(all) {}
    bool may_hang;
    UniqueFd inotify;
    std::string path;
    std::shared_ptr<WatchFilter const> filter;
    bool list;
    [[nodiscard]] Result<AddedTree> run() const { return watch_tree(inotify.get(), path, *filter, list); }
};

struct TakePhotos {
    using Answer = Photographed;
    static constexpr Lane kLane = Lane::search;
    TakePhotos(bool slow, std::shared_ptr<WatchFilter const> how) : may_hang(slow), filter(std::move(how)) {}
    bool may_hang;
    std::shared_ptr<WatchFilter const> filter;
    [[nodiscard]] Result<Photographed> run() const { return photograph(*filter); }
};

/// What is watched for `path`: the directory itself, or one name in its directory (editors replace files by
/// renaming, so a watch on the file would see its end and no more).
struct MakeFilter {
    using Answer = WatchFilter;
    static constexpr Lane kLane = Lane::metadata;
    explicit MakeFilter(WatchOptions const& o)
        : path(o.path), exclude(o.exclude), include(o.include), recursive(o.recursive) {}
    std::string path;
    std::vector<std::string> exclude, include;
    bool recursive;
    [[nodiscard]] Result<WatchFilter> run() const {
        if (auto ok = check_path(path); !ok) return Failure(ok.error());
        auto out = GlobSet::compile(exclude, {.negation = true});
        auto in = GlobSet::compile(include, {.negation = true});
        if (!out) return Failure(out.error());
        if (!in) return Failure(in.error());
        WatchFilter filter;
        filter.root = clean_path(path);
        filter.exclude = std::move(*out);
        filter.include = std::move(*in);
        filter.recursive = recursive;
        struct ::stat stat {};
        if (::stat(filter.root.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode)) return filter;
        filter.only = base_name(filter.root);
        filter.root = parent_of(std::string(filter.root));
        filter.recursive = false;
        if (::stat(filter.root.c_str(), &stat) != 0) return fail_errno("watch", errno, path);
        if (!S_ISDIR(stat.st_mode)) return fail_errno("watch", ENOTDIR, filter.root);
        return filter;
    }
};

}  // namespace

struct Watch::Impl : std::enable_shared_from_this<Watch::Impl> {
    Impl(Executor& e, WatchOptions o)
        : files(&e),
          loop(&e.loop()),
          options(std::move(o)),
          inotify(loop->executor()),
          flush(loop->clock()),
          scope(*loop, "fs.watch") {}

    Executor* files;
    Loop* loop;
    WatchOptions options;
    std::shared_ptr<WatchFilter const> filter;
    Descriptor inotify;
    std::unordered_map<int, std::string> directories;
    Coalescer pending;
    Timer flush;
    std::deque<WatchEvent> events;
    std::uint64_t last = 0;
    Event arrived;
    bool scanning = false;
    bool ended = false;
    bool cut = false;  // the last photograph does not show all
    // Directories moved from where they were, their other half not seen yet: watched below a path that is
    // none (kNowhere and the cookie) until it comes or the window ends. And what happened in them meanwhile.
    std::vector<std::string> homeless;
    std::vector<Notice> held;
    Photos photos;
    Scope scope;

    Task<Result<void>> begin();
    Task<void> read_on(std::shared_ptr<Impl> self);
    Task<void> scan_on(std::shared_ptr<Impl> self);
    Task<bool> handle(std::string_view buffer);
    Task<bool> handle_one(Notice event);
    Task<bool> cover(std::string path, bool list);
    Task<bool> after_overflow();
    void changed(Raw raw) {
        if (raw.what == Change::overflow || filter->reported(raw.path)) pending.add(std::move(raw));
    }
    void overflowed() {
        Raw lost;
        lost.what = Change::overflow;
        lost.path = filter->root;
        lost.directory = true;
        changed(std::move(lost));
    }
    /// A photograph that does not show all: said once.
    void note_cut(bool now) {
        if (now && !cut) overflowed();
        cut = now;
    }
    /// False when `from` itself was not watched.
    bool renamed_directory(std::string const& from, std::string const& to);
    void forget_below(std::string const& path);
    void forget_homeless();
    Task<bool> moved_in(std::uint32_t cookie, std::string path, std::string from);
    void arm() {
        if (!pending.empty() && !flush.armed())
            flush.arm(Deadline::in(loop->clock(), options.debounce), [this] { publish(); });
    }
    void publish();
    void end() {
        publish();
        ended = true;
        arrived.notify_all();
    }
};

void Watch::Impl::publish() {
    flush.cancel();
    forget_homeless();
    for (auto& raw : pending.take()) {
        if (raw.what == Change::rename && !filter->reported(raw.old_path))
            raw = {Change::create, raw.path, "", raw.directory};
        if (raw.what != Change::overflow && !filter->reported(raw.path)) {
            if (raw.what != Change::rename) continue;
            raw = {Change::remove, raw.old_path, "", raw.directory};
        }
        events.push_back({++last, raw.what, std::move(raw.path), std::move(raw.old_path), raw.directory,
                          loop->clock().wall()});
        if (events.size() > options.keep) events.pop_front();
    }
    arrived.notify_all();
}

bool Watch::Impl::renamed_directory(std::string const& from, std::string const& to) {
    bool known = false;
    std::string const below = from + "/";
    for (auto& [descriptor, path] : directories) {
        if (path == from) {
            known = true;
            path = to;
        } else if (path.starts_with(below)) {
            path = to + path.substr(from.size());
        }
    }
    return known;
}

void Watch::Impl::forget_below(std::string const& path) {
    std::string const below = path + "/";
    for (auto entry = directories.begin(); entry != directories.end();) {
        bool const gone = entry->second == path || entry->second.starts_with(below);
        if (gone) ::inotify_rm_watch(inotify.native_handle(), entry->first);
        entry = gone ? directories.erase(entry) : std::next(entry);
    }
}

/// What stayed without its other half has left the tree.
void Watch::Impl::forget_homeless() {
    for (auto entry = directories.begin(); !homeless.empty() && entry != directories.end();) {
        bool const gone = entry->second.front() == kNowhere;
        if (gone) ::inotify_rm_watch(inotify.native_handle(), entry->first);
        entry = gone ? directories.erase(entry) : std::next(entry);
    }
    homeless.clear();
    held.clear();
}

/// Watches a tree that has appeared; false when inotify is exhausted and scanning has to take over.
Task<bool> Watch::Impl::cover(std::string path, bool list) {
    bool const slow = files->may_hang(path);
    AddTree add(slow, inotify.native_handle(), std::move(path), filter, list);
    auto tree = co_await files->run_here(std::move(add));
    if (!tree) co_return true;  // gone again
    for (auto& found : tree->directories) directories[found.descriptor] = std::move(found.path);
    for (auto& found : tree->found) changed(std::move(found));
    co_return !tree->exhausted;
}

Task<bool> Watch::Impl::after_overflow() {
    overflowed();
    forget_homeless();  // their other halves may be among what was lost
    auto const before = std::exchange(directories, {});
    bool const fine = co_await cover(filter->root, false);  // directories made meanwhile
    if (directories.empty()) {                              // the root is gone, and will say so
        directories = before;
        co_return fine;
    }
    for (auto const& [descriptor, path] : before)  // and those that left
        if (!directories.contains(descriptor)) ::inotify_rm_watch(inotify.native_handle(), descriptor);
    co_return fine;
}

/// The second half of a directory's rename; `from` is empty when it came from where nobody watches.
Task<bool> Watch::Impl::moved_in(std::uint32_t cookie, std::string path, std::string from) {
    std::string const place = nowhere(cookie);
    auto const known = std::find(homeless.begin(), homeless.end(), place);
    if (known == homeless.end()) {
        if (filter->excluded(path)) co_return true;
        bool const list = from.empty();
        co_return co_await cover(std::move(path), list);
    }
    homeless.erase(known);
    if (filter->excluded(path)) {
        forget_below(place);
        co_return true;
    }
    if (!renamed_directory(place, path)) {  // gone from its first name before it was looked at
        bool const fine = co_await cover(path, true);
        if (!fine) co_return false;
    }
    auto const meanwhile = std::exchange(held, {});
    for (auto const& notice : meanwhile) {
        bool const fine = co_await handle_one(notice);
        if (!fine) co_return false;
    }
    co_return true;
}

/// False when scanning has to take over.
Task<bool> Watch::Impl::handle_one(Notice event) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) co_return co_await after_overflow();
    auto const where = directories.find(event.wd);
    if (where == directories.end()) co_return true;
    if ((event.mask & IN_IGNORED) != 0) {
        bool const root = where->second == filter->root;
        directories.erase(where);
        if (root) end();
        co_return true;
    }
    if (where->second.front() == kNowhere) {
        if (held.size() == kMaxHeld) co_return true;
        held.push_back(std::move(event));
        if (held.size() == kMaxHeld) overflowed();
        co_return true;
    }
    bool const root = where->second == filter->root;
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
        if (!root) co_return true;  // its parent tells
        Raw gone;
        gone.what = Change::remove;
        gone.path = filter->root;
        gone.directory = true;
        changed(std::move(gone));
        if ((event.mask & IN_MOVE_SELF) != 0) end();
        co_return true;
    }
    if (event.name.empty()) co_return true;
    std::string path = join_path(where->second, event.name);
    bool const directory = (event.mask & IN_ISDIR) != 0;
    if (filter->excluded(path) && (event.mask & (IN_MOVED_FROM | IN_MOVED_TO)) == 0) co_return true;
    Raw raw;
    raw.path = path;
    raw.directory = directory;
    if ((event.mask & IN_MOVED_FROM) != 0) {
        // Out of what is excluded is out of nothing: the other half alone says "create".
        if (filter->excluded(path)) co_return true;
        if (directory && filter->recursive) {
            homeless.push_back(nowhere(event.cookie));
            renamed_directory(path, homeless.back());
        }
        pending.moved_from(event.cookie, std::move(path), directory);
        co_return true;
    }
    if ((event.mask & IN_MOVED_TO) != 0) {
        auto from = pending.moved_to(event.cookie, path, directory);
        if (!directory || !filter->recursive) co_return true;
        co_return co_await moved_in(event.cookie, std::move(path), std::move(from));
    }
    if ((event.mask & IN_CREATE) != 0)
        raw.what = Change::create;
    else if ((event.mask & IN_DELETE) != 0)
        raw.what = Change::remove;
    else if ((event.mask & IN_ATTRIB) != 0)
        raw.what = Change::chmod;
    else
        raw.what = Change::write;
    bool const appeared = directory && raw.what == Change::create && filter->recursive;
    changed(std::move(raw));
    if (appeared) co_return co_await cover(std::move(path), true);
    co_return true;
}

Task<bool> Watch::Impl::handle(std::string_view buffer) {
    Notice notice;
    while (!ended && take_notice(buffer, notice)) {
        bool const fine = co_await handle_one(notice);
        if (!fine) co_return false;
    }
    co_return true;
}

Task<void> Watch::Impl::read_on(std::shared_ptr<Impl> self) {
    std::string buffer(kReadBuffer, '\0');
    while (!self->ended) {
        auto [ec] = co_await self->inotify.async_wait(asio::posix::descriptor_base::wait_read, kAsTuple);
        if (ec) co_return;
        auto const n = ::read(self->inotify.native_handle(), buffer.data(), buffer.size());
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) co_return;
        bool const fine =
            co_await self->handle(std::string_view(buffer).substr(0, static_cast<std::size_t>(n)));
        self->arm();
        if (!fine) break;
    }
    if (self->ended) co_return;
    self->scanning = true;
    self->inotify.close();
    self->directories.clear();
    self->overflowed();  // between the last event and the first photograph
    self->arm();
    self->scope.spawn("fs.watch.scan", self->scan_on(self));
}

Task<void> Watch::Impl::scan_on(std::shared_ptr<Impl> self) {
    bool first = self->photos.empty();
    for (;;) {
        TakePhotos take(self->files->may_hang(self->filter->root), self->filter);
        auto now = co_await self->files->run_here(std::move(take));
        if (!now) {
            Raw gone;
            gone.what = Change::remove;
            gone.path = self->filter->root;
            gone.directory = true;
            self->changed(std::move(gone));
            self->end();
            co_return;
        }
        if (!first) compare(self->photos, now->photos, self->pending);
        first = false;
        self->note_cut(now->truncated);
        self->photos = std::move(now->photos);
        self->arm();
        bool const slept = co_await self->loop->clock().sleep_for(self->options.scan_every);
        if (!slept) co_return;
    }
}

Task<Result<void>> Watch::Impl::begin() {
    MakeFilter make(options);
    auto made = co_await files->run_here(std::move(make));
    if (!made) co_return Failure(made.error());
    bool const slow = files->may_hang(made->root);
    filter = std::make_shared<WatchFilter const>(std::move(*made));
    UniqueFd fd(options.scan_only ? -1 : ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    scanning = !fd;
    if (fd) {
        inotify.assign(fd.release());
        AddTree add(slow, inotify.native_handle(), filter->root, filter, false);
        auto tree = co_await files->run_here(std::move(add));
        if (!tree) co_return Failure(tree.error());
        scanning = tree->exhausted;
        for (auto& found : tree->directories) directories[found.descriptor] = std::move(found.path);
    }
    if (!scanning) {
        scope.spawn("fs.watch.read", read_on(shared_from_this()));
        co_return Result<void>();
    }
    if (inotify.is_open()) inotify.close();
    directories.clear();
    TakePhotos take(slow, filter);
    auto now = co_await files->run_here(std::move(take));
    if (!now) co_return Failure(now.error());
    photos = std::move(now->photos);
    note_cut(now->truncated);
    arm();
    scope.spawn("fs.watch.scan", scan_on(shared_from_this()));
    co_return Result<void>();
}

Watch::Watch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::~Watch() = default;

Task<Result<std::shared_ptr<Watch>>> Watch::start(Executor& files, WatchOptions options) {
    auto impl = std::make_shared<Impl>(files, std::move(options));
    auto began = co_await impl->begin();
    if (!began) co_return Failure(began.error());
    co_return std::make_shared<Watch>(std::move(impl));
}

Task<WatchBatch> Watch::after(std::uint64_t cursor, std::size_t limit, Deadline deadline) {
    auto impl = impl_;
    while (impl->last <= cursor && !impl->ended) {
        bool const woken = co_await impl->arrived.wait(impl->loop->clock(), deadline);
        if (!woken) break;
    }
    WatchBatch batch;
    batch.cursor = cursor;
    batch.ended = impl->ended;
    std::uint64_t const first = impl->last - impl->events.size() + 1;
    if (impl->last > cursor && first > cursor + 1) batch.lost = first - cursor - 1;
    for (auto const& event : impl->events) {
        if (event.number <= cursor) continue;
        if (batch.events.size() == limit) break;
        batch.events.push_back(event);
        batch.cursor = event.number;
    }
    co_return batch;
}

std::uint64_t Watch::last() const { return impl_->last; }
bool Watch::scanning() const { return impl_->scanning; }
bool Watch::ended() const { return impl_->ended; }
WatchOptions const& Watch::options() const { return impl_->options; }
std::size_t Watch::directories() const { return impl_->directories.size(); }

Task<void> Watch::close() {
    auto impl = impl_;
    impl->flush.cancel();
    impl->ended = true;
    impl->arrived.notify_all();
    auto stragglers = co_await impl->scope.close(Deadline::in(impl->loop->clock(), kCloseWithin));
    static_cast<void>(stragglers);
    if (impl->inotify.is_open()) impl->inotify.close();
}

}  // namespace execd::fs
