// What became of the requests of each dialect: counts by class of status, and how long the first byte of the
// answer took from the end of the request's head.
//
// Thread: the reactor. Owner: Server.
#pragma once
#include <array>
#include <cstdint>
#include <map>

#include "base/clock.hpp"

namespace execd::http {

class Dialect;

struct RequestFigures {
    /// Upper bounds of the buckets in milliseconds; one more bucket holds all that took longer.
    static constexpr std::array<double, 15> kBounds{0.25, 0.5, 1,   2.5,  5,    10,    25,    50,
                                                    100,  250, 500, 1000, 5000, 30000, 120000};
    std::array<std::uint64_t, 5> by_class{};  // 1xx to 5xx
    std::array<std::uint64_t, kBounds.size() + 1> by_time{};
    double seconds = 0;

    void add(unsigned status, Duration took) {
        auto const group = status / 100;
        if (group >= 1 && group <= by_class.size()) ++by_class[group - 1];
        double const ms = std::chrono::duration<double, std::milli>(took).count();
        std::size_t at = 0;
        while (at < kBounds.size() && ms > kBounds[at]) ++at;
        ++by_time[at];
        seconds += ms / 1000;
    }
};

using FiguresByDialect = std::map<Dialect const*, RequestFigures>;

}  // namespace execd::http
