// How fast the pure parsers of execd/http are, on one core, without a framework:
//   g++ -O2 -std=c++20 -I. bench/http_parsers.cpp
//   execd/http/{head_scan,target,fields,multipart,chunked,ws_codec,sse}.cpp
//     base/{utf8,error,check}.cpp -lcrypto -o /tmp/http_parsers && /tmp/http_parsers
// Prints the best of several rounds: the machine's noise is not the code's.
#include <chrono>
#include <cstdio>
#include <string>

#include "base/utf8.hpp"
#include "execd/http/chunked.hpp"
#include "execd/http/head_scan.hpp"
#include "execd/http/multipart.hpp"
#include "execd/http/sse.hpp"
#include "execd/http/target.hpp"
#include "execd/http/ws_codec.hpp"

namespace {

using namespace execd::http;

std::uint64_t g_sink = 0;  // keeps the work from being optimised away

template <class Run>
double best_seconds(Run run) {
    double best = 1e9;
    for (int round = 0; round < 7; ++round) {
        auto const start = std::chrono::steady_clock::now();
        run();
        std::chrono::duration<double> const took = std::chrono::steady_clock::now() - start;
        best = std::min(best, took.count());
    }
    return best;
}

template <class Run>
void per_call(char const* what, int calls, Run run) {
    double const seconds = best_seconds([&] {
        for (int i = 0; i < calls; ++i) run();
    });
    std::printf("%-44s %8.0f ns\n", what, seconds / calls * 1e9);
}

template <class Run>
void per_byte(char const* what, std::size_t bytes, Run run) {
    std::printf("%-44s %8.2f GB/s\n", what, static_cast<double>(bytes) / best_seconds(run) / 1e9);
}

std::string random_bytes(std::size_t size) {
    std::string out(size, '\0');
    std::uint64_t state = 1;
    for (char& c : out) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        c = static_cast<char>(state >> 56);
    }
    return out;
}

void heads() {
    std::string const small =
        "GET /ping HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nUser-Agent: curl/7.88.1\r\n\r\n";
    std::string const large =
        "GET /files/info?path=%2Fworkspace%2Fmain.py HTTP/1.1\r\nHost: 127.0.0.1:44772\r\nConnection: "
        "keep-alive\r\n"
        "sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/128.0.0.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
        "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nX-EXECD-ACCESS-TOKEN: "
        "0123456789abcdef\r\n\r\n";
    for (auto const& head : {small, large}) {
        std::printf("head of %zu bytes\n", head.size());
        per_call("  find_head_end", 200'000, [&] {
            std::size_t resume = 0;
            g_sink += *find_head_end(head, resume);
        });
        per_call("  scan_head", 200'000, [&] { g_sink += scan_head(head).fields; });
    }
    per_call("parse_target /files/info?...", 200'000,
             [&] { g_sink += parse_target("/files/info?path=%2Fworkspace%2Fmain.py")->segments.size(); });
    per_call("parse_query path=%2Fworkspace%2Fmain.py", 200'000,
             [&] { g_sink += parse_query("path=%2Fworkspace%2Fmain.py")->size(); });
}

void multipart_body(char const* what, std::string const& data) {
    std::string const boundary = "opensandbox_0123456789abcdef_1700000000";
    std::string const body = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n" +
                             data + "\r\n--" + boundary + "--\r\n";
    per_byte(what, body.size(), [&] {
        MultipartParser parser(boundary);
        for (std::size_t at = 0; at < body.size(); at += 256 * 1024) {
            std::string_view block = std::string_view(body).substr(at, 256 * 1024);
            for (;;) {
                auto const step = parser.next(block);
                if (step.event == MultipartParser::Event::need_more) break;
                g_sink += step.data.size();
            }
        }
        if (!parser.finish()) std::puts("truncated?");
    });
}

void bodies() {
    constexpr std::size_t kSize = 64 << 20;
    std::string random = random_bytes(kSize);
    multipart_body("multipart, random bytes, 256 KiB blocks", random);
    multipart_body("multipart, text lines with CRLF", [] {
        std::string text;
        while (text.size() < kSize) text += "a line of forty bytes, more or less ...\r\n";
        return text;
    }());
    multipart_body("multipart, nothing but CR", std::string(kSize, '\r'));
    std::string chunked;
    for (std::size_t at = 0; at < kSize; at += 16 * 1024) {
        chunked += chunk_head(16 * 1024).view();
        chunked.append(random, at, 16 * 1024);
        chunked += kChunkEnd;
    }
    chunked += kLastChunk;
    per_byte("chunked, 16 KiB chunks", chunked.size(), [&] {
        ChunkedDecoder decoder;
        std::string_view block = chunked;
        while (decoder.next(block).event == ChunkedDecoder::Event::data) ++g_sink;
    });
    constexpr WsMask kMask{1, 2, 3, 4};
    per_byte("ws_mask, 64 MiB", kSize, [&] { ws_mask(random, kMask); });
    per_byte("ws_mask, 64 KiB in cache, odd start", 1000 * (65536 - 1), [&] {
        for (int i = 0; i < 1000; ++i) ws_mask(std::span<char>(random).subspan(1, 65535), kMask);
    });
    std::string const text(kSize, 'x');
    per_byte("Utf8Check, ASCII", kSize, [&] {
        execd::Utf8Check check;
        g_sink += check.push(text) ? 1 : 0;
    });
    std::string framed;
    framed.reserve(kSize + 16);
    per_byte("append_bare_json, ASCII", kSize, [&] {
        framed.clear();
        append_bare_json(framed, text);
    });
    per_byte("append_sse, ASCII", kSize, [&] {
        framed.clear();
        append_sse(framed, {.data = text});
    });
}

void frames() {
    std::string bytes;
    WsFrame head{.opcode = WsOpcode::binary, .masked = true, .mask = {1, 2, 3, 4}, .length = 64};
    for (int i = 0; i < 1000; ++i) {
        bytes += ws_frame_head(head).view();
        bytes.append(64, 'x');
    }
    per_call("1000 frames of 64 bytes", 200, [&] {
        WsReader reader;
        std::span<char> block(bytes);
        while (reader.next(block).event != WsReader::Event::need_more) ++g_sink;
    });
    per_call("ws_accept", 20'000, [&] { g_sink += ws_accept("dGhlIHNhbXBsZSBub25jZQ==").size(); });
}

}  // namespace

int main() {
    heads();
    bodies();
    frames();
    return g_sink == 0 ? 1 : 0;
}
