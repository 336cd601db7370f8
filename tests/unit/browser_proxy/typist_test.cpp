// Which keys a text is: those that are there, spare ones for the rest, and a rest before one gets a new
// meaning. Then the words of the X protocol, against a server that is a socket of this test.
#include "browser_proxy/typist.hpp"

#include <unistd.h>

#include "base/ids.hpp"
#include "fakes.hpp"

namespace execd::browser_proxy {
namespace {

using namespace std::chrono_literals;
using Kind = Stroke::Kind;

constexpr std::uint32_t kShift = 0xffe1;

// Keys 10: a A, 11: 1 !, 12: Shift, 13 and 14 spare.
KeyTable table() { return {10, 2, {'a', 'A', '1', '!', kShift, 0, 0, 0, 0, 0}}; }

std::string shown(std::string_view text, KeyTable const& keys) {
    std::string out;
    for (Stroke const& one : strokes_for(text, keys)) {
        if (one.kind == Kind::rest) out += "rest ";
        if (one.kind == Kind::bind) out += std::to_string(one.key) + "=" + std::to_string(one.symbol) + " ";
        if (one.kind == Kind::tap) out += (one.shift ? "^" : "") + std::to_string(one.key) + " ";
    }
    return out;
}

TEST(strokes, keys_that_are_there_and_spare_ones) {
    EXPECT_EQ(shown("aA1!", table()), "10 ^10 11 ^11 ");
    EXPECT_EQ(shown("\n", table()), "13=65293 13 ");
    EXPECT_EQ(shown("\u00e4\u00e4a", table()), "13=228 13 13 10 ");
    EXPECT_EQ(shown("\u4e16\U0001f600\u4e16", table()), "13=16797206 13 14=16905728 14 13 ");
}

TEST(strokes, a_key_gets_a_new_meaning_after_a_rest) {
    EXPECT_EQ(shown("bcdb", table()), "13=98 13 14=99 14 rest 13=100 13 14=98 14 ");
}

TEST(strokes, what_an_earlier_text_left_is_used_and_taken_last) {
    KeyTable keys = table();
    keys.symbols[6] = keys.symbols[7] = 0x01004e16;
    EXPECT_EQ(shown("\u4e16", keys), "13 ");
    EXPECT_EQ(shown("\u4e17", keys), "14=16797207 14 ");
    EXPECT_EQ(shown("\u4e17\u4e18", keys), "14=16797207 14 13=16797208 13 ");
}

TEST(strokes, nothing_to_spare_and_no_shift) {
    EXPECT_EQ(shown("ab", {10, 2, {'a', 'A'}}), "");
    EXPECT_EQ(shown("A", {10, 2, {'a', 'A', 0, 0}}), "11=65 11 ");
    EXPECT_EQ(shown("a", {10, 0, {}}), "");
    EXPECT_EQ(shown("a", {10, 2, {'a'}}), "") << "half a row";
}

class TypistTest : public VirtualLoop {
  protected:
    TypistTest() {
        directory_ = "/tmp/execd-t-" + random_hex(6);
        ::mkdir(directory_.c_str(), 0700);
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        (directory_ + "/X7").copy(at.sun_path, sizeof at.sun_path - 1);
        listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr const*>(&at), sizeof at), 0);
        EXPECT_EQ(::listen(listener_.get(), 1), 0);
    }
    ~TypistTest() override {
        ::unlink((directory_ + "/X7").c_str());
        ::rmdir(directory_.c_str());
    }
    static Task<void> type(Loop* loop, std::string directory, std::string text, Deadline deadline,
                           std::optional<Result<void>>* out) {
        out->emplace(co_await type_text(*loop, std::move(directory), 7, std::move(text), 5ms, deadline));
    }
    void begin(std::string text) {
        scope_.spawn("type", type(&loop_, directory_, std::move(text), Deadline::in(clock_, 10s), &out_));
        clock_.settle();
        peer_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        ASSERT_TRUE(peer_);
        clock_.settle();
    }
    std::string heard() {
        clock_.settle();
        char block[8192];
        ssize_t const n = ::recv(peer_.get(), block, sizeof block, 0);
        return n > 0 ? std::string(block, static_cast<std::size_t>(n)) : std::string();
    }
    void answer(std::string bytes) {
        EXPECT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes.size()));
        clock_.settle();
    }
    static std::string reply(char detail, std::string rest, std::uint32_t words = 0) {
        std::string out{'\1', detail, 0, 0};
        for (int i = 0; i < 4; ++i) out += static_cast<char>(words >> (8 * i) & 255);
        rest.resize(24 + words * 4, '\0');
        return out + rest;
    }
    /// Up to the table of keys: 10 is a A, 11 is Shift, 12 is spare.
    void until_keys() {
        EXPECT_EQ(heard(), std::string("l\0\v\0\0\0\0\0\0\0\0\0", 12));
        std::string setup(40, '\0');
        setup[26] = 10;
        setup[27] = 12;
        answer(std::string("\1\0\v\0\0\0\x0a\0", 8) + setup);
        EXPECT_EQ(heard(), std::string("\x62\0\4\0\5\0\0\0XTEST\0\0\0", 16));
        answer(reply(0, std::string("\1\x84", 2)));
        EXPECT_EQ(heard(), std::string("\x65\0\2\0\x0a\3\0\0", 8));
        // News about keys in between.
        answer(std::string("\x22", 1) + std::string(31, '\0'));
        std::string keys(24, '\0');
        for (std::uint32_t const symbol : {std::uint32_t{'a'}, std::uint32_t{'A'}, kShift, 0U, 0U, 0U})
            for (int i = 0; i < 4; ++i) keys += static_cast<char>(symbol >> (8 * i) & 255);
        answer(reply(2, keys, 6));
    }
    static std::string fake(char type, char key, char delay) {
        std::string out("\x84\2\x09\0", 4);
        out += {type, key, 0, 0, delay};
        out.resize(36, '\0');
        return out;
    }

    std::string directory_;
    UniqueFd listener_, peer_;
    std::optional<Result<void>> out_;
    Scope scope_{loop_, "test"};
};

TEST_F(TypistTest, the_words_of_the_protocol) {
    begin("aA\u4e16");
    until_keys();
    std::string const bind("\x64\1\4\0\x0c\2\0\0\x16\x4e\0\1\x16\x4e\0\1", 16);
    EXPECT_EQ(heard(), fake(2, 10, 5) + fake(3, 10, 0) + fake(2, 11, 5) + fake(2, 10, 0) + fake(3, 10, 0) +
                           fake(3, 11, 0) + bind + fake(2, 12, 20) + fake(3, 12, 0) +
                           std::string("\x2b\0\1\0", 4));
    EXPECT_FALSE(out_) << "until the server has done it";
    answer(reply(0, {}));
    ASSERT_TRUE(out_ && *out_);
}

TEST_F(TypistTest, a_server_that_refuses_and_one_that_is_silent) {
    begin("a");
    until_keys();
    (void)heard();
    answer(std::string("\0\x02", 2) + std::string(30, '\0'));
    ASSERT_TRUE(out_ && !*out_);
    EXPECT_EQ(out_->error().code, Code::unavailable);
    out_.reset();
    begin("a");
    clock_.advance(10s);
    ASSERT_TRUE(out_ && !*out_);
    EXPECT_EQ(out_->error().code, Code::timed_out);
}

}  // namespace
}  // namespace execd::browser_proxy
