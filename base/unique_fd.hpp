// Owner of one file descriptor. Every descriptor of the daemon is opened with O_CLOEXEC and lives in one of
// these.
#pragma once
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace execd {

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    UniqueFd(UniqueFd const&) = delete;
    UniqueFd& operator=(UniqueFd const&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset(int fd = -1) noexcept {
        int const old = std::exchange(fd_, fd);
        if (old < 0 || old == fd) return;
        int const kept = errno;  // an error path reads errno after its descriptors have gone out of scope
        ::close(old);            // never retried: on Linux the descriptor is gone even after EINTR
        errno = kept;
    }

  private:
    int fd_ = -1;
};

}  // namespace execd
