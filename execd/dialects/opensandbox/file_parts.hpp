// What the file routes of this dialect share.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "execd/dialects/opensandbox/schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "fs/entry.hpp"

namespace execd::opensandbox {

/// Whose files a request means: the daemon's own, or those of the identity in its path (opensandbox-1.1.md
/// §5), which brings its own rules for paths. Copied into every handler and stream, so that the executor of
/// an identity lives as long as they.
struct FileAccess {
    explicit FileAccess(Services& all);
    FileAccess(Services& all, std::shared_ptr<fs::Executor> executor, std::string account_home);

    Services* services;
    std::shared_ptr<fs::Executor> files;
    std::optional<std::string> home{};  // set: an identity; relative paths start at /, there are no variables

    /// An absolute path; the error's detail is the dialect's text.
    [[nodiscard]] Result<std::string> path(std::string_view text) const;
    [[nodiscard]] Loop& loop() const { return services->loop; }
};

using FileHandler = Task<Result<http::Answer>> (*)(FileAccess, http::Call&);
/// Runs a handler under the identity of the path's {uid} and {gid}.
[[nodiscard]] Task<Result<http::Answer>> with_identity(Services& services, http::Call& call,
                                                       FileHandler handler);

[[nodiscard]] FileInfo file_info(fs::Entry const& entry);
/// 0644 -> 644: the wire's mode is a decimal number whose digits are octal (§0.6).
[[nodiscard]] std::uint32_t digits_of_mode(std::uint32_t mode);
/// 644 -> 0644; nothing for 0; invalid_argument for a digit above 7.
[[nodiscard]] Result<std::optional<std::uint32_t>> mode_of_digits(std::int64_t digits);
/// 404 with the contract's text for what is not there, 500 otherwise.
[[nodiscard]] http::Answer file_failure(Error const& error, std::string_view path);
/// "open /x: permission denied"
[[nodiscard]] std::string go_text(Error const& error, std::string_view call, std::string_view path);
/// The same with the call and path of the error itself.
[[nodiscard]] inline std::string go_text(Error const& error) {
    return go_text(error, error.where, error.detail);
}
/// A JSON list of FileInfo. Pure: thousands of entries are rendered off the loop.
[[nodiscard]] std::string render_entries(std::vector<fs::Entry> const& entries);

[[nodiscard]] Task<Result<http::Answer>> download(FileAccess access, http::Call& call);
[[nodiscard]] Task<Result<http::Answer>> upload(FileAccess access, http::Call& call);
/// What a row's sync handler answers: status 0 where something would have to be waited for.
using QuickFileHandler = Result<http::Answer> (*)(FileAccess, http::Call&);
[[nodiscard]] Result<http::Answer> download_at_once(FileAccess access, http::Call& call);
[[nodiscard]] Result<http::Answer> upload_at_once(FileAccess access, http::Call& call);
[[nodiscard]] Task<Result<http::Answer>> search_files(FileAccess access, http::Call& call);

}  // namespace execd::opensandbox
