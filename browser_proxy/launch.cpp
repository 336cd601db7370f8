#include "browser_proxy/launch.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/accounts.hpp"
#include "shell/executions.hpp"

namespace execd::browser_proxy {

namespace {

constexpr std::size_t kKeptOutput = 64U << 10;  // bytes
constexpr std::size_t kLastWords = 4U << 10;
constexpr std::size_t kLongestLine = 4U << 10;

class RunningExecution final : public Running {
  public:
    explicit RunningExecution(std::shared_ptr<shell::Execution> execution)
        : execution_(std::move(execution)) {}
    long pid() const override { return execution_->pid(); }
    bool alive() const override { return execution_->running(); }
    Task<bool> ended(Deadline deadline) override { co_return co_await execution_->ended(deadline); }
    std::string why() const override {
        return execution_->verdict() ? execution_->verdict()->text() : std::string("still running");
    }
    Task<void> stop(Duration grace) override { co_await execution_->stop(grace); }
    bool succeeded() const override { return execution_->verdict() && execution_->verdict()->success(); }

    Task<Result<std::string>> output(std::size_t limit, Deadline deadline) override {
        shell::ReadFrom from;
        from.streams = shell::mask_of(shell::Stream::out);
        shell::Cursor cursor = execution_->journal().reader(from);
        shell::Batch batch;
        std::string out;
        for (;;) {
            auto const next = co_await cursor.next(batch, deadline);
            if (next == shell::Next::timed_out) co_return fail(Code::timed_out, "", "it took too long");
            if (next == shell::Next::end) co_return out;
            for (auto const& slice : batch.slices) {
                if (slice.lost > 0 || out.size() + slice.bytes.size() > limit)
                    co_return fail(Code::too_large, "",
                                   "it wrote more than " + std::to_string(limit) + " bytes");
                out += slice.bytes;
            }
        }
    }

    Task<Result<std::string>> said(shell::Stream stream, std::string mark, Deadline deadline) override {
        shell::ReadFrom from;
        from.streams = shell::mask_of(stream);
        shell::Cursor cursor = execution_->journal().reader(from);
        shell::Batch batch;
        std::string line;
        for (;;) {
            auto const next = co_await cursor.next(batch, deadline);
            if (next == shell::Next::timed_out)
                co_return fail(Code::timed_out, "", "it did not say that it is up in time");
            if (next == shell::Next::end) co_return fail(Code::unavailable, "", "it ended: " + why());
            for (auto const& slice : batch.slices) {
                for (char const c : slice.bytes) {
                    if (c != '\n') {
                        if (line.size() < kLongestLine) line += c;
                        continue;
                    }
                    auto const at = line.find(mark);
                    if (at != std::string::npos) co_return line.substr(at + mark.size());
                    line.clear();
                }
            }
        }
    }

    std::string last_words() const override {
        auto& journal = execution_->journal();
        std::uint64_t const end = journal.end().total;
        shell::ReadFrom from;
        from.until = shell::Until::now;
        from.position =
            journal.seek_total(std::max(end > kLastWords ? end - kLastWords : 0, journal.begin().total));
        shell::Cursor cursor = journal.reader(from);
        shell::Batch batch;
        std::string out;
        while (cursor.poll(batch))
            for (auto const& slice : batch.slices) out += slice.bytes;
        return out;
    }

  private:
    std::shared_ptr<shell::Execution> execution_;
};

}  // namespace

Result<Account> choose_account(std::string const& wanted) {
    auto const table = accounts();
    if (::geteuid() != 0) {
        if (!wanted.empty()) {
            User const* const user = table->user(wanted);
            if (user == nullptr || user->uid != ::geteuid())
                return fail(Code::unavailable, "", "only root may run the desktop as " + wanted);
        }
        return Account{};
    }
    User const* user = nullptr;
    if (!wanted.empty()) {
        user = table->user(wanted);
        if (user == nullptr) return fail(Code::unavailable, "", "there is no account " + wanted);
    } else {
        user = table->user(uid_t{1000});
        if (user == nullptr) user = table->user("nobody");
    }
    if (user == nullptr || user->uid == 0)
        return fail(Code::unavailable, "", "the desktop needs an account that is not root: --browser-user");
    shell::Identity identity;
    identity.uid = user->uid;
    identity.gid = user->gid;
    identity.groups = table->groups_of(*user);
    return Account{identity, user->name};
}

ExecutionLauncher::ExecutionLauncher(shell::Executions& executions, shell::Environment base,
                                     Result<Account> account, std::string home)
    : executions_(executions), base_(std::move(base)), account_(std::move(account)) {
    base_.set_default("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    base_.set_default("LANG", "C.UTF-8");
    base_.set("HOME", std::move(home));
    if (account_ && !account_->name.empty()) {
        base_.set("USER", account_->name);
        base_.set("LOGNAME", account_->name);
    }
    // The daemon's own is seldom theirs to write; and a socket's path must stay short.
    if (account_ && account_->identity) base_.set("TMPDIR", "/tmp");
    base_.unset("XAUTHORITY");
    base_.unset("XDG_RUNTIME_DIR");
}

bool ExecutionLauncher::has(std::string const& program) const {
    auto const candidates = shell::exec_candidates(program, base_.list());
    return std::any_of(candidates.begin(), candidates.end(),
                       [](std::string const& path) { return ::access(path.c_str(), X_OK) == 0; });
}

Task<Result<std::shared_ptr<Running>>> ExecutionLauncher::start(Launch launch) {
    if (!account_) co_return Failure(account_.error());
    shell::Environment environment = base_;
    environment.overlay(launch.env);
    shell::ExecutionSpec spec;
    spec.argv = std::move(launch.argv);
    spec.env = environment.list();
    spec.cwd = "/";
    spec.identity = account_->identity;
    spec.contain = true;
    spec.label = launch.label;
    spec.text = launch.label;
    spec.journal.ring = kKeptOutput;
    spec.journal.spill = 0;
    if (!launch.input.empty()) {
        spec.input = shell::Input::bytes;
        spec.input_bytes = std::move(launch.input);
    }
    if (launch.pipe) {
        spec.fds = {{launch.pipe.get(), 3}, {launch.pipe.get(), 4}};
        spec.owned.push_back(std::move(launch.pipe));
    }
    auto started = co_await executions_.start(std::move(spec));
    if (!started) co_return Failure(started.error());
    auto running = std::make_shared<RunningExecution>(*started);
    auto const& verdict = (*started)->verdict();
    if (verdict && std::holds_alternative<shell::FailedToStart>(verdict->ending))
        co_return fail(Code::unavailable, launch.label, running->why());
    co_return running;
}

Result<void> ExecutionLauncher::make_directory(std::string const& path) const {
    if (!account_) return Failure(account_.error());
    auto const& identity = account_->identity;
    uid_t const owner = identity ? identity->uid : ::geteuid();
    bool const made = ::mkdir(path.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) return fail_errno("mkdir", errno, path);
    if (made && identity && ::lchown(path.c_str(), owner, identity->gid) != 0)
        return fail_errno("chown", errno, path);
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return fail_errno("stat", errno, path);
    // Somebody else's directory in a place that all may write to, or a link to anywhere.
    if (!S_ISDIR(info.st_mode) || info.st_uid != owner)
        return fail(Code::permission_denied, "", path + " is not a directory of the desktop's account");
    return {};
}

}  // namespace execd::browser_proxy
