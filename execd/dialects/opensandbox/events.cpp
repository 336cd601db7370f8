#include "execd/dialects/opensandbox/events.hpp"

#include "execd/http/wire/json_text.hpp"

namespace execd::opensandbox::event {

namespace {

constexpr auto kEscape = wire::Escape::line_separators;

void begin(std::string& out, std::string_view type) {
    out += R"({"type":")";
    out += type;
    out += '"';
}

void field_text(std::string& out, std::string_view text) {
    out += R"(,"text":)";
    wire::append_json_string(out, text, kEscape);
}

void field_time(std::string& out, Stamp at) {
    out += R"(,"timestamp":)";
    wire::append_json_int(out, at);
}

void end(std::string& out) { out += "}\n\n"; }

}  // namespace

Stamp stamp(Clock const& clock) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count();
}

void init(std::string& out, std::string_view id, Stamp at) {
    begin(out, "init");
    field_text(out, id);
    field_time(out, at);
    end(out);
}

void ping(std::string& out, Stamp at) {
    begin(out, "ping");
    field_text(out, "pong");
    field_time(out, at);
    end(out);
}

void text(std::string& out, std::string_view type, std::string_view text, Stamp at) {
    if (text.empty()) return;
    begin(out, type);
    field_text(out, text);
    field_time(out, at);
    end(out);
}

void status(std::string& out, std::string_view text, Stamp at) {
    begin(out, "status");
    field_text(out, text);
    field_time(out, at);
    end(out);
}

void execution_count(std::string& out, int count, Stamp at) {
    begin(out, "execution_count");
    out += R"(,"execution_count":)";
    wire::append_json_int(out, count);
    field_time(out, at);
    end(out);
}

void result(std::string& out, std::string_view results, Stamp at) {
    begin(out, "result");
    field_time(out, at);
    out += R"(,"results":)";
    out += results;
    end(out);
}

void complete(std::string& out, std::int64_t milliseconds, Stamp at) {
    begin(out, "execution_complete");
    out += R"(,"execution_time":)";
    wire::append_json_int(out, milliseconds);
    field_time(out, at);
    end(out);
}

void error(std::string& out, std::string_view name, std::string_view value,
           std::span<std::string const> traceback, Stamp at) {
    begin(out, "error");
    field_time(out, at);
    out += R"(,"error":{"ename":)";
    wire::append_json_string(out, name, kEscape);
    out += R"(,"evalue":)";
    wire::append_json_string(out, value, kEscape);
    out += R"(,"traceback":[)";
    bool first = true;
    for (auto const& line : traceback) {
        if (!std::exchange(first, false)) out += ',';
        wire::append_json_string(out, line, kEscape);
    }
    out += "]}";
    end(out);
}

}  // namespace execd::opensandbox::event
