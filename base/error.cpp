#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace execd {

std::string_view to_string(Code code) noexcept {
    switch (code) {
        case Code::invalid_argument: return "invalid_argument";
        case Code::not_found: return "not_found";
        case Code::already_exists: return "already_exists";
        case Code::permission_denied: return "permission_denied";
        case Code::conflict: return "conflict";
        case Code::gone: return "gone";
        case Code::is_a_directory: return "is_a_directory";
        case Code::not_a_directory: return "not_a_directory";
        case Code::too_large: return "too_large";
        case Code::no_space: return "no_space_left";
        case Code::read_only: return "read_only_filesystem";
        case Code::decode: return "decode_error";
        case Code::not_supported: return "not_supported";
        case Code::unavailable: return "unavailable";
        case Code::exhausted: return "exhausted";
        case Code::timed_out: return "timed_out";
        case Code::cancelled: return "cancelled";
        case Code::disconnected: return "disconnected";
        case Code::io: return "io_error";
        case Code::internal: return "internal";
    }
    return "internal";
}

std::string errno_text(int err) {
    char const* text = ::strerrordesc_np(err);  // constant strings: no locale, safe in every thread
    return text != nullptr ? std::string(text) : "errno " + std::to_string(err);
}

std::string Error::message() const {
    std::string out = where;
    auto add = [&out](std::string_view more) {
        if (more.empty()) return;
        if (!out.empty()) out += ": ";
        out += more;
    };
    add(detail);
    if (sys != 0) add(errno_text(sys));
    if (out.empty()) out = to_string(code);
    return out;
}

Failure fail(Code code, std::string_view where, std::string detail) {
    return Failure(Error{code, std::string(where), 0, std::move(detail)});
}

Code code_of_errno(int err) noexcept {
    switch (err) {
        case ENOENT: return Code::not_found;
        case EEXIST:
        case ENOTEMPTY: return Code::already_exists;
        case EACCES:
        case EPERM: return Code::permission_denied;
        case EISDIR: return Code::is_a_directory;
        case ENOTDIR: return Code::not_a_directory;
        case EFBIG:
        case E2BIG:
        case EMSGSIZE: return Code::too_large;
        case ENOSPC:
        case EDQUOT: return Code::no_space;
        case EROFS: return Code::read_only;
        case EINVAL:
        case ENAMETOOLONG:
        case ELOOP: return Code::invalid_argument;
        case EMFILE:
        case ENFILE:
        case EAGAIN:
        case ENOMEM: return Code::exhausted;
        case ETIMEDOUT: return Code::timed_out;
        case ECANCELED: return Code::cancelled;
        case EPIPE:
        case ECONNRESET: return Code::disconnected;
        case ENOSYS:
        case EOPNOTSUPP: return Code::not_supported;
        default: return Code::io;
    }
}

Failure fail_errno(std::string_view where, int err, std::string detail) {
    return Failure(Error{code_of_errno(err), std::string(where), err, std::move(detail)});
}

}  // namespace execd
