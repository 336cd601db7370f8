#include "execd/http/chunked.hpp"

#include <gtest/gtest.h>

#include "tests/fuzz/event_log.hpp"

namespace execd::http {
namespace {

std::string log_of(std::string_view body, ChunkedLimits limits = {}) {
    std::string const whole = chunked_log(body, 0, limits);
    for (std::uint32_t step = 1; step <= std::min<std::size_t>(body.size(), 40); ++step)
        EXPECT_EQ(chunked_log(body, step, limits), whole) << "step " << step;
    for (std::uint32_t seed = 1000; seed < 1010; ++seed) EXPECT_EQ(chunked_log(body, seed, limits), whole);
    return whole;
}

TEST(Chunked, DataTrailersAndWhatFollows) {
    EXPECT_EQ(log_of("5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\nGET"), "hello world||used 32");
    EXPECT_EQ(log_of("00A\r\n0123456789\r\n000\r\nX-Sum: 1\r\nB:\r\n\r\n"),
              "0123456789|X-Sum: 1\r\nB:\r\n|used 38");
    EXPECT_EQ(log_of("0\r\n\r\n"), "||used 5");
    EXPECT_EQ(log_of("2\r\n\r\n\r\n0;\r\n\r\n"), "\r\n||used 13");
}

TEST(Chunked, Faults) {
    struct Row {
        std::string body;
        ChunkedFault fault;
    };
    Row const rows[] = {
        {"\r\n", ChunkedFault::bad_size},
        {"x\r\n", ChunkedFault::bad_size},
        {"-1\r\n", ChunkedFault::bad_size},
        {"+1\r\n", ChunkedFault::bad_size},
        {" 1\r\n", ChunkedFault::bad_size},
        {";a\r\n", ChunkedFault::bad_size},
        {"0x1\r\n", ChunkedFault::bad_extension},
        {"1 \r\n", ChunkedFault::bad_extension},
        {"1\t;a\r\n", ChunkedFault::bad_extension},
        {"1;a\x01\r\n", ChunkedFault::bad_extension},
        {std::string("1;\0\r\n", 5), ChunkedFault::bad_extension},
        {"1\n", ChunkedFault::bad_line_end},
        {"1\rx", ChunkedFault::bad_line_end},
        {"1;a\n", ChunkedFault::bad_line_end},
        {"1;a\rb", ChunkedFault::bad_line_end},
        {"1000000000000000\r\n", ChunkedFault::size_overflow},
        {"fffffffffffffffff\r\n", ChunkedFault::size_overflow},
        {"1\r\nab", ChunkedFault::missing_line_end},
        {"1\r\na\n", ChunkedFault::missing_line_end},
        {"1\r\na\rb", ChunkedFault::missing_line_end},
        {"0\r\n\n", ChunkedFault::bad_line_end},
        {"0\r\na: b\n", ChunkedFault::bad_line_end},
        {"0\r\na: b\rc\r\n", ChunkedFault::bad_line_end},
        {"0\r\n a: b\r\n", ChunkedFault::bad_trailer},
        {"0\r\na b\r\n", ChunkedFault::bad_trailer},
        {"0\r\n: b\r\n", ChunkedFault::bad_trailer},
        {"0\r\na : b\r\n", ChunkedFault::bad_trailer},
        {"", ChunkedFault::truncated},
        {"5\r\nhell", ChunkedFault::truncated},
        {"0\r\n", ChunkedFault::truncated},
        {"0\r\na: b\r\n\r", ChunkedFault::truncated},
    };
    for (auto const& row : rows)
        EXPECT_TRUE(log_of(row.body).ends_with("|fault: " + std::string(to_string(row.fault))))
            << row.body << " -> " << log_of(row.body);
}

TEST(Chunked, ExtensionsAndTrailersAreNoFreeChannel) {
    std::string const wide = "1;" + std::string(1000, 'e') + "\r\nx\r\n";
    std::string body;
    for (int i = 0; i < 10; ++i) body += wide;
    EXPECT_TRUE(log_of(body + "0\r\n\r\n").starts_with("xxxxxxxxxx||"));
    for (int i = 0; i < 10; ++i) body += wide;
    EXPECT_TRUE(log_of(body).ends_with("|fault: too much chunk framing for so little data"));
    EXPECT_TRUE(log_of("1;" + std::string(1024, 'e')).ends_with("|fault: chunk line too long"));
    EXPECT_TRUE(log_of(std::string(1025, '0')).ends_with("|fault: chunk size out of range"));
    EXPECT_TRUE(log_of("0\r\na: " + std::string(100, 'b'), {.trailers = 50})
                    .ends_with("|fault: trailers are too large"));
    // One byte a chunk, as slow writers send it, is no abuse.
    std::string slow;
    for (int i = 0; i < 100'000; ++i) slow += "1\r\nx\r\n";
    EXPECT_TRUE(chunked_log(slow + "0\r\n\r\n", 0).ends_with("||used " + std::to_string(slow.size() + 5)));
}

TEST(Chunked, HeadsRoundTrip) {
    EXPECT_EQ(chunk_head(0).view(), "0\r\n");
    EXPECT_EQ(chunk_head(500).view(), "1f4\r\n");
    EXPECT_EQ(chunk_head(UINT64_MAX).view(), "ffffffffffffffff\r\n");
    std::string body;
    std::string data;
    for (std::size_t size = 1; size < 600; size += 7) {
        std::string const piece(size, static_cast<char>('a' + size % 26));
        data += piece;
        body += chunk_head(size).view();
        body += piece;
        body += kChunkEnd;
    }
    body += kLastChunk;
    EXPECT_EQ(log_of(body), data + "||used " + std::to_string(body.size()));
}

}  // namespace
}  // namespace execd::http
