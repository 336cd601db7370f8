// Errors are values with context. A function that can fail because of the guest, the network, the kernel or
// the disk returns Result<T>; exceptions are for programming errors and stop at the edge.
#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace execd {

/// What kind of failure it is. Dialects map this (and not the text) to their own status and code.
enum class Code {
    invalid_argument,  // the caller's mistake, whatever the state
    not_found,         // no such file, execution, context, session
    already_exists,
    permission_denied,
    conflict,  // right request, wrong state (busy, running, digest differs)
    gone,      // existed and has ended
    is_a_directory,
    not_a_directory,
    too_large,  // over a limit of ours
    no_space,   // the disk is full or a quota is reached
    read_only,
    decode,         // bytes that are not what they claim to be
    not_supported,  // this contract has it, this build or this kind does not
    unavailable,    // a capability is missing here and now (no python, no display)
    exhausted,      // a limit on how many: connections, contexts, descriptors
    timed_out,
    cancelled,
    disconnected,  // the peer went away
    io,            // any other failure of a system call
    internal,      // our own defect
};

[[nodiscard]] std::string_view to_string(Code) noexcept;

/// `where` names the operation ("open", "kernel.start"); `sys` is an errno or 0; `detail` is for people.
struct Error {
    Code code = Code::internal;
    std::string where;
    int sys = 0;
    std::string detail;

    /// "open /x: No such file or directory", "kernel.start: no kernel for language 'cobol'"
    [[nodiscard]] std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Failure = tl::unexpected<Error>;

[[nodiscard]] Failure fail(Code code, std::string_view where, std::string detail = {});

/// Turns an errno into an Error with the code that fits it (ENOENT is not_found and so on).
[[nodiscard]] Failure fail_errno(std::string_view where, int err, std::string detail = {});
[[nodiscard]] Code code_of_errno(int err) noexcept;

/// The text of an errno without locale and without a shared buffer.
[[nodiscard]] std::string errno_text(int err);

}  // namespace execd
