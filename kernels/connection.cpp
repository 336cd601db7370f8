#include "kernels/connection.hpp"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <mutex>

#include "base/ids.hpp"
#include "base/unique_fd.hpp"

namespace execd::kernels {

namespace {

constexpr int kLowestPort = 20000;
constexpr int kHighestPort = 32767;  // Linux gives outgoing connections 32768 and up

bool nobody_listens(int port) {
    UniqueFd const fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd && ::bind(fd.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0;
}

int random_port() {
    std::uint32_t number = 0;
    random_bytes(std::as_writable_bytes(std::span(&number, 1)));
    return kLowestPort + static_cast<int>(number % (kHighestPort - kLowestPort + 1));
}

Result<void> write_private(std::string const& path, std::string const& text) {
    UniqueFd const fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("kernel.connection_file", errno, path);
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return fail_errno("kernel.connection_file", errno == 0 ? ENOSPC : errno, path);
    return {};
}

}  // namespace

std::string Connection::endpoint(Channel channel) const {
    auto const port = std::to_string(ports[static_cast<std::size_t>(channel)]);
    return transport == Transport::ipc ? "ipc://" + ip + "-" + port : "tcp://" + ip + ":" + port;
}

std::string Connection::json(std::string_view kernel_name) const {
    Json const value = {{"shell_port", ports[0]},
                        {"iopub_port", ports[1]},
                        {"stdin_port", ports[2]},
                        {"control_port", ports[3]},
                        {"hb_port", ports[4]},
                        {"ip", ip},
                        {"key", key},
                        {"transport", transport == Transport::ipc ? "ipc" : "tcp"},
                        {"signature_scheme", "hmac-sha256"},
                        {"kernel_name", kernel_name}};
    return value.dump(2);
}

Result<std::unique_ptr<RuntimeDir>> RuntimeDir::create(std::string const& parent) {
    if (!parent.starts_with('/') || parent.size() > 60)
        return fail(Code::invalid_argument, "kernel.runtime_dir",
                    "'" + parent + "' is relative or over 60 characters");
    std::string const path = parent + "/execd-k-" + random_hex(4);
    // The second call because a umask may have taken the bits away.
    if (::mkdir(path.c_str(), 0711) != 0 || ::chmod(path.c_str(), 0711) != 0)
        return fail_errno("kernel.runtime_dir", errno, path);
    return std::unique_ptr<RuntimeDir>(new RuntimeDir(path));
}

RuntimeDir::~RuntimeDir() {
    if (DIR* const listing = ::opendir(path_.c_str())) {
        while (dirent const* entry = ::readdir(listing))
            if (std::string_view const name = entry->d_name; name != "." && name != "..")
                ::unlink((path_ + "/" + entry->d_name).c_str());
        ::closedir(listing);
    }
    ::rmdir(path_.c_str());
}

Result<std::array<int, kChannels>> choose_ports() {
    // Several kernels may be starting: their ports are free until they bind them.
    static std::mutex mutex;
    static std::deque<int> recent;
    std::lock_guard const lock(mutex);
    std::array<int, kChannels> out{};
    std::size_t found = 0;
    for (int tries = 0; tries < 2000 && found < kChannels; ++tries) {
        int const port = random_port();
        if (std::find(recent.begin(), recent.end(), port) != recent.end() || !nobody_listens(port)) continue;
        recent.push_back(port);
        out[found++] = port;
    }
    while (recent.size() > 1000) recent.pop_front();
    if (found < kChannels) return fail(Code::exhausted, "kernel.ports", "no free TCP ports on 127.0.0.1");
    return out;
}

Result<Connection> prepare_connection(RuntimeDir const& dir, std::string const& id, Transport transport,
                                      std::string_view kernel_name,
                                      std::optional<shell::Identity> const& owner) {
    Connection out;
    std::string stem = dir.path() + "/" + id;
    if (owner) {
        out.folder = std::exchange(stem, stem + "/k");
        if (::mkdir(out.folder.c_str(), 0700) != 0 ||
            ::chown(out.folder.c_str(), owner->uid, owner->gid) != 0)
            return fail_errno("kernel.runtime_dir", errno, out.folder);
    }
    out.transport = transport;
    out.key = random_hex(32);
    out.file = stem + ".json";
    if (transport == Transport::ipc) {
        out.ip = stem;
        out.ports = {1, 2, 3, 4, 5};
    } else {
        auto ports = choose_ports();
        if (!ports) return tl::unexpected(ports.error());
        out.ip = "127.0.0.1";
        out.ports = *ports;
    }
    if (auto written = write_private(out.file, out.json(kernel_name)); !written)
        return tl::unexpected(written.error());
    if (owner && ::chown(out.file.c_str(), owner->uid, owner->gid) != 0)
        return fail_errno("kernel.connection_file", errno, out.file);
    return out;
}

void remove_connection(Connection const& connection) {
    ::unlink(connection.file.c_str());
    if (connection.transport == Transport::ipc)
        for (int port : connection.ports) ::unlink((connection.ip + "-" + std::to_string(port)).c_str());
    if (!connection.folder.empty()) ::rmdir(connection.folder.c_str());
}

}  // namespace execd::kernels
