#include "browser_proxy/typist.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "browser_proxy/talk.hpp"

namespace execd::browser_proxy {

namespace {

constexpr std::uint32_t kShift = 0xffe1;
constexpr std::uint32_t kUnicode = 0x01000000;
constexpr auto kRest = std::chrono::milliseconds(150);
constexpr unsigned kSettle = 20;       // milliseconds after a key got a meaning
constexpr std::size_t kTogether = 32;  // strokes before we wait for the server

char32_t next_point(std::string_view& text) {
    auto const lead = static_cast<unsigned char>(text.front());
    std::size_t const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    char32_t out = size == 1 ? lead : lead & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size && i < text.size(); ++i)
        out = (out << 6) | (static_cast<unsigned char>(text[i]) & 0x3fU);
    text.remove_prefix(std::min(size, text.size()));
    return out;
}

class Hand {
  public:
    explicit Hand(KeyTable const& table) {
        std::vector<std::uint8_t> ours;
        for (unsigned row = 0; table.per_key > 0 && (row + 1) * table.per_key <= table.symbols.size();
             ++row) {
            auto const key = static_cast<std::uint8_t>(table.first + row);
            std::uint32_t const* const symbols = table.symbols.data() + row * table.per_key;
            bool const empty = std::all_of(symbols, symbols + table.per_key, [](auto s) { return s == 0; });
            std::uint32_t const plain = symbols[0], shifted = table.per_key > 1 ? symbols[1] : 0;
            if (empty) spare_.push_back(key);
            // One that an earlier text was given: good as it is, and ours to change.
            if (plain >= kUnicode && plain == shifted) ours.push_back(key);
            if (plain != 0) known_.try_emplace(plain, Place{key, false});
            if (shifted != 0) known_.try_emplace(shifted, Place{key, true});
            if (plain == kShift) has_shift_ = true;
        }
        std::sort(ours.begin(), ours.end());
        spare_.insert(spare_.end(), ours.begin(), ours.end());
    }

    /// False: there is no key for it and none to spare.
    bool add(std::uint32_t symbol, std::vector<Stroke>& out) {
        auto at = known_.find(symbol);
        if (at != known_.end() && at->second.shift && !has_shift_) at = known_.end();
        if (at == known_.end()) {
            if (spare_.empty()) return false;
            if (next_ == spare_.size()) {
                out.push_back({Stroke::Kind::rest, 0, false, 0});
                next_ = 0;
            }
            std::uint8_t const key = spare_[next_++];
            std::erase_if(known_, [key](auto const& one) { return one.second.key == key; });
            out.push_back({Stroke::Kind::bind, key, false, symbol});
            at = known_.insert_or_assign(symbol, Place{key, false}).first;
        }
        out.push_back({Stroke::Kind::tap, at->second.key, at->second.shift, symbol});
        return true;
    }

  private:
    struct Place {
        std::uint8_t key = 0;
        bool shift = false;
    };
    std::map<std::uint32_t, Place> known_;
    std::vector<std::uint8_t> spare_;
    std::size_t next_ = 0;
    bool has_shift_ = false;
};

// Requests, little endian, in the protocol's own layouts.
class Request {
  public:
    Request& byte(unsigned value) {
        bytes_ += static_cast<char>(value);
        return *this;
    }
    Request& half(unsigned value) { return byte(value & 255).byte(value >> 8 & 255); }
    Request& word(std::uint32_t value) { return half(value & 0xffff).half(value >> 16); }
    Request& zeros(std::size_t count) {
        bytes_.append(count, '\0');
        return *this;
    }
    Request& text(std::string_view value) {
        bytes_ += value;
        return *this;
    }
    [[nodiscard]] std::string take() { return std::exchange(bytes_, {}); }

  private:
    std::string bytes_;
};

std::uint32_t word_at(char const* bytes) {
    std::uint32_t out = 0;
    for (unsigned i = 0; i < 4; ++i)
        out |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return out;
}
unsigned byte_at(char const* bytes) { return static_cast<unsigned char>(*bytes); }

class XServer {
  public:
    XServer(Loop& loop, Deadline deadline) : clock_(loop.clock()), talk_(loop, deadline) {}

    Task<Result<void>> open(std::string directory, unsigned display);
    Task<Result<KeyTable>> keys();
    Task<Result<void>> play(std::vector<Stroke> strokes, KeyTable table, unsigned pause);

  private:
    struct Answer {
        unsigned detail = 0;
        std::string bytes;  // from byte 8 on
    };
    Task<Result<Answer>> answer();
    Task<Result<void>> sync();
    void fake(unsigned type, unsigned key, unsigned delay);

    Clock& clock_;
    Talk talk_;
    Request out_;
    unsigned xtest_ = 0;
    unsigned lowest_ = 8, highest_ = 255;
};

Task<Result<void>> XServer::open(std::string directory, unsigned display) {
    auto step = co_await talk_.connect_x(std::move(directory), display);
    if (!step) co_return step;
    out_.byte('l').zeros(1).half(11).zeros(8);
    step = co_await talk_.say(out_.take());
    if (!step) co_return step;
    char head[8] = {};
    step = co_await talk_.hear(head, sizeof head);
    if (!step) co_return step;
    std::string more((byte_at(head + 6) | byte_at(head + 7) << 8) * 4U, '\0');
    step = co_await talk_.hear(more.data(), more.size());
    if (!step) co_return step;
    if (head[0] != 1 || more.size() < 32)
        co_return fail(Code::unavailable, "", "the X server refused the connection");
    lowest_ = byte_at(more.data() + 26);
    highest_ = byte_at(more.data() + 27);
    if (lowest_ < 8 || highest_ < lowest_) co_return fail(Code::unavailable, "", "the X server has no keys");
    // QueryExtension
    out_.byte(98).zeros(1).half(4).half(5).zeros(2).text("XTEST").zeros(3);
    step = co_await talk_.say(out_.take());
    if (!step) co_return step;
    auto found = co_await answer();
    if (!found) co_return Failure(found.error());
    if (byte_at(found->bytes.data()) == 0) co_return fail(Code::unavailable, "", "the X server lacks XTEST");
    xtest_ = byte_at(found->bytes.data() + 1);
    co_return Result<void>();
}

// The next reply; what else comes is news about keys.
Task<Result<XServer::Answer>> XServer::answer() {
    for (;;) {
        char head[32] = {};
        auto step = co_await talk_.hear(head, sizeof head);
        if (!step) co_return Failure(step.error());
        unsigned const kind = byte_at(head) & 0x7f;
        if (kind == 0)
            co_return fail(Code::unavailable, "",
                           "the X server refused a request: error " + std::to_string(byte_at(head + 1)));
        bool const longer = kind == 1 || kind == 35;
        std::uint32_t const words = longer ? word_at(head + 4) : 0;
        if (words > 1U << 20) co_return fail(Code::unavailable, "", "the X server broke its protocol");
        std::string more(std::size_t{words} * 4, '\0');
        step = co_await talk_.hear(more.data(), more.size());
        if (!step) co_return Failure(step.error());
        if (kind != 1) continue;
        Answer out;
        out.detail = byte_at(head + 1);
        out.bytes.assign(head + 8, 24);
        out.bytes += more;
        co_return out;
    }
}

// GetInputFocus: its reply comes when all before it was done.
Task<Result<void>> XServer::sync() {
    out_.byte(43).zeros(1).half(1);
    auto said = co_await talk_.say(out_.take());
    if (!said) co_return said;
    auto heard = co_await answer();
    if (!heard) co_return Failure(heard.error());
    co_return Result<void>();
}

Task<Result<KeyTable>> XServer::keys() {
    unsigned const count = highest_ - lowest_ + 1;
    // GetKeyboardMapping
    out_.byte(101).zeros(1).half(2).byte(lowest_).byte(count).zeros(2);
    auto said = co_await talk_.say(out_.take());
    if (!said) co_return Failure(said.error());
    auto heard = co_await answer();
    if (!heard) co_return Failure(heard.error());
    KeyTable out;
    out.first = lowest_;
    out.per_key = heard->detail;
    std::string_view const bytes = std::string_view(heard->bytes).substr(24);
    if (out.per_key == 0 || bytes.size() < std::size_t{4} * out.per_key * count)
        co_return fail(Code::unavailable, "", "the X server broke its protocol");
    for (std::size_t i = 0; i < std::size_t{out.per_key} * count; ++i)
        out.symbols.push_back(word_at(bytes.data() + 4 * i));
    co_return out;
}

// FakeInput; the server lets `delay` milliseconds pass before it.
void XServer::fake(unsigned type, unsigned key, unsigned delay) {
    out_.byte(xtest_)
        .byte(2)
        .half(9)
        .byte(type)
        .byte(key)
        .zeros(2)
        .word(delay)
        .word(0)
        .zeros(8)
        .half(0)
        .half(0)
        .zeros(8);
}

Task<Result<void>> XServer::play(std::vector<Stroke> strokes, KeyTable table, unsigned pause) {
    constexpr unsigned kPress = 2, kRelease = 3;
    unsigned shift = 0;
    for (std::size_t i = 0; i < table.symbols.size(); i += table.per_key)
        if (table.symbols[i] == kShift && shift == 0)
            shift = table.first + static_cast<unsigned>(i / table.per_key);
    unsigned wait = pause;
    std::size_t together = 0;
    for (Stroke const& stroke : strokes) {
        switch (stroke.kind) {
            case Stroke::Kind::rest: {
                auto done = co_await sync();
                if (!done) co_return done;
                (void)co_await clock_.sleep_for(kRest);
                break;
            }
            case Stroke::Kind::bind:
                // ChangeKeyboardMapping
                out_.byte(100)
                    .byte(1)
                    .half(4)
                    .byte(stroke.key)
                    .byte(2)
                    .zeros(2)
                    .word(stroke.symbol)
                    .word(stroke.symbol);
                wait = std::max(wait, kSettle);
                break;
            case Stroke::Kind::tap:
                if (stroke.shift) {
                    fake(kPress, shift, wait);
                    wait = 0;
                }
                fake(kPress, stroke.key, wait);
                fake(kRelease, stroke.key, 0);
                if (stroke.shift) fake(kRelease, shift, 0);
                wait = pause;
                break;
        }
        if (++together < kTogether) continue;
        together = 0;
        auto done = co_await sync();
        if (!done) co_return done;
    }
    co_return co_await sync();
}

}  // namespace

std::uint32_t keysym_of(char32_t point) noexcept {
    if (point == '\n') return 0xff0d;
    if (point == '\t') return 0xff09;
    bool const latin = (point >= 0x20 && point <= 0x7e) || (point >= 0xa0 && point <= 0xff);
    return latin ? static_cast<std::uint32_t>(point) : kUnicode | static_cast<std::uint32_t>(point);
}

std::vector<Stroke> strokes_for(std::string_view text, KeyTable const& table) {
    Hand hand(table);
    std::vector<Stroke> out;
    while (!text.empty())
        if (!hand.add(keysym_of(next_point(text)), out)) return {};
    return out;
}

Task<Result<void>> type_text(Loop& loop, std::string x_sockets, unsigned display, std::string text,
                             Duration pause, Deadline deadline) {
    if (text.empty()) co_return Result<void>();
    XServer server(loop, deadline);
    auto step = co_await server.open(std::move(x_sockets), display);
    if (!step) co_return step;
    auto table = co_await server.keys();
    if (!table) co_return Failure(table.error());
    auto strokes = strokes_for(text, *table);
    if (strokes.empty()) co_return fail(Code::unavailable, "", "the display has no key to spare");
    auto const milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
    co_return co_await server.play(std::move(strokes), std::move(*table),
                                   static_cast<unsigned>(milliseconds));
}

}  // namespace execd::browser_proxy
