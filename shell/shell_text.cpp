#include "shell/shell_text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.hpp"
#include "shell/direct_command.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kOneArgument = (128 << 10) - 64;  // MAX_ARG_STRLEN with its NUL, and some air
constexpr std::size_t kLargest = 64 << 20;
constexpr int kScriptFd = 9;  // dash knows one digit only
}  // namespace

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (char const c : text) {
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    }
    return out += '\'';
}

Result<UniqueFd> anonymous_file(std::string_view bytes) {
    if (int const e = fault::hit("memfd")) return fail_errno("memfd", e);
    UniqueFd file(::memfd_create("execd", MFD_CLOEXEC));
    if (!file) file.reset(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file) return fail_errno("memfd", errno);
    std::size_t done = 0;
    while (done < bytes.size()) {
        ssize_t const n =
            ::pwrite(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("memfd", errno);
        done += static_cast<std::size_t>(n);
    }
    return file;
}

Result<ShellCommand> shell_command(Shell const& shell, std::string text, std::vector<std::string> options) {
    if (text.find('\0') != std::string::npos)
        return fail(Code::invalid_argument, "command", "the text contains a NUL byte");
    if (text.size() > kLargest) return fail(Code::too_large, "command", "more than 64 MiB of shell text");
    ShellCommand out;
    out.argv = {shell.path};
    if (shell.bash && options.empty() && text.size() < kOneArgument)
        if (auto words = simple_command(text)) out.direct = std::move(*words);
    for (auto& option : options) out.argv.push_back(std::move(option));
    out.argv.emplace_back("-c");
    if (text.size() < kOneArgument) {
        out.argv.push_back(std::move(text));
        return out;
    }
    auto file = anonymous_file(text);
    if (!file) return tl::unexpected(file.error());
    out.fds = {{file->get(), kScriptFd}};
    out.owned.push_back(std::move(*file));
    // eval keeps what -c has: $0, line numbers from 1, no name of a file in messages. sh has no `read -d`.
    out.argv.emplace_back(shell.bash ? "IFS= read -r -d '' -u 9 __execd_text; exec 9<&-; "
                                       "eval \"unset __execd_text;$__execd_text\""
                                     : ". /proc/self/fd/9");
    return out;
}

}  // namespace execd::shell
