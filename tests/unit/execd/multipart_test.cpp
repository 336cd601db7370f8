#include "execd/http/multipart.hpp"

#include <gtest/gtest.h>

#include "tests/fuzz/event_log.hpp"

namespace execd::http {
namespace {

// The log of this body, which must be the same at every chunking.
std::string log_of(std::string_view body, std::string_view boundary = "b", MultipartLimits limits = {}) {
    std::string const whole = multipart_log(boundary, body, 0, limits);
    for (std::uint32_t step = 1; step <= std::min<std::size_t>(body.size(), 90); ++step)
        EXPECT_EQ(multipart_log(boundary, body, step, limits), whole) << "step " << step;
    for (std::uint32_t seed = 1000; seed < 1020; ++seed)
        EXPECT_EQ(multipart_log(boundary, body, seed, limits), whole) << "seed " << seed;
    return whole;
}

TEST(Multipart, PartsWithNamesFilesAndTypes) {
    EXPECT_EQ(log_of("--b\r\nContent-Disposition: form-data; name=\"metadata\"; filename=\"metadata\"\r\n"
                     "content-type: application/json\r\n\r\n{\"path\":\"/a\"}\r\n"
                     "--b\r\nContent-Disposition: form-data; name=file; filename=\"/tmp/\xC3\xA9 "
                     "\\\"x\\\".txt\"\r\n\r\n"
                     "line\r\n--\r\n-b\r\n--c\r\r\n\r\n--b--\r\nepilogue --b\r\n--b\r\n"),
              "[metadata|metadata|application/json]{\"path\":\"/a\"}[/]"
              "[file|/tmp/\xC3\xA9 \"x\".txt|]line\r\n--\r\n-b\r\n--c\r\r\n[/]end");
}

TEST(Multipart, ExtendedFileNamesWinAndEmptyNamesCount) {
    EXPECT_EQ(
        log_of("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"; "
               "filename*=UTF-8''%e2%82%ac\r\n"
               "\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"g\"; filename=\"\"\r\n\r\n\r\n--b--"),
        "[f|\xE2\x82\xAC|]1[/][g||][/]end");
}

TEST(Multipart, EmptyPartsAndForms) {
    EXPECT_EQ(log_of("--b--"), "end");
    EXPECT_EQ(log_of("--b--\r\n"), "end");
    EXPECT_EQ(log_of("--b\r\n\r\n\r\n--b\r\n\r\nx\r\n--b--"), "[|][/][|]x[/]end");
    // A part without the empty line: the line end after its headers is the delimiter's.
    EXPECT_EQ(log_of("--b\r\nA: b\r\n\r\n--b--"), "[|][/]end");
    EXPECT_EQ(log_of("--b\r\n\r\n--b\r\n\r\n-\r\n--b--"), "[|][/][|]-[/]end");
}

TEST(Multipart, PreambleAndPadding) {
    EXPECT_EQ(log_of("hello\r\n--a\r\n-\r\n--b \t\r\n\r\nx\r\n--b-- \r\n"), "[|]x[/]end");
    EXPECT_EQ(log_of("x--b\r\n--b\r\n\r\ny\r\n--b--"), "[|]y[/]end");
    EXPECT_EQ(log_of("-\r\n--b\r\n\r\ny\r\n--b--"), "[|]y[/]end");
    EXPECT_EQ(log_of("12345\r\n--b--", "b", {.preamble = 4}),
              "fault: too much text before the first multipart part");
}

TEST(Multipart, DataFullOfAlmostDelimiters) {
    std::string const data = "\r\r\n\r\n-\r\n--\r\n--boundary\r\n--boundar\r\n--boundary-1\r\r\n--boundary-";
    EXPECT_EQ(log_of("--boundary-12\r\n\r\n" + data + "\r\n--boundary-12--", "boundary-12"),
              "[|]" + data + "[/]end");
}

TEST(Multipart, TruncationIsSeenEverywhere) {
    std::string const body =
        "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\ndata\r\n--b\r\n\r\nx\r\n--b--";
    for (std::size_t size = 0; size < body.size(); ++size)
        EXPECT_TRUE(log_of(body.substr(0, size)).ends_with("fault: the multipart body ends too early"))
            << size;
    EXPECT_EQ(log_of(body), "[f|]data[/][|]x[/]end");
}

TEST(Multipart, Faults) {
    EXPECT_EQ(log_of("--bx\r\n\r\n"), "fault: malformed multipart boundary line");
    EXPECT_EQ(log_of("--b-x"), "fault: malformed multipart boundary line");
    EXPECT_EQ(log_of("--b\rx"), "fault: malformed multipart boundary line");
    EXPECT_EQ(log_of("--b\n\n"), "fault: malformed multipart boundary line");
    EXPECT_EQ(log_of("--b" + std::string(1000, ' ')), "fault: malformed multipart boundary line");
    for (std::string const head :
         {"no colon\r\n\r\n", ": x\r\n\r\n", "a b: c\r\n\r\n", "a: b\nc\r\n\r\n", "a: b\r\n c\r\n\r\n",
          "Content-Disposition: form-data; name\r\n\r\n", "a: \x01\r\n\r\n"})
        EXPECT_EQ(log_of("--b\r\n" + head), "fault: malformed multipart part header") << head;
    for (std::string const boundary : {"", "a\r", "a ", "\xC3\xA9"})
        EXPECT_EQ(log_of("--b--", boundary), "fault: malformed multipart boundary") << boundary;
    EXPECT_EQ(log_of("--b--", std::string(71, 'b')), "fault: malformed multipart boundary");
    EXPECT_EQ(log_of("--" + std::string(70, 'b') + "--", std::string(70, 'b')), "end");
}

TEST(Multipart, Limits) {
    std::string const part = "--b\r\nA: b\r\n\r\nx\r\n";
    EXPECT_EQ(log_of(part + part + "--b--", "b", {.parts = 2}), "[|]x[/][|]x[/]end");
    EXPECT_EQ(log_of(part + part + part + "--b--", "b", {.parts = 2}),
              "[|]x[/][|]x[/]fault: too many multipart parts");
    EXPECT_EQ(log_of(part + "--b--", "b", {.part_head = 8}), "[|]x[/]end");
    EXPECT_EQ(log_of(part + "--b--", "b", {.part_head = 7}),
              "fault: the headers of a multipart part are too large");
    EXPECT_EQ(log_of("--b\r\nA: b\r\nC: d\r\n\r\n", "b", {.part_fields = 1}),
              "fault: malformed multipart part header");
}

TEST(Multipart, LargeDataIsHandedOutWithoutCopies) {
    std::string body = "--b\r\n\r\n" + std::string(1 << 20, 'x') + "\r\n--b--";
    MultipartParser parser("b");
    std::string_view block = body;
    EXPECT_EQ(parser.next(block).event, MultipartParser::Event::part_begin);
    auto const step = parser.next(block);
    EXPECT_EQ(step.event, MultipartParser::Event::data);
    EXPECT_EQ(step.data.data(), body.data() + 7);
    EXPECT_EQ(step.data.size(), 1U << 20);
    EXPECT_EQ(parser.next(block).event, MultipartParser::Event::part_end);
    EXPECT_EQ(parser.next(block).event, MultipartParser::Event::end);
    EXPECT_TRUE(parser.finish());
}

}  // namespace
}  // namespace execd::http
