// /recordings (contracts/agentrun.md §3).
#include <nlohmann/json.hpp>

#include <algorithm>

#include "browser_proxy/supervisor.hpp"
#include "execd/browser/sockets.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/ranges.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;
using Json = nlohmann::ordered_json;

namespace {

Result<browser_proxy::Recorder*> recorder_of(State& state) {
    auto supervisor = browser::supervisor_of(state.services);
    if (!supervisor) return Failure(supervisor.error());
    return &(*supervisor)->recorder();
}

/// 1 .. most; `fallback` when it is absent, 0 when it is no such number.
std::size_t page_value(Call const& call, std::string_view name, std::size_t fallback, std::size_t most) {
    auto const text = call.query_value(name);
    if (!text || text->empty()) return fallback;
    if (text->size() > 9 || text->find_first_not_of("0123456789") != std::string_view::npos) return 0;
    return std::min<std::size_t>(std::stoul(std::string(*text)), most);
}

std::string rfc3339(WallTime at) {
    auto const seconds = std::chrono::floor<std::chrono::seconds>(at);
    auto const days = std::chrono::floor<std::chrono::days>(seconds);
    std::chrono::year_month_day const date(days);
    std::chrono::hh_mm_ss const time(seconds - days);
    char out[64];
    std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()));
    return out;
}

Task<Result<Answer>> list(StatePtr state, Call& call) {
    auto recorder = recorder_of(*state);
    if (!recorder) co_return Failure(recorder.error());
    std::size_t const page = page_value(call, "page", 1, 1'000'000);
    std::size_t const size = page_value(call, "page_size", 100, 1000);
    if (page == 0 || size == 0)
        co_return fail(Code::invalid_argument, "", "page and page_size are whole numbers from 1 on");
    auto all = co_await (*recorder)->list();
    if (!all) co_return Failure(all.error());
    Json items = Json::array();
    for (std::size_t i = (page - 1) * size; i < all->size() && i < page * size; ++i) {
        auto const& one = (*all)[i];
        items.push_back({{"filename", one.name},
                         {"size", one.size},
                         {"modifiedTime", rfc3339(one.modified)},
                         {"recording", one.active}});
    }
    Json const body{
        {"recordings", std::move(items)}, {"total", all->size()}, {"page", page}, {"page_size", size}};
    co_return Answer::bytes(200, "application/json", body.dump());
}

// As long as it is at this moment; who comes again with a Range gets what was added.
Task<Result<Answer>> download(StatePtr state, Call& call) {
    auto recorder = recorder_of(*state);
    if (!recorder) co_return Failure(recorder.error());
    std::string const name = call.param("filename");
    auto opened = co_await (*recorder)->open(name);
    if (!opened) co_return Failure(opened.error());
    Answer answer;
    answer.headers.set("Content-Type", "video/x-matroska");
    answer.headers.set("Content-Disposition", http::content_disposition("attachment", name));
    answer.headers.set("Accept-Ranges", "bytes");
    auto const plan = http::plan_ranges(call.header("Range").value_or(""), opened->size);
    if (plan.outcome == http::RangeOutcome::unsatisfiable) {
        Answer refused = refusal(416, code::kInvalid, "the recording has no such bytes");
        refused.headers.set("Content-Range", http::content_range_unsatisfied(opened->size));
        co_return refused;
    }
    http::FilePart part;
    part.length = opened->size;
    if (plan.outcome == http::RangeOutcome::partial && plan.ranges.size() == 1) {
        auto const range = plan.ranges.front();
        answer.status = 206;
        answer.headers.set("Content-Range", http::content_range(range, opened->size));
        part.offset = range.first;
        part.length = range.length;
    }
    part.fd = std::move(opened->fd);
    answer.body = std::move(part);
    co_return answer;
}

Task<Result<Answer>> remove(StatePtr state, Call& call) {
    auto recorder = recorder_of(*state);
    if (!recorder) co_return Failure(recorder.error());
    std::string const name = call.param("filename");
    auto removed = co_await (*recorder)->remove(name);
    if (!removed) co_return Failure(removed.error());
    Json const body{{"filename", name}, {"deleted", true}};
    co_return Answer::bytes(200, "application/json", body.dump());
}

}  // namespace

void add_recordings(Table& table) {
    auto const add = [&table](http::Row row, auto handler) {
        row.tag = "AgentRun";
        row.invoke = [state = table.state(), handler](Call& call) { return handler(state, call); };
        table.add_both(std::move(row));
    };
    add(row_of("GET", "/recordings", "listRecordings", "The desktop's recordings, newest first."), list);
    auto row =
        row_of("GET", "/recordings/{filename}", "downloadRecording", "A recording, also while it grows.");
    row.statuses = {{200, nullptr, "video/x-matroska", "The film"}};
    add(std::move(row), download);
    add(row_of("DELETE", "/recordings/{filename}", "deleteRecording", "Removes a recording."), remove);
}

}  // namespace execd::agentrun
