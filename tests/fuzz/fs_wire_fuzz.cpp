#include "base/check.hpp"
#include "fs/operations.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

template <class T>
void answer(std::string_view input) {
    Packet packet;
    packet.bytes = input;
    (void)decode_result<T>(packet);
}

template <class... Op>
void all(std::tuple<Op...> const*, std::string_view input) {
    (answer<typename Op::Answer>(input), ...);
    auto const one = [input]<class T>(T op) {
        Packet packet;
        packet.bytes = input;
        Decoder decoder(packet);
        op.visit(decoder);
        // What was understood says the same once more.
        if (!decoder.good()) return;
        Packet again;
        Encoder encoder(again);
        op.visit(encoder);
        EXECD_REQUIRE(again.bytes.size() <= input.size());
    };
    (one(Op()), ...);
}

// What the daemon reads from a worker, and the worker from the daemon: any bytes.
void run(std::string_view input) {
    Operations const* const none = nullptr;
    all(none, input);
}

fuzz::Target const kTarget("fs_wire", run);

}  // namespace
}  // namespace execd::fs
