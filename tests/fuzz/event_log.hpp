// What a pull parser says about some bytes, as text that does not depend on how the bytes were cut: the
// property that unit tests and fuzz targets hold the parsers to is "any chunking gives the same log".
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/chunked.hpp"
#include "execd/http/multipart.hpp"
#include "execd/http/ws_codec.hpp"

namespace execd::http {

/// Pieces of `text`: `step` 0 = one piece, below 1000 = pieces of that size, otherwise sizes 1..17 drawn from
/// it.
[[nodiscard]] inline std::vector<std::string_view> cut(std::string_view text, std::uint32_t step) {
    std::vector<std::string_view> out;
    std::uint32_t state = step;
    while (!text.empty()) {
        state = state * 1664525U + 1013904223U;
        std::size_t const size = step == 0 ? text.size() : step < 1000 ? step : 1 + (state >> 16) % 17;
        out.push_back(text.substr(0, size));
        text.remove_prefix(std::min(size, text.size()));
    }
    return out;
}

[[nodiscard]] inline std::string multipart_log(std::string_view boundary, std::string_view body,
                                               std::uint32_t step, MultipartLimits limits = {}) {
    using Event = MultipartParser::Event;
    MultipartParser parser(boundary, limits);
    std::string log;
    for (std::string_view block : cut(body, step)) {
        for (;;) {
            auto const [event, data] = parser.next(block);
            if (event == Event::need_more) break;
            if (event == Event::fault) return log + "fault: " + std::string(to_string(parser.fault()));
            if (event == Event::part_begin) {
                auto const& part = parser.part();
                log += "[" + part.name + (part.has_filename ? "|" + part.filename : "") + "|" +
                       part.content_type + "]";
            }
            if (event == Event::data) log += data;
            if (event == Event::part_end) log += "[/]";
            if (event == Event::end) log += "end";
        }
    }
    if (!parser.finish()) log += "fault: " + std::string(to_string(parser.fault()));
    return log;
}

[[nodiscard]] inline std::string chunked_log(std::string_view body, std::uint32_t step,
                                             ChunkedLimits limits = {}) {
    using Event = ChunkedDecoder::Event;
    ChunkedDecoder decoder(limits);
    std::string log;
    std::size_t used = 0;
    for (std::string_view block : cut(body, step)) {
        std::size_t const before = block.size();
        Event event = Event::need_more;
        do {
            auto const found = decoder.next(block);
            event = found.event;
            log += found.data;
        } while (event == Event::data);
        used += before - block.size();
        if (event == Event::fault) return log + "|fault: " + std::string(to_string(decoder.fault()));
        if (event == Event::end) break;
    }
    if (!decoder.finish()) return log + "|fault: " + std::string(to_string(decoder.fault()));
    return log + "|" + std::string(decoder.trailers()) + "|used " + std::to_string(used);
}

/// The payload of a frame that turned out to be faulty is not logged: how much of it was seen depends on the
/// cut.
[[nodiscard]] inline std::string ws_log(std::string_view bytes, std::uint32_t step,
                                        WsReaderOptions options = {}) {
    using Event = WsReader::Event;
    WsReader reader(options);
    std::string log;
    std::string payload;
    std::string copy(bytes);  // unmasked in place
    for (std::string_view const piece : cut(copy, step)) {
        std::span<char> block(copy.data() + (piece.data() - copy.data()), piece.size());
        for (;;) {
            auto const [event, data] = reader.next(block);
            if (event == Event::need_more) break;
            if (event == Event::fault)
                return log + "fault " + std::to_string(reader.fault().code) + ": " +
                       std::string(reader.fault().text);
            auto const opcode = std::to_string(static_cast<int>(reader.frame().opcode));
            if (event == Event::payload) payload += data;
            if (event == Event::frame_end) {
                log += opcode + (reader.frame().fin ? "." : "-") + payload + "\n";
                payload.clear();
            }
            if (event == Event::ping) log += "ping " + std::string(data) + "\n";
            if (event == Event::pong) log += "pong " + std::string(data) + "\n";
            if (event == Event::close)
                log += "close " + std::to_string(reader.close_code()) + " " + std::string(data);
        }
    }
    return log;
}

}  // namespace execd::http
