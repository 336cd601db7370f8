// Kernel messages: the input's lines are frames; the JSON frames are parsed both as they are (a forged
// signature must never get to JSON) and properly signed.
#include "base/check.hpp"
#include "kernels/output.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::kernels {
namespace {

void run(std::string_view input) {
    static Signer const signer("fuzz");
    std::vector<std::string_view> frames;
    while (!input.empty() && frames.size() < 40) frames.push_back(fuzz::take_line(input));
    EXECD_REQUIRE(!parse_message(frames, signer));

    std::array<std::string_view, 4> parts{};
    for (std::size_t i = 0; i < parts.size() && i < frames.size(); ++i) parts[i] = frames[i];
    std::string const signature = signer.sign(parts);
    std::vector<std::string_view> whole{"topic",  "<IDS|MSG>", signature, parts[0],
                                        parts[1], parts[2],    parts[3]};
    if (frames.size() > 4) whole.insert(whole.end(), frames.begin() + 4, frames.end());
    auto message = parse_message(whole, signer, {.content_bytes = 4096});
    if (!message) return;
    EXECD_REQUIRE(!message->id.empty() && !message->type.empty());
    // What was read can be written and read again.
    auto const again = build_message(*message, signer);
    std::vector<std::string_view> const views(again.begin(), again.end());
    EXECD_REQUIRE(parse_message(views, signer).has_value());
    bool bad = false;
    std::size_t const text = message->content.contains("text") ? dump_json(message->content).size() : 0;
    std::size_t sum = 0;
    for (auto const& output : decode_output(*message, bad, 16))
        if (auto const* stream = std::get_if<StreamText>(&output)) sum += stream->text.size();
    EXECD_REQUIRE(sum <= text);
}

fuzz::Target const kTarget("jupyter_message", run);

}  // namespace
}  // namespace execd::kernels
