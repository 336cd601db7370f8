// Sessions recorded from real kernels (recorded/: one message a line, the channel and its frames in base64;
// the key is below): ipykernel 7.4 says protocol 5.4, IRkernel 1.3 and Deno 5.3.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/base64.hpp"
#include "kernels/output.hpp"

namespace execd::kernels {
namespace {

struct Recorded {
    std::string channel;
    std::vector<std::string> frames;
};

std::vector<Recorded> session(std::string const& name) {
    auto const path = std::filesystem::path(__FILE__).parent_path() / "recorded" / (name + ".txt");
    std::ifstream file(path);
    std::vector<Recorded> out;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        Recorded message;
        words >> message.channel;
        for (std::string word; words >> word;) message.frames.push_back(base64_decode(word).value_or("?"));
        // An empty frame has no word: the first identity of a DEALER's message may be one.
        out.push_back(std::move(message));
    }
    return out;
}

struct Heard {
    std::map<std::string, int> types;
    std::string text;
    std::string result;
    std::vector<Output> outputs;
    std::set<std::string> versions;
    int bad = 0;
};

Heard replay(std::string const& name) {
    Signer const signer("a0436f6c-1916-498b");
    Heard heard;
    for (auto const& [channel, frames] : session(name)) {
        auto message = parse_message(std::vector<std::string_view>(frames.begin(), frames.end()), signer);
        EXPECT_TRUE(message) << (message ? "" : to_string(message.error()));
        if (!message) continue;
        ++heard.types[message->type];
        heard.versions.insert(text_of(message->header, "version"));
        if (channel != "iopub") continue;
        bool bad = false;
        for (auto& output : decode_output(*message, bad)) {
            if (auto const* stream = std::get_if<StreamText>(&output)) heard.text += stream->text;
            if (auto const* result = std::get_if<ExecuteResult>(&output))
                heard.result = text_of(result->data, "text/plain");
            heard.outputs.push_back(std::move(output));
        }
        heard.bad += bad ? 1 : 0;
    }
    return heard;
}

template <class T>
std::vector<T> all(Heard const& heard) {
    std::vector<T> out;
    for (auto const& output : heard.outputs)
        if (auto const* each = std::get_if<T>(&output)) out.push_back(*each);
    return out;
}

TEST(Recorded, Ipykernel) {
    auto const heard = replay("ipykernel-7.4");
    EXPECT_EQ(heard.bad, 0);
    EXPECT_EQ(heard.versions, std::set<std::string>{"5.4"});
    EXPECT_EQ(heard.text, "grüße\n");
    EXPECT_EQ(heard.result, "'Zoë'");
    EXPECT_EQ(heard.types.at("iopub_welcome"), 1);
    EXPECT_EQ(heard.types.at("input_request"), 1);
    EXPECT_EQ(heard.types.at("execute_reply"), 4);
    auto const errors = all<ErrorOutput>(heard);
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_EQ(errors[0].name, "ZeroDivisionError");
    EXPECT_FALSE(errors[0].traceback.empty());
    auto const shown = all<DisplayData>(heard);
    ASSERT_EQ(shown.size(), 2U);
    EXPECT_EQ(shown[0].display_id, "one");
    EXPECT_TRUE(shown[1].update);
    EXPECT_TRUE(all<ClearOutput>(heard).at(0).wait);
    auto const comms = all<CommOutput>(heard);
    ASSERT_EQ(comms.size(), 3U);
    EXPECT_EQ(comms[0].target, "t");
    EXPECT_EQ(comms[0].buffers, std::vector<std::string>{std::string("\x00\x01\xff", 3)});
    EXPECT_EQ(comms[1].buffers, std::vector<std::string>{"abc"});
}

TEST(Recorded, OlderProtocols) {
    for (std::string const name : {"irkernel", "deno"}) {
        auto const heard = replay(name);
        EXPECT_EQ(heard.bad, 0) << name;
        EXPECT_EQ(heard.versions, std::set<std::string>{"5.3"}) << name;
        EXPECT_EQ(heard.text.substr(0, 7), "grüße") << name;
        EXPECT_EQ(all<ErrorOutput>(heard).size(), 1U) << name;
        EXPECT_EQ(heard.types.at("execute_reply"), 2) << name;
        EXPECT_EQ(all<ExecuteInput>(heard).size(), 2U) << name;
    }
}

}  // namespace
}  // namespace execd::kernels
