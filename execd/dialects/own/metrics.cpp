#include "execd/dialects/own/metrics.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "base/lag_probe.hpp"
#include "base/unique_fd.hpp"
#include "execd/claims/claims.hpp"
#include "execd/http/server.hpp"
#include "execd/http/stream.hpp"
#include "execd/version.hpp"
#include "kernels/contexts.hpp"
#include "shell/executions.hpp"
#include "shell/sessions.hpp"

namespace execd::own {

namespace {

using http::Answer;

/// Prometheus, "Exposition formats", section "Text-based format". Names and label values are ours or our
/// words: none needs escaping.
class Page {
  public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        out_.append("# HELP ").append(name).append(" ").append(help);
        out_.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
    }
    void value(std::string_view labels, double value, std::string_view suffix = {}) {
        std::array<char, 40> text{};
        int const n = std::snprintf(text.data(), text.size(), " %.15g\n", value);
        out_.append(name_).append(suffix);
        if (!labels.empty()) out_.append("{").append(labels).append("}");
        out_.append(text.data(), static_cast<std::size_t>(n));
    }
    void only(std::string_view name, std::string_view type, std::string_view help, double number) {
        family(name, type, help);
        value({}, number);
    }
    void only(std::string_view name, std::string_view type, std::string_view help, std::uint64_t number) {
        only(name, type, help, static_cast<double>(number));
    }
    /// `counts` has one place more than `seconds`: what was longer than all of them.
    template <class Bounds, class Counts>
    void histogram(std::string const& labels, Bounds const& seconds, Counts const& counts, double sum) {
        std::string const before = labels.empty() ? "" : labels + ",";
        std::uint64_t all = 0;
        for (std::size_t i = 0; i < counts.size(); ++i) {
            all += counts[i];
            std::array<char, 32> bound{"+Inf"};
            if (i < seconds.size()) (void)std::snprintf(bound.data(), bound.size(), "%g", seconds[i]);
            value(before + "le=\"" + bound.data() + "\"", static_cast<double>(all), "_bucket");
        }
        value(labels, sum, "_sum");
        value(labels, static_cast<double>(all), "_count");
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

  private:
    std::string name_;
    std::string out_;
};

std::string label(std::string_view name, std::string_view value) {
    return std::string(name) + "=\"" + std::string(value) + "\"";
}

void requests(Page& page, http::Server const& server) {
    page.family("execd_http_requests_total", "counter", "Answers by dialect and class of status.");
    for (auto const& [dialect, figures] : server.figures())
        for (std::size_t i = 0; i < figures.by_class.size(); ++i)
            if (figures.by_class[i] > 0)
                page.value(label("dialect", dialect->name()) + ",code=\"" + std::to_string(i + 1) + "xx\"",
                           static_cast<double>(figures.by_class[i]));
    page.family("execd_http_first_byte_seconds", "histogram",
                "From the end of a request's head to the first byte of its answer.");
    std::array<double, http::RequestFigures::kBounds.size()> bounds{};
    for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = http::RequestFigures::kBounds[i] / 1000;
    for (auto const& [dialect, figures] : server.figures())
        page.histogram(label("dialect", dialect->name()), bounds, figures.by_time, figures.seconds);
    auto const& counters = server.counters();
    page.only("execd_http_bad_heads_total", "counter", "Requests whose head broke HTTP's rules.",
              counters.bad_heads);
    page.only("execd_http_connections", "gauge", "Open connections.", std::uint64_t{server.connections()});
    page.only("execd_http_connections_total", "counter", "Connections taken.", counters.accepted);
    page.only("execd_http_connections_refused_total", "counter", "Connections over the limit.",
              counters.refused);
    page.only("execd_http_received_bytes_total", "counter", "Bytes that clients sent.",
              server.traffic().received);
    page.only("execd_http_sent_bytes_total", "counter", "Bytes that clients were sent.",
              server.traffic().sent);
    page.only("execd_http_buffered_bytes", "gauge", "Bytes held in memory for connections.",
              server.budget().held());
}

void work(Page& page, Services const& services) {
    page.only("execd_executions_running", "gauge", "Commands, terminals, kernels and the like that run.",
              std::uint64_t{services.executions->running()});
    page.family("execd_executions_ended_total", "counter", "How executions ended.");
    static constexpr std::array<std::string_view, 7> kVerdicts{
        "exited", "signaled", "timed_out", "cancelled", "oom_killed", "failed_to_start", "lost"};
    auto const& endings = services.executions->endings();
    for (auto const verdict : kVerdicts) {
        auto const found = endings.find(verdict);
        page.value(label("verdict", verdict),
                   found == endings.end() ? 0 : static_cast<double>(found->second));
    }
    page.only("execd_sessions", "gauge", "Shell sessions.", std::uint64_t{services.sessions->size()});
    page.only("execd_terminals", "gauge", "Terminals.", std::uint64_t{services.terminals->size()});
    page.only("execd_contexts", "gauge", "Code contexts.", std::uint64_t{services.contexts->size()});
    page.only("execd_claims", "gauge", "Claims (sandboxes), ended ones that are remembered too.",
              std::uint64_t{services.claims->list().size()});
}

/// From one wait of the reactor to the next: what becomes ready meanwhile is late by up to that long.
void loop_figures(Page& page, LagProbe const& lag) {
    auto const figures = lag.figures();
    std::array<double, LagProbe::kBuckets - 1> bounds{};
    for (std::size_t i = 0; i < bounds.size(); ++i)
        bounds[i] = static_cast<double>(std::uint64_t{1} << i) / 1e6;
    page.family("execd_loop_hold_seconds", "histogram", "How long the event loop was at work in one turn.");
    page.histogram({}, bounds, figures.counts, std::chrono::duration<double>(figures.total).count());
}

std::uint64_t open_descriptors() {
    std::uint64_t count = 0;
    DIR* const folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) return 0;
    while (::readdir(folder) != nullptr) ++count;
    ::closedir(folder);
    return count - 3;  // ".", ".." and the folder itself
}

/// The names that every client library uses.
void process(Page& page) {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    auto const seconds = [](timeval const& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    page.only("process_cpu_seconds_total", "counter", "Processor time of the daemon itself.",
              seconds(used.ru_utime) + seconds(used.ru_stime));
    if (UniqueFd const fd(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)); fd) {
        std::array<char, 128> text{};
        unsigned long long pages = 0;
        if (::read(fd.get(), text.data(), text.size() - 1) > 0 &&
            std::sscanf(text.data(), "%*u %llu", &pages) == 1)
            page.only("process_resident_memory_bytes", "gauge", "Memory of the daemon itself.",
                      std::uint64_t{pages} * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
        page.only("process_open_fds", "gauge", "Descriptors of the daemon itself.", open_descriptors());
    }
}

Answer metrics(Services const& services) {
    Page page;
    page.family("execd_build_info", "gauge", "The version that runs.");
    page.value(label("version", version()), 1);
    requests(page, *services.server);
    work(page, services);
    if (services.lag != nullptr) loop_figures(page, *services.lag);
    process(page);
    return Answer::bytes(200, "text/plain; version=0.0.4; charset=utf-8", page.take());
}

}  // namespace

std::vector<http::Row> metrics_rows(Services& services) {
    std::vector<http::Row> out;
    http::Row row;
    row.method = "GET";
    row.tag = "execd";
    row.path = "/execd/v1/metrics";
    row.operation_id = "metrics";
    row.doc = "Requests, executions, contexts, the event loop and the process as Prometheus text.";
    row.statuses = {{200, nullptr, "text/plain", "exposition format 0.0.4"}};
    row.sync = [&services](http::Call&) -> Result<Answer> { return metrics(services); };
    out.push_back(std::move(row));
    return out;
}

}  // namespace execd::own
