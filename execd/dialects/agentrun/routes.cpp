#include "execd/dialects/agentrun/routes.hpp"

#include <array>
#include <cctype>
#include <cmath>

#include "execd/dialects/agentrun/large_answer.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "fs/executor.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kHome = "/home/user";

std::string other_home(State& state) {
    auto const home = state.services.environment->daemon().get("HOME");
    return home && home->starts_with('/') ? fs::clean_path(*home) : "/";
}

}  // namespace

http::Row row_of(std::string method, std::string path, std::string operation, std::string doc) {
    http::Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = std::move(operation);
    row.doc = std::move(doc);
    return row;
}

void Table::add_both(http::Row row) {
    row.dialect = &state_->dialect;
    http::Row below = row;
    below.path = "/sandboxes/{sandboxId}" + row.path;
    std::string name = row.operation_id;
    name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
    below.operation_id = "sandbox" + name;
    use_claims(state_->services, below);
    rows_.push_back(std::move(row));
    rows_.push_back(std::move(below));
}

void EndedIds::add(std::string id) {
    constexpr std::size_t kMost = 1024;
    if (!ids_.insert(id).second) return;
    if (ring_.size() < kMost) {
        ring_.push_back(std::move(id));
        return;
    }
    ids_.erase(ring_[next_]);
    ring_[next_] = std::move(id);
    next_ = (next_ + 1) % kMost;
}

Task<std::string> home_of(State& state) {
    if (!state.home.empty()) co_return state.home;
    co_return co_await home_to_start_in(state);
}

Task<std::string> home_to_start_in(State& state) {
    bool const elsewhere = !state.home.empty() && state.home != kHome;
    if (elsewhere) co_return state.home;
    fs::MakeDirectory make{std::string(kHome)};
    auto made = co_await state.services.files->run(std::move(make));
    bool const known = !state.home.empty();
    if (!known) state.home = made ? std::string(kHome) : other_home(state);
    co_return state.home;
}

Task<Result<std::string>> path_of(State& state, std::string text) {
    if (auto good = fs::check_path(text); !good) co_return Failure(good.error());
    if (text.starts_with('/') && fs::clean_path(text) != kHome) co_return fs::clean_path(text);
    std::string const home = co_await home_of(state);
    co_return text.starts_with('/') ? home : fs::absolute_path(text, home);
}

Duration limit_of(std::optional<double> seconds) {
    constexpr double kLongest = 3e9;  // about a century
    double const given = seconds.value_or(0);
    if (!(given > 0)) return Duration::zero();
    return Duration(static_cast<std::int64_t>(std::ceil(std::min(given, kLongest) * 1e9)));
}

wire::Timestamp stamp_of(WallTime at) { return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)}; }

wire::Timestamp stamp_of_ns(std::int64_t since_epoch) {
    return {std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(since_epoch))};
}

Task<void> do_work(State& state, std::size_t weight, std::function<void()> work) {
    constexpr std::size_t kInline = 128U << 10;
    if (weight <= kInline) {
        work();
        co_return;
    }
    auto done = [&work] {
        work();
        return true;
    };
    (void)co_await state.services.loop.pool().run(Lane::bulk, done);
}

Task<Answer> render(State& state, wire::Ops const& ops, void const* value, std::size_t weight) {
    std::string text;
    std::function<void()> write = [&state, &ops, value, &text] {
        wire::encode(ops, value, state.dialect.writing(), text);
    };
    co_await do_work(state, weight, std::move(write));
    co_return json_answer(state.services.loop, std::move(text));
}

std::span<std::string_view const> owned_paths() {
    // What lies below /files is OpenSandbox's ("/files/").
    static constexpr std::array<std::string_view, 9> kPaths{"/health",     "/contexts",  "/files",
                                                            "/filesystem", "/processes", "/recordings",
                                                            "/ws",         "/static",    "/sandboxes"};
    return kPaths;
}

std::vector<http::Row> rows(Services& services, Dialect& dialect) {
    Table table(std::make_shared<State>(services, dialect));
    add_health(table);
    add_contexts(table);
    add_files(table);
    add_transfers(table);
    add_processes(table);
    add_terminal(table);
    add_browser(table);
    add_recordings(table);
    add_lifecycle(table);
    return std::move(table.rows());
}

}  // namespace execd::agentrun
