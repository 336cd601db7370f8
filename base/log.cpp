#include "base/log.hpp"

#define SPDLOG_FMT_EXTERNAL
#define FMT_HEADER_ONLY
#define SPDLOG_HEADER_ONLY
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/signals.hpp"

namespace execd::log {

namespace {
std::atomic<Level> g_level{Level::off};
std::atomic<Sink> g_sink{nullptr};
std::mutex g_mutex;  // of the two below
std::shared_ptr<spdlog::details::thread_pool> g_pool;
std::shared_ptr<spdlog::async_logger> g_logger;

std::shared_ptr<spdlog::async_logger> logger() {
    std::lock_guard const lock(g_mutex);
    return g_logger;
}

constexpr auto kShutdownWait = std::chrono::seconds(2);
constexpr std::size_t kQueue =
    1024;  // lines; when stdout stalls the oldest are dropped, never the reactor held

char const* name_of(Level level) {
    switch (level) {
        case Level::debug: return "debug";
        case Level::info: return "info";
        case Level::warn: return "warn";
        default: return "error";
    }
}
}  // namespace

bool init(Options const& options, std::string& why) {
    bool good = true;
    spdlog::sink_ptr sink;
    if (!options.file.empty()) {
        try {
            sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
        } catch (spdlog::spdlog_ex const& e) {
            why = e.what();
            good = false;
        }
    }
    if (!sink) sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
    sink->set_pattern("%v");
    BlockAllSignals const blocked;
    std::lock_guard const lock(g_mutex);
    g_pool = std::make_shared<spdlog::details::thread_pool>(kQueue, 1);
    g_logger = std::make_shared<spdlog::async_logger>("execd", sink, g_pool,
                                                      spdlog::async_overflow_policy::overrun_oldest);
    g_logger->set_level(spdlog::level::trace);
    g_logger->flush_on(spdlog::level::trace);
    g_level = options.level;
    return good;
}

void shutdown() {
    g_level = Level::off;
    std::shared_ptr<spdlog::details::thread_pool> pool;
    {
        std::lock_guard const lock(g_mutex);
        g_logger.reset();
        pool.swap(g_pool);
    }
    if (!pool) return;
    // Ending the pool joins its thread after the queue is written, which a reader of our stdout that has
    // stopped reading can hold up for ever: give it a while, then leave it behind.
    auto done = std::make_shared<std::promise<void>>();
    auto written = done->get_future();
    try {
        BlockAllSignals const blocked;
        std::thread([pool = std::move(pool), done]() mutable {
            pool.reset();
            done->set_value();
        }).detach();
    } catch (std::system_error const&) {
        return;  // no thread to be had: the pool was joined here
    }
    written.wait_for(kShutdownWait);
}

bool enabled(Level level) { return level >= g_level.load(std::memory_order_relaxed); }
void set_test_sink(Sink sink) { g_sink = sink; }

std::string render(Level level, std::string_view event, Fields fields, std::int64_t wall_ms) {
    using Json = nlohmann::ordered_json;
    Json line;
    line["ts"] = wall_ms;
    line["level"] = name_of(level);
    line["event"] = event;
    for (auto const& field : fields)
        std::visit([&](auto const& v) { line[std::string(field.name)] = v; }, field.value.get());
    return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write(Level level, std::string_view event, Fields fields) {
    Sink const sink = g_sink.load();
    if (!enabled(level) && sink == nullptr) return;
    auto const now = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    std::string const line = render(level, event, fields, now);
    if (sink != nullptr) sink(line);
    if (!enabled(level)) return;
    if (auto const out = logger())
        out->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace execd::log
