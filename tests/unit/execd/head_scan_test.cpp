#include "execd/http/head_scan.hpp"

#include <gtest/gtest.h>

namespace execd::http {
namespace {

using namespace std::string_literals;

HeadFault fault_of(std::string_view head) { return scan_head(head).fault; }

std::string post(std::string const& lines) { return "POST /x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"; }

TEST(HeadScan, AUsualRequest) {
    std::string const head =
        "POST /a/b?c=%20 HTTP/1.1\r\nHost: example.org:8080\r\nConnection: keep-alive, Upgrade\r\n"
        "Upgrade: websocket\r\nContent-Length:  12 \r\nExpect: 100-Continue\r\nX-Text: "
        "caf\xC3\xA9\ttab\r\n\r\n";
    HeadScan const scan = scan_head(head);
    ASSERT_TRUE(scan.ok()) << scan.text();
    EXPECT_EQ(scan.method, "POST");
    EXPECT_EQ(scan.target, "/a/b?c=%20");
    EXPECT_EQ(scan.host, "example.org:8080");
    EXPECT_EQ(scan.minor, 1);
    EXPECT_EQ(scan.body, BodyKind::length);
    EXPECT_EQ(scan.content_length, 12U);
    EXPECT_EQ(scan.expect, Expectation::continue_100);
    EXPECT_TRUE(scan.keep_alive);
    EXPECT_TRUE(scan.upgrade);
    EXPECT_EQ(scan.fields, 6);
    std::string seen;
    for_each_field(scan.field_lines, [&](std::string_view name, std::string_view value) {
        seen += std::string(name) + "=" + std::string(value) + ";";
    });
    EXPECT_EQ(seen,
              "Host=example.org:8080;Connection=keep-alive, Upgrade;Upgrade=websocket;Content-Length=12;"
              "Expect=100-Continue;X-Text=caf\xC3\xA9\ttab;");
}

TEST(HeadScan, TheSmugglingCorpusIsRefused) {
    struct Row {
        std::string head;
        HeadFault fault;
    };
    Row const rows[] = {
        {post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), HeadFault::transfer_and_length},
        {post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), HeadFault::transfer_and_length},
        {post("Transfer-Encoding: identity\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: xchunked\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: chunked, chunked\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: gzip, chunked\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: chunked;a=b\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: \"chunked\"\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding:\r\n"), HeadFault::unknown_transfer},
        {post("Transfer-Encoding: \x0b"
              "chunked\r\n"),
         HeadFault::control_byte},
        {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), HeadFault::duplicate_transfer},
        {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
         HeadFault::duplicate_transfer},
        {post("Transfer-Encoding : chunked\r\n"), HeadFault::space_before_colon},
        {post("Transfer-Encoding\t: chunked\r\n"), HeadFault::space_before_colon},
        {post("Transfer-Encoding\r\n : chunked\r\n"), HeadFault::bad_name},
        {post("X: y\r\nTransfer-Encoding:\r\n chunked\r\n"), HeadFault::unknown_transfer},
        {post("X: y\r\n chunked\r\n"), HeadFault::folded_line},
        {post("X: y\r\n\tchunked\r\n"), HeadFault::folded_line},
        {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HeadFault::transfer_on_http10},
        {post("Content-Length: 3\r\nContent-Length: 3\r\n"), HeadFault::duplicate_length},
        {post("Content-Length: 3\r\nContent-Length: 4\r\n"), HeadFault::duplicate_length},
        {post("Content-Length: 3, 3\r\n"), HeadFault::duplicate_length},
        {post("Content-Length: +3\r\n"), HeadFault::bad_length},
        {post("Content-Length: -3\r\n"), HeadFault::bad_length},
        {post("Content-Length: 0x3\r\n"), HeadFault::bad_length},
        {post("Content-Length: 3 4\r\n"), HeadFault::bad_length},
        {post("Content-Length: \r\n"), HeadFault::bad_length},
        {post("Content-Length: 9223372036854775808\r\n"), HeadFault::length_overflow},
        {post("Content-Length: 99999999999999999999999\r\n"), HeadFault::length_overflow},
        {post("Host: a\r\n"), HeadFault::duplicate_host},
        {post("X: a\nContent-Length: 3\r\n"), HeadFault::bare_line_end},
        {post("X: a\rContent-Length: 3\r\n"), HeadFault::bare_line_end},
        {"GET / HTTP/1.1\nHost: a\n\n", HeadFault::bare_line_end},
        {post("X: a\0b\r\n"s), HeadFault::control_byte},
        {post("X\0: a\r\n"s), HeadFault::control_byte},
        {post("X: \x7F\r\n"), HeadFault::control_byte},
        {post(": a\r\n"), HeadFault::bad_name},
        {post("no colon\r\n"), HeadFault::bad_name},
        {post("nocolon\r\n"), HeadFault::bad_name},
        {post("a@b: c\r\n"), HeadFault::bad_name},
        {post("caf\xC3\xA9: c\r\n"), HeadFault::bad_name},
    };
    for (auto const& row : rows) {
        EXPECT_EQ(fault_of(row.head), row.fault) << row.head << to_string(fault_of(row.head));
        EXPECT_EQ(status_of(row.fault), row.fault == HeadFault::unknown_transfer ? 501U : 400U);
    }
}

TEST(HeadScan, StartLines) {
    auto const fault = [](std::string const& line) { return fault_of(line + "\r\nHost: a\r\n\r\n"); };
    EXPECT_EQ(fault("GET / HTTP/1.1"), HeadFault::none);
    EXPECT_EQ(fault("M-SEARCH * HTTP/1.1"), HeadFault::none);
    EXPECT_EQ(fault("GET /caf\xC3\xA9|{} HTTP/1.1"), HeadFault::none);
    EXPECT_EQ(fault("GET / HTTP/2.0"), HeadFault::bad_version);
    EXPECT_EQ(fault("GET / HTTP/1.2"), HeadFault::bad_version);
    EXPECT_EQ(fault("GET / HTTP/0.9"), HeadFault::bad_version);
    EXPECT_EQ(fault("GET / http/1.1"), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET / HTTP/1.1 "), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET  / HTTP/1.1"), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET /"), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET"), HeadFault::bad_start_line);
    EXPECT_EQ(fault(""), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET\t/ HTTP/1.1"), HeadFault::bad_start_line);
    EXPECT_EQ(fault("GET / a HTTP/1.1"), HeadFault::bad_start_line);
    EXPECT_EQ(fault(" GET / HTTP/1.1"), HeadFault::bad_start_line);
    EXPECT_EQ(fault("G(T / HTTP/1.1"), HeadFault::bad_method);
    EXPECT_EQ(fault("GET /#a HTTP/1.1"), HeadFault::bad_target);
    EXPECT_EQ(fault("GET /\x01 HTTP/1.1"), HeadFault::control_byte);
    EXPECT_EQ(fault("GET /\r HTTP/1.1"), HeadFault::bare_line_end);
    EXPECT_EQ(fault(std::string(33, 'A') + " / HTTP/1.1"), HeadFault::bad_method);
    EXPECT_EQ(status_of(HeadFault::bad_version), 505U);
}

TEST(HeadScan, Hosts) {
    auto const fault = [](std::string const& host) {
        return fault_of("GET / HTTP/1.1\r\nHost:" + host + "\r\n\r\n");
    };
    for (char const* const good : {"", " a", " a:1", "[::1]:80", "my_host.local:65535", "a:"})
        EXPECT_EQ(fault(good), HeadFault::none) << good;
    for (char const* const bad :
         {"a b", "a,b", "u@a", "a/b", "a:65536", "a:x", "[::1", "[::1]x", ":80", "a:1:2"})
        EXPECT_EQ(fault(bad), HeadFault::bad_host) << bad;
    EXPECT_EQ(fault_of("GET / HTTP/1.1\r\n\r\n"), HeadFault::missing_host);
    EXPECT_EQ(fault_of("GET / HTTP/1.0\r\n\r\n"), HeadFault::none);
}

TEST(HeadScan, LimitsAnswerWithTheirStatus) {
    HeadLimits limits;
    limits.head = 100;
    EXPECT_EQ(scan_head(post("X: " + std::string(100, 'x') + "\r\n"), limits).status(), 431U);
    limits = {};
    limits.target = 10;
    EXPECT_EQ(scan_head("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n", limits).status(), 0U);
    EXPECT_EQ(scan_head("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n", limits).status(), 414U);
    limits = {};
    limits.fields = 2;
    EXPECT_TRUE(scan_head(post("X: y\r\n"), limits).ok());
    EXPECT_EQ(scan_head(post("X: y\r\nY: z\r\n"), limits).fault, HeadFault::too_many_fields);
    EXPECT_EQ(scan_head(post("X: y\r\nY: z\r\n"), limits).status(), 431U);
}

TEST(HeadScan, KeepAliveAndExpectations) {
    auto const scan = [](std::string const& version, std::string const& lines) {
        return scan_head("GET / HTTP/" + version + "\r\nHost: a\r\n" + lines + "\r\n");
    };
    EXPECT_TRUE(scan("1.1", "").keep_alive);
    EXPECT_FALSE(scan("1.1", "Connection: foo, CLOSE\r\n").keep_alive);
    EXPECT_FALSE(scan("1.1", "Connection: keep-alive\r\nConnection: close\r\n").keep_alive);
    EXPECT_FALSE(scan("1.0", "").keep_alive);
    EXPECT_TRUE(scan("1.0", "Connection: Keep-Alive\r\n").keep_alive);
    EXPECT_FALSE(scan("1.1", "Connection: upgrade\r\n").upgrade);
    EXPECT_FALSE(scan("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n").upgrade);
    EXPECT_EQ(scan("1.1", "Expect: bread\r\n").expect, Expectation::other);
    EXPECT_EQ(scan("1.0", "Expect: 100-continue\r\n").expect, Expectation::none);
    EXPECT_EQ(scan("1.1", "Transfer-Encoding: CHUNKED\r\n").body, BodyKind::chunked);
    EXPECT_EQ(scan("1.1", "Content-Length: 0\r\n").body, BodyKind::length);
}

TEST(HeadScan, AnswersOfUpstreams) {
    auto const scan = [](std::string const& head, bool to_head = false) {
        return scan_response_head(head, to_head);
    };
    HeadScan const ok = scan_response_head("HTTP/1.1 200 All good\r\nContent-Length: 5\r\n\r\n", false);
    EXPECT_EQ(ok.status_code, 200);
    EXPECT_EQ(ok.reason, "All good");
    EXPECT_EQ(ok.body, BodyKind::length);
    EXPECT_EQ(scan("HTTP/1.1 204\r\n\r\n").body, BodyKind::none);
    EXPECT_EQ(scan("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n").body, BodyKind::none);
    EXPECT_EQ(scan("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", true).body, BodyKind::none);
    EXPECT_EQ(scan("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").body, BodyKind::chunked);
    EXPECT_EQ(scan("HTTP/1.0 200 OK\r\n\r\n").body, BodyKind::until_close);
    EXPECT_FALSE(scan("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
    EXPECT_EQ(scan("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade, true);
    EXPECT_EQ(scan("HTTP/1.1 20 OK\r\n\r\n").fault, HeadFault::bad_start_line);
    EXPECT_EQ(scan("HTTP/1.1 2000 OK\r\n\r\n").fault, HeadFault::bad_start_line);
    EXPECT_EQ(scan("HTTP/1.1 200 O\x01K\r\n\r\n").fault, HeadFault::control_byte);
    EXPECT_EQ(scan("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n").fault,
              HeadFault::duplicate_length);
    EXPECT_EQ(scan("ICY 200 OK\r\n\r\n").fault, HeadFault::bad_start_line);
}

TEST(FindHeadEnd, GrowingBuffersGiveTheSameEnd) {
    for (std::string const head :
         {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "a\nb\r\n\n", "\n\n"}) {
        std::string const buffer = head + "rest\r\n\r\n";
        std::size_t whole = 0;
        EXPECT_EQ(find_head_end(buffer, whole), head.size());
        std::size_t resume = 0;
        for (std::size_t size = 0; size < head.size(); ++size)
            EXPECT_EQ(find_head_end(std::string_view(buffer).substr(0, size), resume), std::nullopt) << size;
        EXPECT_EQ(find_head_end(std::string_view(buffer).substr(0, head.size()), resume), head.size());
    }
    EXPECT_EQ(leading_empty_line("\r\nGET"), 2U);
    EXPECT_EQ(leading_empty_line("GET"), 0U);
}

}  // namespace
}  // namespace execd::http
