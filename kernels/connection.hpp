// Where a kernel listens: the connection file (jupyter_client "Making kernels for Jupyter", section
// "Connection files"). We choose the places ourselves: no kernel but xeus-python 0.19 speaks the JEP 66
// handshake.
//
// prepare() touches the file system (a few small calls on the runtime directory).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "kernels/kernelspec.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::kernels {

enum class Channel { shell, iopub, stdin_, control, heartbeat };
inline constexpr std::size_t kChannels = 5;

struct Connection {
    Transport transport = Transport::ipc;
    /// A path prefix for ipc, an address for tcp.
    std::string ip;
    std::array<int, kChannels> ports{};
    std::string key;
    /// Of the connection file.
    std::string file;
    /// The folder that belongs to it alone; empty when it has none.
    std::string folder;

    [[nodiscard]] std::string endpoint(Channel channel) const;
    [[nodiscard]] std::string json(std::string_view kernel_name) const;
};

/// The private directory of connection files and ipc sockets. Made with the first kernel, removed with the
/// object.
class RuntimeDir {
  public:
    /// Under `parent` (absolute), mode 0711 (another account's kernel enters what is its own, and lists
    /// nothing). An ipc path must fit sockaddr_un: a parent of more than 60 characters is refused with
    /// invalid_argument.
    [[nodiscard]] static Result<std::unique_ptr<RuntimeDir>> create(std::string const& parent);
    ~RuntimeDir();
    RuntimeDir(RuntimeDir const&) = delete;
    RuntimeDir& operator=(RuntimeDir const&) = delete;
    [[nodiscard]] std::string const& path() const { return path_; }

  private:
    explicit RuntimeDir(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

/// Chooses places, makes the key and writes the connection file (0600).
/// `owner`: the account that the kernel runs under when it is not the daemon's; the files then lie in a
/// folder of its own.
[[nodiscard]] Result<Connection> prepare_connection(
    RuntimeDir const& dir, std::string const& id, Transport transport, std::string_view kernel_name,
    std::optional<shell::Identity> const& owner = std::nullopt);
/// Removes the connection file and the ipc sockets.
void remove_connection(Connection const& connection);

/// Five different loopback TCP ports that nobody listens on, outside the range the kernel uses for outgoing
/// connections, and not given out by this function in its last few hundred answers.
[[nodiscard]] Result<std::array<int, kChannels>> choose_ports();

}  // namespace execd::kernels
