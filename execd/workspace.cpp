#include "execd/workspace.hpp"

#include "execd/child_environment.hpp"
#include "fs/executor.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd {

namespace {

constexpr std::string_view kWorkspace = "/workspace";

std::string beside_home(Services& services) {
    auto const home = services.environment->daemon().get("HOME");
    return fs::join_path(home && home->starts_with('/') ? fs::clean_path(*home) : "/tmp", "workspace");
}

bool is_below(std::string_view path, std::string_view root) {
    return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

Task<Result<std::string>> Workspace::directory() {
    // Looked at again each time: a client may have removed it.
    std::string const wanted = directory_.empty() ? std::string(kWorkspace) : directory_;
    fs::MakeDirectory make(wanted);
    auto made = co_await services_->files->run(std::move(make));
    if (made) {
        directory_ = wanted;
        co_return wanted;
    }
    std::string const other = beside_home(*services_);
    fs::MakeDirectory make_other(other);
    auto second = co_await services_->files->run(std::move(make_other));
    if (!second) co_return Failure(second.error());
    directory_ = other;
    co_return other;
}

Task<Result<std::string>> Workspace::path_of(std::string text) {
    if (auto good = fs::check_path(text); !good) co_return Failure(good.error());
    std::string const absolute = fs::absolute_path(text, kWorkspace);
    if (!is_below(absolute, kWorkspace)) co_return absolute;
    auto const root = co_await directory();
    if (!root) co_return Failure(root.error());
    co_return fs::clean_path(*root + absolute.substr(kWorkspace.size()));
}

Task<Result<std::string>> Workspace::made(std::string text) {
    if (text.empty()) co_return co_await directory();
    auto path = co_await path_of(std::move(text));
    if (!path) co_return path;
    fs::MakeDirectory make(*path);
    auto made = co_await services_->files->run(std::move(make));
    if (!made) co_return Failure(made.error());
    co_return path;
}

}  // namespace execd
