#include "browser_proxy/probes.hpp"

#include <algorithm>
#include <string_view>

#include "browser_proxy/talk.hpp"

namespace execd::browser_proxy {

Task<Result<void>> probe_x(Loop& loop, std::string directory, unsigned display, Deadline deadline) {
    Talk talk(loop, deadline);
    auto connected = co_await talk.connect_x(std::move(directory), display);
    if (!connected) co_return connected;
    // Little endian, protocol 11.0, no authorisation.
    std::string hello("l\0\v\0\0\0\0\0\0\0\0\0", 12);
    auto said = co_await talk.say(std::move(hello));
    if (!said) co_return said;
    char answer[8] = {};
    auto heard = co_await talk.hear(answer, sizeof answer);
    if (!heard) co_return heard;
    if (answer[0] != 1) co_return fail(Code::unavailable, "", "the X server refused the connection");
    co_return Result<void>();
}

Task<Result<void>> probe_rfb(Loop& loop, unsigned short port, Deadline deadline) {
    Talk talk(loop, deadline);
    auto step = co_await talk.connect_tcp(port);
    if (!step) co_return step;
    char version[12] = {};
    step = co_await talk.hear(version, sizeof version);
    if (!step) co_return step;
    if (std::string_view(version, 4) != "RFB ")
        co_return fail(Code::unavailable, "", "what answers there is no RFB server");
    step = co_await talk.say("RFB 003.008\n");
    if (!step) co_return step;
    unsigned char count = 0;
    step = co_await talk.hear(reinterpret_cast<char*>(&count), 1);
    if (!step) co_return step;
    char types[255] = {};
    step = co_await talk.hear(types, count);
    if (!step) co_return step;
    if (std::find(types, types + count, 1) == types + count)
        co_return fail(Code::unavailable, "", "the RFB server wants a password");
    co_return Result<void>();
}

}  // namespace execd::browser_proxy
