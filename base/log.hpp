// Structured logging: one JSON object a line, written by a background thread (spdlog), so that a slow stdout
// never holds the reactor. The event name is a constant, everything variable is a field. Never pass user
// output, request bodies, command texts or secrets.
//
//   log::info("listener.open", {{"address", "0.0.0.0"}, {"port", 8080}});
//
// Thread: any. Before init() and in tests nothing is written.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace execd::log {

enum class Level { debug, info, warn, error, off };

class Value {
  public:
    Value(std::string_view v) : v_(v) {}  // NOLINT(google-explicit-constructor): fields read as literals
    Value(char const* v) : v_(std::string_view(v)) {}
    Value(std::string const& v) : v_(std::string_view(v)) {}
    Value(bool v) : v_(v) {}
    Value(double v) : v_(v) {}
    template <class T>
        requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
    Value(T v) : v_(static_cast<std::int64_t>(v)) {}
    [[nodiscard]] auto const& get() const { return v_; }

  private:
    std::variant<std::string_view, bool, double, std::int64_t> v_;
};

struct Field {
    std::string_view name;
    Value value;
};
using Fields = std::initializer_list<Field>;

struct Options {
    Level level = Level::info;
    /// Empty: standard output. Otherwise a file, appended to.
    std::string file;
};
/// False (with the reason in `why`) when the file cannot be opened; standard output is used then.
bool init(Options const& options, std::string& why);
/// Writes what is queued and stops the thread. Safe to call twice.
void shutdown();

[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view event, Fields fields);

inline void debug(std::string_view event, Fields fields = {}) {
    if (enabled(Level::debug)) write(Level::debug, event, fields);
}
inline void info(std::string_view event, Fields fields = {}) { write(Level::info, event, fields); }
inline void warn(std::string_view event, Fields fields = {}) { write(Level::warn, event, fields); }
inline void error(std::string_view event, Fields fields = {}) { write(Level::error, event, fields); }

/// Tests look at what would be written (a secrets canary, a straggler's name).
using Sink = void (*)(std::string_view line);
void set_test_sink(Sink sink);

/// One line as it is written, without the newline.
[[nodiscard]] std::string render(Level level, std::string_view event, Fields fields, std::int64_t wall_ms);

}  // namespace execd::log
