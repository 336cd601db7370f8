// The measurements, one function a row: each does its work some times, checks that it was really done, and
// reports samples.
#pragma once

#include <string>
#include <vector>

#include "load/net.hpp"

namespace execd::bench {

/// A server under measurement. `kind` is how it is spoken to: raw (no server), execd (OpenSandbox's dialect),
/// jupyter, nginx, plain.
struct Target {
    std::string kind;
    int port = 0;
    std::string headers;
};

/// Events of OpenSandbox's dialect as they come; text of standard output goes to `sink` (without its line
/// end).
class Events {
  public:
    explicit Events(Sink sink) : sink_(std::move(sink)) {}
    void take(std::string_view data);
    bool completed() const { return completed_; }
    bool failed() const { return failed_; }
    std::string const& result() const { return result_; }

  private:
    void event(std::string_view line);

    Sink sink_;
    std::string rest_, result_;
    bool completed_ = false, failed_ = false;
};

using Words = std::vector<std::string>;

void exec(Target const& target, Words const& words, Report& report);    // COUNT
void rate(Target const& target, Words const& words, Report& report);    // CLIENTS SECONDS
void first(Target const& target, Words const& words, Report& report);   // COUNT
void lines(Target const& target, Words const& words, Report& report);   // COUNT
void stream(Target const& target, Words const& words, Report& report);  // BYTES LINE
void get(Target const& target, Words const& words, Report& report);     // URL BYTES FILE
void put(Target const& target, Words const& words, Report& report);     // FILE BYTES [URL]
void requests(Target const& target, Words const& words,
              Report& report);  // URL CONNECTIONS SECONDS BYTES [EXECS]
void small_writes(Target const& target, Words const& words, Report& report);  // FOLDER CLIENTS SECONDS [URL]
void listing(Target const& target, Words const& words, Report& report);       // FOLDER COUNT TIMES URL MARK
void search(Target const& target, Words const& words, Report& report);    // FOLDER PATTERN TIMES [URL MARK]
void echo(Target const& target, Words const& words, Report& report);      // COUNT
void output(Target const& target, Words const& words, Report& report);    // BYTES
void proxied(Target const& target, Words const& words, Report& report);   // URL COUNT
void ws_trip(Target const& target, Words const& words, Report& report);   // URL COUNT
void ws_bulk(Target const& target, Words const& words, Report& report);   // URL BYTES
void tcp_trip(Target const& target, Words const& words, Report& report);  // COUNT
void tcp_bulk(Target const& target, Words const& words, Report& report);  // BYTES
void kernel(Target const& target, Words const& words, Report& report);    // PYTHON COUNT PRINTS

/// This program, for the children that it measures.
std::string const& self();

}  // namespace execd::bench
