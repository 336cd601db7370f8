#include <sys/prctl.h>

#include "fs/channel.hpp"
#include "fs/operations.hpp"
#include "fs/worker.hpp"

namespace execd::fs {

namespace {

template <class Op>
bool run_if(std::uint16_t number, Packet& request, Packet& answer) {
    if (number != OperationNumber<Op>::value) return false;
    Decoder decoder(request);
    Op op;
    std::uint16_t skipped = 0;
    decoder.get(skipped);
    op.visit(decoder);
    if (!decoder.good()) {
        Result<typename Op::Answer> broken = fail(Code::internal, "fs.worker", "broken request");
        answer = encode_result(broken);
        return true;
    }
    auto result = op.run();
    answer = encode_result(result);
    return true;
}

template <class... Op>
bool dispatch(std::tuple<Op...> const*, std::uint16_t number, Packet& request, Packet& answer) {
    return (run_if<Op>(number, request, answer) || ...);
}

}  // namespace

int worker_main(int socket) {
    ::prctl(PR_SET_DUMPABLE, 0);  // its user may not look into it
    for (;;) {
        auto request = receive_packet(socket);
        if (!request) return request.error().code == Code::disconnected ? 0 : 1;
        Decoder decoder(*request);
        std::uint16_t number = UINT16_MAX;
        decoder.get(number);
        Packet answer;
        Operations const* const all = nullptr;
        if (!dispatch(all, number, *request, answer)) return 1;
        request->descriptors.clear();
        if (!send_packet(socket, answer)) return 1;
    }
}

}  // namespace execd::fs
