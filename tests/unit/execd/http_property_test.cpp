// Properties of whole connections: how bytes were cut never changes an answer; Beast's parser and ours never
// disagree about a head that ours accepts; whatever operation fails, nothing leaks and others are served.
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <netinet/in.h>
#include <unistd.h>

#include <random>

#include "base/fault.hpp"
#include "base/ledger.hpp"
#include "execd/http/head_scan.hpp"
#include "http_harness.hpp"
#include "tests/fuzz/event_log.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

Task<Result<Answer>> digest(Call& call) {
    std::string text(call.head->method);
    text += " " + call.param("rest") + "?" + std::string(call.head->query) + "\n";
    auto body = co_await call.body->read_all(1U << 20);
    if (!body) co_return Failure(body.error());
    co_return Answer::bytes(200, "text/plain", text + *body);
}

std::vector<Row> rows() {
    Row small = async_row("POST", "/small/{rest...}", [](Call& call) { return digest(call); });
    small.body_limit = 8;
    return {sync_row("GET", "/ping",
                     [](Call&) -> Result<Answer> { return Answer::bytes(200, "text/plain", "pong"); }),
            async_row("*", "/any/{rest...}", [](Call& call) { return digest(call); }), small};
}

// Whole conversations, good and bad; what follows a refusal must not be served whatever the cut.
std::vector<std::string> conversations() {
    std::string const ping = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
    std::string const host = " HTTP/1.1\r\nHost: x\r\n";
    return {
        ping + ping + "\r\n" + ping,
        "POST /any/a%20b?x=1" + host + "Content-Length: 5\r\n\r\nhello" + ping,
        "PUT /any/c" + host +
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;e=\"q\"\r\n0123456789\r\n0\r\nT: "
            "t\r\n\r\n" +
            ping,
        "POST /any/x" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n" + ping,
        "POST /any/x" + host + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + ping,
        "POST /small/x" + host + "Content-Length: 9\r\n\r\n123456789" + ping,
        "POST /small/x" + host + "Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n" + ping,
        "POST /nope" + host + "Content-Length: 3\r\n\r\nabc" + ping,
        "HEAD /ping" + host + "\r\n" + ping,
        "GET /ping" + host + "Connection: close\r\n\r\n" + ping,
        "GET /ping HTTP/1.0\r\n\r\n" + ping,
        "GET /ping" + host + "A: b\r\n c\r\n\r\n" + ping,
        "GET /ping\nHost: x\n\n" + ping,
        "POST /any/x" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ping,
        "GET /%zz" + host + "\r\n" + ping,
        "POST /any/x" + host + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi" + ping,
        "POST /any/x" + host + "Expect: magic\r\nContent-Length: 2\r\n\r\nhi" + ping,
    };
}

std::string answers_to(std::string_view conversation, std::uint32_t step) {
    Harness h(rows());
    Client c = h.connect();
    std::string got;
    for (std::string_view piece : cut(conversation, step)) {
        c.try_send(piece);
        h.clock.settle();
        got += c.receive();
    }
    for (auto at = got.find("Date: "); at != std::string::npos; at = got.find("Date: ", at))
        got.erase(at, 37);
    for (auto at = got.find("X-Request-Id: "); at != std::string::npos; at = got.find("X-Request-Id: ", at))
        got.erase(at, got.find("\r\n", at) + 2 - at);
    // Whether the client waited is what decides about `100 Continue`: the only thing a cut may change.
    for (auto at = got.find("HTTP/1.1 100"); at != std::string::npos; at = got.find("HTTP/1.1 100", at))
        got.erase(at, std::string_view("HTTP/1.1 100 Continue\r\n\r\n").size());
    return got;
}

TEST(HttpProperty, AnyChunkingOfAnyRequestGivesTheSameAnswer) {
    for (auto const& conversation : conversations()) {
        std::string const whole = answers_to(conversation, 0);
        EXPECT_FALSE(whole.empty()) << conversation;
        std::uint32_t const steps[] = {1, 2, 3, 7, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007};
        for (std::uint32_t const step : steps)
            ASSERT_EQ(answers_to(conversation, step), whole) << "step " << step << " of " << conversation;
    }
}

// ---- Beast's parser as a second opinion
// -----------------------------------------------------------------------------

namespace beast_http = boost::beast::http;

std::vector<std::string> seed_heads() {
    return {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x?y=1 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 12\r\nX-A: b, c\r\n\r\n",
        "PUT /a%2Fb HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
        "DELETE http://a/b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    };
}

std::string mutated(std::string head, std::mt19937& random) {
    static constexpr std::string_view kPieces[] = {"\r\n",
                                                   "\n",
                                                   "\r",
                                                   " ",
                                                   "\t",
                                                   ":",
                                                   ",",
                                                   "\0",
                                                   "Content-Length: 5\r\n",
                                                   "0",
                                                   "chunked",
                                                   "Transfer-Encoding: chunked\r\n",
                                                   "Host: b\r\n",
                                                   "\r\n ",
                                                   "HTTP/1.1",
                                                   "\x7f",
                                                   "\xff",
                                                   "identity, ",
                                                   "Connection: close\r\n",
                                                   "+5",
                                                   "Content-Length: 5, 5\r\n"};
    int const edits = static_cast<int>(1 + random() % 3);
    for (int i = 0; i < edits; ++i) {
        std::size_t const at = random() % head.size();
        switch (random() % 4) {
            case 0: head.insert(at, kPieces[random() % std::size(kPieces)]); break;
            case 1: head.erase(at, 1 + random() % 3); break;
            case 2: head[at] = static_cast<char>(random() % 256); break;
            default: head.insert(at, head.substr(random() % head.size(), 1 + random() % 20));
        }
        if (head.empty()) head = " ";
    }
    return head;
}

// What both read out of a head; fields in lower case, sorted.
struct Reading {
    std::string method, target;
    std::vector<std::string> fields;
    bool chunked = false, keep_alive = false;
    std::optional<std::uint64_t> length;
    bool operator==(Reading const&) const = default;
};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

Reading ours(HeadScan const& scan) {
    Reading out{std::string(scan.method),       std::string(scan.target), {},
                scan.body == BodyKind::chunked, scan.keep_alive,          std::nullopt};
    if (scan.body == BodyKind::length) out.length = scan.content_length;
    for_each_field(scan.field_lines, [&out](std::string_view name, std::string_view value) {
        out.fields.push_back(lower(name) + "=" + std::string(value));
    });
    std::sort(out.fields.begin(), out.fields.end());
    return out;
}

std::optional<Reading> theirs(std::string_view head, boost::beast::error_code& ec) {
    beast_http::request_parser<beast_http::string_body> parser;
    parser.header_limit(1U << 20);
    parser.body_limit(boost::none);
    std::size_t const used = parser.put(boost::asio::buffer(head.data(), head.size()), ec);
    if (ec == beast_http::error::need_more) ec = {};
    if (ec || used != head.size() || !parser.is_header_done()) return std::nullopt;
    auto const& message = parser.get();
    Reading out{std::string(message.method_string()),
                std::string(message.target()),
                {},
                parser.chunked(),
                parser.keep_alive(),
                std::nullopt};
    if (auto const length = parser.content_length()) out.length = *length;
    for (auto const& field : message)
        out.fields.push_back(lower({field.name_string().data(), field.name_string().size()}) + "=" +
                             std::string(field.value()));
    std::sort(out.fields.begin(), out.fields.end());
    return out;
}

TEST(HttpProperty, BeastAgreesWithEveryHeadThatWeAccept) {
    std::mt19937 random(20261121);
    int accepted = 0;
    int stricter = 0;
    for (int i = 0; i < 60'000; ++i) {
        auto const seeds = seed_heads();
        std::string head = seeds[random() % seeds.size()];
        if (i >= static_cast<int>(seeds.size())) head = mutated(std::move(head), random);
        std::size_t resume = 0;
        auto const end = find_head_end(head, resume);
        if (!end) continue;
        head.resize(*end);
        HeadScan const scan = scan_head(head);
        boost::beast::error_code ec;
        auto const other = theirs(head, ec);
        // Beast wants tokens in Connection and Upgrade; here anything else in them is no token that we know.
        if (scan.ok() && (ec == beast_http::error::bad_value || ec == beast_http::error::bad_field)) continue;
        if (!scan.ok()) {
            stricter += other.has_value() ? 1 : 0;
            continue;
        }
        ++accepted;
        ASSERT_TRUE(other) << "accepted here, refused there: " << head;
        Reading const mine = ours(scan);
        EXPECT_EQ(mine.method, other->method) << head;
        EXPECT_EQ(mine.target, other->target) << head;
        EXPECT_EQ(mine.fields, other->fields) << head;
        EXPECT_EQ(mine.chunked, other->chunked) << head;
        EXPECT_EQ(mine.length.value_or(0), other->length.value_or(0)) << head;
        // With contradicting tokens ours closes; it never waits for a request where Beast would have closed.
        EXPECT_TRUE(!mine.keep_alive || other->keep_alive) << head;
    }
    EXPECT_GT(accepted, 5'000);
    EXPECT_GT(stricter, 500) << "the scan is there because Beast alone is too lenient";
}

// ---- every failure point
// -----------------------------------------------------------------------------------------

class FileServer {
  public:
    FileServer() {
        char name[] = "/tmp/execd-http-XXXXXX";
        fd_.reset(::mkstemp(name));
        ::unlink(name);
        std::string const block(1U << 20, 'f');
        EXPECT_EQ(::write(fd_.get(), block.data(), block.size()), static_cast<ssize_t>(block.size()));
    }
    Task<Result<Answer>> get() {
        Answer answer;
        answer.body = FilePart{UniqueFd(::dup(fd_.get())), 0, 1U << 20};
        co_return answer;
    }

  private:
    UniqueFd fd_;
};

// A server over TCP in real time (accept and sendfile are there as well) whose N-th operation of a name
// fails.
class Faulty {
  public:
    Faulty() : h_(rows_with_file()) {
        auto const bound = h_.server->listen_tcp("127.0.0.1", 0);
        EXPECT_TRUE(bound);
        port_ = bound->port;
        h_.server->start();
    }

    /// True when there was an N-th operation.
    bool strike(std::string_view name, std::uint64_t n) {
        fault::arm(std::string(name), n, name == "accept" ? EMFILE : ENOMEM);
        Client c = dial();
        c.try_send("POST /any/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" +
                   std::string(100'000, 'b') + "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
        std::string got;
        // The pool's threads run in real time: a bounded number of turns, not a sleep.
        auto const until = std::chrono::steady_clock::now() + 2s;
        while (got.size() < (1U << 20) + 100'000 && !c.closed() && std::chrono::steady_clock::now() < until) {
            turn();
            h_.clock.advance(10ms);
            got += c.receive();
            bool const refused =
                got.find("\r\n\r\n") != std::string::npos && got.find("error") != std::string::npos;
            if (fault::struck() && refused) break;
        }
        bool const struck = fault::struck();
        fault::disarm();
        return struck;
    }
    void expect_served_and_nothing_held() {
        auto const gone = std::chrono::steady_clock::now() + 5s;
        while (h_.server->connections() > 0 && std::chrono::steady_clock::now() < gone) turn();
        EXPECT_EQ(h_.server->connections(), 0U);
        EXPECT_EQ(body_of(h_.ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")), "pong");
        h_.clock.advance(10s);
        EXPECT_EQ(h_.server->budget().held(), 0U);
    }

  private:
    std::vector<Row> rows_with_file() {
        std::vector<Row> all = rows();
        all.push_back(async_row("GET", "/file", [this](Call&) { return files_.get(); }));
        return all;
    }
    Client dial() const {
        int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port_);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
        return Client(fd);
    }
    void turn() {
        h_.io.restart();
        h_.io.run_one_for(1ms);
    }

    FileServer files_;
    Harness h_;
    unsigned short port_ = 0;
};

TEST(HttpFaults, AnyNthOperationFailsAndOthersAreServed) {
    for (char const* name : {"accept", "http.read", "http.write", "buffer", "sendfile"}) {
        std::string const before = ledger::report();
        std::uint64_t points = 0;
        for (std::uint64_t n = 1;; ++n) {
            SCOPED_TRACE(std::string(name) + " " + std::to_string(n));
            bool struck = false;
            {
                Faulty server;
                struck = server.strike(name, n);
                server.expect_served_and_nothing_held();
            }
            EXPECT_EQ(ledger::report(), before);
            if (!struck) break;
            points = n;
            ASSERT_LT(n, 200U);
        }
        EXPECT_GT(points, 0U) << name << " was never reached";
        RecordProperty(name, static_cast<int>(points));
    }
}

}  // namespace
}  // namespace execd::http
