// The event stream's frames (contracts/opensandbox.md §2, §13; opensandbox-1.1.md §3): one bare JSON object
// and LF LF each, line separators beyond ASCII escaped, times in integer milliseconds. Appending to a string:
// many frames go out with one write.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace execd::opensandbox::event {

/// Unix milliseconds.
using Stamp = std::int64_t;
[[nodiscard]] Stamp stamp(Clock const& clock);

void init(std::string& out, std::string_view id, Stamp at);
void ping(std::string& out, Stamp at);
/// `type` is "stdout" or "stderr"; nothing is sent for an empty text.
void text(std::string& out, std::string_view type, std::string_view text, Stamp at);
void status(std::string& out, std::string_view text, Stamp at);
void execution_count(std::string& out, int count, Stamp at);
/// `results` is the JSON text of an object.
void result(std::string& out, std::string_view results, Stamp at);
void complete(std::string& out, std::int64_t milliseconds, Stamp at);
void error(std::string& out, std::string_view name, std::string_view value,
           std::span<std::string const> traceback, Stamp at);

}  // namespace execd::opensandbox::event
