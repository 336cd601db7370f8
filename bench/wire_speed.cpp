// Speed of the wire code on hot paths: the string escaper, the parser, decode and encode of a typical
// request.
//   g++ -std=c++20 -O2 -I. bench/wire_speed.cpp execd/http/wire/*.cpp base/check.cpp -lre2 -pthread &&
//   ./a.out
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/encode.hpp"

namespace bench {
struct Run {
    std::string command;
    std::int64_t timeout = 0;
    bool background = false;
    std::optional<std::string> cwd;
    std::map<std::string, std::string> envs;
};
BOOST_DESCRIBE_STRUCT(Run, (), (command, timeout, background, cwd, envs))
constexpr auto wire_notes(Run const*) {
    return execd::wire::notes(
        {{.field = "command", .min_len = 1}, {.field = "timeout", .min = 0, .defaulted = true}});
}

template <class F>
double seconds_each(F&& once) {
    using Clock = std::chrono::steady_clock;
    std::size_t rounds = 0;
    auto const start = Clock::now();
    std::chrono::duration<double> took{};
    do {
        for (int i = 0; i < 100; ++i) once();
        rounds += 100;
        took = Clock::now() - start;
    } while (took.count() < 0.3);
    return took.count() / static_cast<double>(rounds);
}

void escaping(char const* name, std::string const& line, execd::wire::Escape set) {
    std::string out;
    auto const each = seconds_each([&] {
        out.clear();
        execd::wire::append_json_string(out, line, set);
    });
    std::printf("escape %-22s %6zu bytes: %8.1f ns, %6.2f GB/s\n", name, line.size(), each * 1e9,
                static_cast<double>(line.size()) / each / 1e9);
}

std::string repeated(std::string_view piece, std::size_t size) {
    std::string out;
    while (out.size() < size) out += piece;
    out.resize(size);
    return out;
}
}  // namespace bench

int main() {
    using namespace execd::wire;
    auto const all = Escape::html | Escape::line_separators;
    bench::escaping("plain", bench::repeated("some output of a build ", 8192), Escape::line_separators);
    bench::escaping("plain, html", bench::repeated("some output of a build ", 8192), all);
    bench::escaping("plain", bench::repeated("some output of a build ", 100), all);
    bench::escaping("plain", bench::repeated("ok", 8), all);
    bench::escaping("colours", bench::repeated("\x1b[32mPASS\x1b[0m some/test/file.cpp:12\n", 8192), all);
    bench::escaping("Chinese", bench::repeated("\xE4\xB8\xAD\xE6\x96\x87", 8190), all);
    bench::escaping("random bytes", bench::repeated("\xff\x00\x80\x12\xfe", 8192), all);
    std::string const body =
        R"({"command":"python3 -c 'print(1)'","timeout":30000,"background":false,"cwd":"/home/user/project","envs":{"A":"b","PATH":"/usr/bin:/bin","LANG":"C.UTF-8"}})";
    auto const parse = bench::seconds_each([&] { (void)parse_json(body); });
    auto const theirs = bench::seconds_each([&] { (void)Json::parse(body); });
    auto const tree = *parse_json(body);
    bench::Run run;
    Faults faults;
    auto const decoding = bench::seconds_each([&] { decode(run, Sources{.body = &tree}, {}, faults); });
    std::string out;
    auto const encoding = bench::seconds_each([&] {
        out.clear();
        encode(run, {}, out);
    });
    std::printf("%zu-byte request: parse %.2f us (library %.2f us), decode %.2f us, encode %.2f us\n",
                body.size(), parse * 1e6, theirs * 1e6, decoding * 1e6, encoding * 1e6);
    return faults.empty() ? 0 : 1;
}
