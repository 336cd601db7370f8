// Any parts, cut into any blocks, come out of the parser as they were put in. The contents are made of what a
// parser trips over: pieces of the boundary, line ends, dashes, NUL.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "execd/http/multipart.hpp"

namespace execd::http {
namespace {

struct Part {
    std::string name;
    std::string filename;
    bool is_file = false;
    std::string content;
    friend bool operator==(Part const&, Part const&) = default;
};

std::ostream& operator<<(std::ostream& out, Part const& part) {
    return out << "{" << part.name << ", " << part.filename << ", " << part.is_file << ", "
               << part.content.size() << " bytes: " << ::testing::PrintToString(part.content) << "}";
}

class Random {
  public:
    explicit Random(unsigned seed) : engine_(seed) {}
    std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_); }
    bool once_in(std::size_t n) { return below(n) == 0; }
    std::string of(std::string_view alphabet, std::size_t length) {
        std::string out;
        while (out.size() < length) out += alphabet[below(alphabet.size())];
        return out;
    }

  private:
    std::mt19937 engine_;
};

constexpr std::string_view kBoundaryBytes = "abcXYZ019'()+_,-./:=?";

std::string boundary_of(Random& random) {
    std::string out = random.of(kBoundaryBytes, 1 + random.below(70));
    if (random.once_in(3)) out = random.of("-", 1 + random.below(10));  // dashes only: the worst for a search
    return out;
}

/// Never the delimiter itself, often nearly.
std::string content_of(Random& random, std::string const& boundary) {
    std::string const delimiter = "\r\n--" + boundary;
    std::string out;
    for (std::size_t pieces = random.below(12); pieces > 0; --pieces) switch (random.below(6)) {
            case 0: out += delimiter.substr(0, random.below(delimiter.size())); break;
            case 1: out += "\r\n"; break;
            case 2: out += random.of(std::string_view("\0\r\n-\xff", 5), 1 + random.below(6)); break;
            case 3: out += "--" + boundary; break;  // without its line end it is content
            case 4: out += random.of("\r-", 1 + random.below(80)); break;
            default: out += random.of("some text ", random.below(300));
        }
    // "--boundary" at the very beginning follows the head's line end and so is a delimiter.
    for (std::string whole = "\r\n" + out;; whole = "\r\n" + out) {
        auto const at = whole.find(delimiter);
        if (at == std::string::npos) return out;
        out.erase(at, 1);  // one byte of it, which is the boundary's at the beginning
    }
}

std::string quoted(std::string const& text) {
    std::string out = "\"";
    for (char const c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

std::string written(Random& random, std::vector<Part> const& parts, std::string const& boundary) {
    std::string out;
    if (random.once_in(4)) out += random.of("preamble \t", random.below(40)) + "\r\n";
    for (Part const& part : parts) {
        out += "--" + boundary + random.of(" \t", random.below(3)) + "\r\n";
        if (random.once_in(3)) out += "Content-Type: text/plain\r\n";
        out += random.once_in(2) ? "Content-Disposition: form-data; name="
                                 : "content-disposition:form-data;name=";
        out += quoted(part.name);
        if (part.is_file) out += "; filename=" + quoted(part.filename);
        out += "\r\n\r\n" + part.content + "\r\n";
    }
    out += "--" + boundary + "--";
    if (random.once_in(2)) out += "\r\n" + random.of("epilogue-\r\n", random.below(60));
    return out;
}

std::vector<Part> parsed(Random& random, std::string const& body, std::string const& boundary,
                         std::size_t largest_block, bool& ended) {
    std::vector<Part> out;
    MultipartParser parser(boundary);
    for (std::string_view rest = body; !rest.empty();) {
        std::size_t const size = std::min(rest.size(), 1 + random.below(largest_block));
        // A block of its own on the heap: reading past its end is seen by the sanitizer.
        std::vector<char> const copy(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size));
        std::string_view block(copy.data(), copy.size());
        rest.remove_prefix(size);
        for (auto step = parser.next(block); step.event != MultipartParser::Event::need_more;
             step = parser.next(block)) {
            using enum MultipartParser::Event;
            if (step.event == part_begin)
                out.push_back({parser.part().name, parser.part().filename, parser.part().has_filename, ""});
            if (step.event == data) out.back().content += step.data;
            if (step.event == end || step.event == fault) break;
        }
    }
    ended = parser.finish();
    return out;
}

TEST(MultipartProperty, AnyPartsInAnyBlocksComeOutAsTheyWent) {
    for (unsigned seed = 1; seed <= 600; ++seed) {
        Random random(seed);
        std::string const boundary = boundary_of(random);
        std::vector<Part> parts(random.below(6));
        for (Part& part : parts) {
            part.name = random.of("name[] \"\\;=\xc3\xa9", random.below(12));
            part.is_file = random.once_in(2);
            if (part.is_file) part.filename = random.of("dir/file .\"\\;\xc3\xa9", random.below(20));
            part.content = content_of(random, boundary);
        }
        std::string const body = written(random, parts, boundary);
        for (std::size_t const largest : {std::size_t{1}, std::size_t{7}, std::size_t{100}, body.size()}) {
            bool ended = false;
            auto const got = parsed(random, body, boundary, largest, ended);
            ASSERT_TRUE(ended) << "seed " << seed << ", blocks up to " << largest;
            ASSERT_EQ(got, parts) << "seed " << seed << ", blocks up to " << largest << ", boundary "
                                  << boundary;
        }
    }
}

TEST(MultipartProperty, ABodyThatEndsBeforeItsEndIsNeverWhole) {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        Random random(seed);
        std::string const boundary = boundary_of(random);
        std::vector<Part> const parts{{"a", "f", true, content_of(random, boundary)}, {"b", "", false, "x"}};
        std::string body = written(random, parts, boundary);
        // Shorter than the closing "--": what is cut from the epilogue is nobody's loss.
        body.resize(random.below(body.rfind("--" + boundary + "--") + boundary.size() + 3));
        bool ended = true;
        auto const got = parsed(random, body, boundary, 50, ended);
        EXPECT_FALSE(ended) << "seed " << seed;
        EXPECT_LE(got.size(), parts.size());
    }
}

}  // namespace
}  // namespace execd::http
