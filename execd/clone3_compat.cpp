#include "execd/clone3_compat.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

namespace execd {

Result<bool> wants_clone3_compat(std::string_view value) {
    std::string word(value);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    for (std::string_view const yes : {"1", "true", "yes", "on", "reexec"})
        if (word == yes) return true;
    for (std::string_view const no : {"", "0", "false", "off", "no"})
        if (word == no) return false;
    return fail(Code::invalid_argument, "", "expected 1, true, yes, on, reexec, or 0, false, no, off");
}

Result<void> hide_clone3() {
    // The call's number is the same in every ABI, so the filter need not look at that.
    sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<__u32>(offsetof(seccomp_data, nr))},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_clone3},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    sock_fprog const program{static_cast<unsigned short>(std::size(code)), code};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return fail(Code::unavailable, "", "clone3 cannot be hidden: " + errno_text(errno));
    return {};
}

}  // namespace execd
