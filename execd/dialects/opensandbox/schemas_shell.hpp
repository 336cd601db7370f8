// Bodies of /session* and /pty* (contracts/opensandbox.md §1.7, §1.9), named as the original's Go structs:
// its validator texts show those names.
#pragma once
#include <boost/describe/class.hpp>

#include <cstdint>
#include <map>
#include <string>

#include "execd/http/wire/describe.hpp"

namespace execd::opensandbox {

struct CreateSessionRequest {
    std::string cwd;
};
BOOST_DESCRIBE_STRUCT(CreateSessionRequest, (), (cwd))
constexpr auto wire_notes(CreateSessionRequest const*) {
    return wire::notes({{.field = "cwd", .doc = "Made when it is missing"}});
}

struct SessionCreated {
    std::string session_id;
};
BOOST_DESCRIBE_STRUCT(SessionCreated, (), (session_id))

struct RunInSessionRequest {
    std::string command;
    std::string cwd;
    std::int64_t timeout = 0;
    std::map<std::string, std::string> envs;
};
BOOST_DESCRIBE_STRUCT(RunInSessionRequest, (), (command, cwd, timeout, envs))
constexpr auto wire_notes(RunInSessionRequest const*) {
    return wire::notes({{.field = "command", .doc = "Shell text", .label = "Command", .non_empty = true},
                        {.field = "cwd", .doc = "Changes to it first; it must exist"},
                        {.field = "timeout",
                         .doc = "Milliseconds after which the command is ended; 0 is never",
                         .label = "Timeout",
                         .min = 0},
                        {.field = "envs", .doc = "Exported into the session first"}});
}

struct CreatePtyRequest {
    std::string cwd;
    std::string command;
};
BOOST_DESCRIBE_STRUCT(CreatePtyRequest, (), (cwd, command))
constexpr auto wire_notes(CreatePtyRequest const*) {
    return wire::notes({{.field = "cwd", .doc = "Made when it is missing"},
                        {.field = "command", .doc = "Shell text; an interactive shell without it"}});
}

struct PtyState {
    std::string session_id;
    bool running = false;
    std::uint64_t output_offset = 0;  // bytes ever produced
};
BOOST_DESCRIBE_STRUCT(PtyState, (), (session_id, running, output_offset))

/// A text frame of a client (§1.9).
struct PtyClientFrame {
    std::string type;
    std::string data;
    std::string signal;
    std::int64_t cols = 0;
    std::int64_t rows = 0;
};
BOOST_DESCRIBE_STRUCT(PtyClientFrame, (), (type, data, signal, cols, rows))

}  // namespace execd::opensandbox

namespace execd::wire {
extern template struct Codec<opensandbox::CreateSessionRequest>;
extern template struct Codec<opensandbox::SessionCreated>;
extern template struct Codec<opensandbox::RunInSessionRequest>;
extern template struct Codec<opensandbox::CreatePtyRequest>;
extern template struct Codec<opensandbox::PtyState>;
extern template struct Codec<opensandbox::PtyClientFrame>;
}  // namespace execd::wire
