// /v1/filesystem/{uid}/{gid}/...: the file routes under another identity (contracts/opensandbox-1.1.md §5).
#include <charconv>

#include "base/accounts.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/file_parts.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/worker.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kIdentityCode = "FILESYSTEM_IDENTITY_UNAVAILABLE";
constexpr std::uint32_t kMaxId = 4'294'967'294;  // the last one means "leave it" to the kernel

std::optional<std::uint32_t> id_of(std::string_view text) {
    std::uint32_t id = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (ec != std::errc() || end != text.data() + text.size() || id > kMaxId) return std::nullopt;
    return id;
}

Answer unavailable(Error const& error) {
    return refusal(503, kIdentityCode, "filesystem identity is unavailable: " + error.message());
}

}  // namespace

FileAccess::FileAccess(Services& all) : services(&all), files(std::shared_ptr<void>(), all.files) {}

FileAccess::FileAccess(Services& all, std::shared_ptr<fs::Executor> executor, std::string account_home)
    : services(&all), files(std::move(executor)), home(std::move(account_home)) {}

Result<std::string> FileAccess::path(std::string_view text) const {
    if (!home) return expand(*services, text);
    fs::Expansion how;
    how.home = *home;
    how.variable = [](std::string_view) { return std::optional<std::string>(); };
    return fs::expand_path(text, how);
}

Task<Result<Answer>> with_identity(Services& services, Call& call, FileHandler handler) {
    auto const uid = id_of(call.param("uid"));
    auto const gid = id_of(call.param("gid"));
    if (!uid || !gid)
        co_return refusal(400, code::kBody,
                          "uid and gid must be decimal numbers from 0 to " + std::to_string(kMaxId));
    if (services.workers == nullptr)
        co_return unavailable(Error{Code::unavailable, "fs.identity", 0, "this daemon has no workers"});
    auto const table = accounts();
    User const* const user = table->user(static_cast<uid_t>(*uid));
    FileAccess access(services, services.workers->as(*uid, *gid),
                      user != nullptr && !user->home.empty() ? user->home : "/");
    // Whether the identity can be taken is one answer for every route: asked once, before the handler.
    auto const able = co_await access.files->run(fs::Stat("/"));
    if (!able && able.error().code == Code::unavailable) co_return unavailable(able.error());
    co_return co_await handler(std::move(access), call);
}

}  // namespace execd::opensandbox
