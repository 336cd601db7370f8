// usage: load KIND PORT HEADERS MEASUREMENT WORDS...   one measurement, {"name":[samples]} on standard output
//        load serve | blast BYTES LINE | emit COUNT MS | idle PORT | display | vnc | hold
//
// KIND is raw (a floor: PORT is ignored), execd, jupyter, nginx or plain; HEADERS are request lines, with \n
// for CRLF. bench/driver runs it; measure.hpp names the words of each measurement.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "load/floor.hpp"
#include "load/measure.hpp"

int main(int count, char** argv) {
    using namespace execd::bench;
    Words words(argv + 1, argv + count);
    try {
        if (!words.empty() && words[0] == "serve") serve();
        if (!words.empty() && words[0] == "blast")
            return blast(std::stoull(words.at(1)), std::stoull(words.at(2))), 0;
        if (!words.empty() && words[0] == "emit")
            return emit(std::stoi(words.at(1)), std::stoi(words.at(2))), 0;
        if (!words.empty() && words[0] == "idle") idle(std::stoi(words.at(1)));
        if (!words.empty() && words[0] == "display") display();
        if (!words.empty() && words[0] == "vnc") vnc();
        while (!words.empty() && words[0] == "hold") pause();
        static std::map<std::string, void (*)(Target const&, Words const&, Report&)> const table = {
            {"exec", exec},           {"rate", rate},         {"first", first},     {"lines", lines},
            {"stream", stream},       {"get", get},           {"put", put},         {"requests", requests},
            {"writes", small_writes}, {"list", listing},      {"search", search},   {"echo", echo},
            {"output", output},       {"proxied", proxied},   {"ws_trip", ws_trip}, {"ws_bulk", ws_bulk},
            {"tcp_trip", tcp_trip},   {"tcp_bulk", tcp_bulk}, {"kernel", kernel}};
        auto const found = words.size() >= 4 ? table.find(words[3]) : table.end();
        if (found == table.end()) {
            std::fprintf(stderr,
                         "usage: load KIND PORT HEADERS MEASUREMENT WORDS... | serve | blast | emit | idle | "
                         "display | vnc | hold\n");
            return 2;
        }
        Target target{words[0], std::atoi(words[1].c_str()), {}};
        for (char const c : words[2]) target.headers += c == '\n' ? std::string("\r\n") : std::string(1, c);
        Report report;
        found->second(target, {words.begin() + 4, words.end()}, report);
        return 0;
    } catch (std::exception const& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
        return 1;
    }
}
