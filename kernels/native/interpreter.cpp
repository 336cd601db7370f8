#include "kernels/native/interpreter.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace execd::kernels::native {

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kStartSeconds = 30;
constexpr int kAnswerSeconds = 10;  // completions and the like of an idle worker

Json error_reply(std::string_view name, std::string_view value) {
    return {{"status", "error"}, {"ename", name}, {"evalue", value}, {"traceback", Json::array()}};
}

/// A part of an event, or an empty object.
Json part(Json& event, char const* key) {
    auto const it = event.find(key);
    return it == event.end() ? Json::object() : std::move(*it);
}

bool wait_while(Server& server, int seconds, bool (*unfinished)(Worker const&), Worker const& worker) {
    auto const end = SteadyClock::now() + std::chrono::seconds(seconds);
    while (unfinished(worker)) {
        auto const left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - SteadyClock::now()).count();
        if (left <= 0 || server.stopped()) return false;
        server.turn(true, static_cast<int>(left));
    }
    return true;
}

}  // namespace

std::unique_ptr<Worker> make_worker(Language const& language, Listener& listener, std::string program) {
    if (language.name == "bash") return make_bash(listener, std::move(program));
    return make_framed(listener, std::move(program), language.language == "python",
                       language.language == "typescript");
}

Interpreter::Interpreter(Language const& language, std::string program, std::string version)
    : language_(&language), version_(std::move(version)) {
    worker_ = make_worker(language, *this, std::move(program));
    register_input_handler([this](std::string const& value) { worker_->give_input(value); });
}

void Interpreter::start() { worker_->start(); }

void Interpreter::attach(Server& server) {
    server_ = &server;
    server.set_watched(worker_.get());
    server.on_interrupt([this] {
        server_->forget_input();
        worker_->interrupt();
    });
    server.on_shutdown([this] { worker_->kill_all(); });
}

std::string Interpreter::ready(Server& server) {
    bool const there = wait_while(
        server, kStartSeconds, [](Worker const& w) { return !w.ready() && !w.ended(); }, *worker_);
    if (!worker_->refusal().empty()) return worker_->refusal();
    if (worker_->ended()) return "the interpreter did not start: " + worker_->ended()->words;
    return there ? "" : "the interpreter did not start in " + std::to_string(kStartSeconds) + " s";
}

std::string Interpreter::restart() {
    worker_->kill_all();
    worker_->start();
    return ready(*server_);
}

// ---- what the worker says

void Interpreter::on_stream(bool is_stderr, std::string text, Json const& parent) {
    if (parent.empty())  // before the first cell: whoever started the kernel reads its log
        std::fwrite(text.data(), 1, text.size(), stderr);
    else if (server_ != nullptr)
        server_->publish_for(parent, "stream",
                             {{"name", is_stderr ? "stderr" : "stdout"}, {"text", std::move(text)}});
}

void Interpreter::on_event(Json event) {
    if (silent_ || server_ == nullptr) return;
    auto const kind = text_of(event, "t");
    if (kind == "clear") {
        auto const wait = event.find("wait");
        return server_->publish_for(parent_, "clear_output",
                                    {{"wait", wait != event.end() && *wait == true}});
    }
    Json content = {{"data", part(event, "data")}, {"metadata", part(event, "metadata")}};
    if (kind == "result") {
        content["execution_count"] = event.value("count", 0);
        return server_->publish_for(parent_, "execute_result", std::move(content));
    }
    content["transient"] = part(event, "transient");
    if (kind == "display" || kind == "update")
        server_->publish_for(parent_, kind == "update" ? "update_display_data" : "display_data",
                             std::move(content));
}

void Interpreter::on_input(std::string prompt, bool password) { input_request(prompt, password); }

// ---- what Xeus asks

nl::json Interpreter::execute_request_impl(int count, std::string const& code, bool silent,
                                           bool store_history, nl::json user_expressions, bool allow_stdin) {
    count_ = count;
    Json reply = run_cell(
        {code, std::move(user_expressions), silent, store_history, allow_stdin, count, server_->parent()});
    reply["execution_count"] = count;
    return reply;
}

nl::json Interpreter::run_cell(Cell cell) {
    bool const silent = silent_ = cell.silent;
    parent_ = cell.parent;
    if (worker_->ended()) {  // while it was idle
        auto const how = worker_->ended()->words;
        if (auto const why = restart(); !why.empty()) return error_reply("InterpreterExit", how + "; " + why);
        on_stream(true, "[the interpreter had ended (" + how + "); a new one runs, variables are lost]\n",
                  parent_);
    }
    worker_->execute(cell);
    while (worker_->busy() && !server_->stopped()) server_->turn(true, -1);
    if (server_->stopped()) return error_reply("Shutdown", "the kernel was shut down");
    if (worker_->ended()) return after_end(silent);
    Json reply = worker_->take_answer();
    reply.erase("t");
    if (text_of(reply, "status") == "ok") {
        if (!reply.contains("payload")) reply["payload"] = Json::array();
        if (!reply.contains("user_expressions")) reply["user_expressions"] = Json::object();
        return reply;
    }
    auto const traceback = part(reply, "traceback");
    std::vector<std::string> lines;
    for (auto const& each : traceback)
        if (each.is_string()) lines.push_back(each.get<std::string>());
    auto const name = text_of(reply, "ename"), value = text_of(reply, "evalue");
    if (lines.empty()) lines.push_back(name == "ExitStatus" ? "exit status " + value : name + ": " + value);
    if (!silent) publish_execution_error(name, value, lines);
    reply["traceback"] = lines;
    return reply;
}

// The interpreter has gone while it worked on the cell: a new one, and no silence about it.
nl::json Interpreter::after_end(bool silent) {
    auto const how = *worker_->ended();
    (void)worker_->take_answer();
    auto const why = restart();
    std::string text = how.words + "; " + (why.empty() ? "a new one runs, variables are lost" : why);
    if (is_bash() && how.status == 0 && why.empty()) {
        if (!silent) on_stream(true, "[the shell: " + text + "]\n", parent_);
        return {{"status", "ok"}, {"payload", Json::array()}, {"user_expressions", Json::object()}};
    }
    Json reply = error_reply(is_bash() ? "ShellExit" : "InterpreterExit",
                             is_bash() ? std::to_string(how.status) : text);
    if (!silent)
        publish_execution_error(text_of(reply, "ename"), text_of(reply, "evalue"),
                                {(is_bash() ? "the shell: " : "the interpreter: ") + text});
    return reply;
}

Json Interpreter::question(char const* kind, std::string const& code, int cursor, int detail) {
    if (worker_->ended()) return Json::object();
    worker_->ask({{"t", kind}, {"code", code}, {"cursor", cursor}, {"detail", detail}});
    bool const there = wait_while(
        *server_, kAnswerSeconds, [](Worker const& w) { return w.busy(); }, *worker_);
    if (!there || worker_->ended()) {
        // An answer that comes later must not be taken for the next request's.
        if (!server_->stopped()) (void)restart();
        return Json::object();
    }
    Json answer = worker_->take_answer();
    answer.erase("t");
    return answer;
}

nl::json Interpreter::complete_request_impl(std::string const& code, int cursor) {
    Json out = question("complete", code, cursor);
    Json reply = {{"status", "ok"},
                  {"matches", Json::array()},
                  {"cursor_start", cursor},
                  {"cursor_end", cursor},
                  {"metadata", Json::object()}};
    reply.update(out);
    return reply;
}

nl::json Interpreter::inspect_request_impl(std::string const& code, int cursor, int detail) {
    Json out = question("inspect", code, cursor, detail);
    Json reply = {{"status", "ok"}, {"found", false}, {"data", Json::object()}, {"metadata", Json::object()}};
    reply.update(out);
    return reply;
}

nl::json Interpreter::is_complete_request_impl(std::string const& code) {
    Json out = question("is_complete", code, 0);
    return out.contains("status") ? out : Json{{"status", "unknown"}};
}

nl::json Interpreter::kernel_info_request_impl() {
    struct Info {
        std::string_view language, mimetype, extension, lexer;
    };
    static constexpr Info kInfos[] = {{"bash", "text/x-sh", ".sh", "bash"},
                                      {"python", "text/x-python", ".py", "python3"},
                                      {"javascript", "text/javascript", ".js", "javascript"},
                                      {"typescript", "text/typescript", ".ts", "typescript"}};
    auto const& info = *std::find_if(std::begin(kInfos), std::end(kInfos) - 1,
                                     [&](Info const& i) { return i.language == language_->language; });
    std::string const banner =
        std::string(language_->display_name) + " " + worker_->version() + " (execd " + version_ + ")";
    return {{"status", "ok"},
            {"protocol_version", "5.3"},
            {"implementation", "execd"},
            {"implementation_version", version_},
            {"banner", banner},
            {"help_links", Json::array()},
            {"language_info",
             {{"name", info.language},
              {"version", worker_->version()},
              {"mimetype", info.mimetype},
              {"file_extension", info.extension},
              {"pygments_lexer", info.lexer},
              {"codemirror_mode", info.language == "bash" ? "shell" : info.language}}}};
}

void Interpreter::shutdown_request_impl() { worker_->kill_all(); }

// ---- history

namespace {

class History final : public xeus::xhistory_manager {
    static constexpr std::size_t kMost = 1000;
    struct Entry {
        int session, line;
        std::string input, output;
    };
    std::vector<Entry> entries_;
    Interpreter const* interpreter_;

    static Json answer(std::vector<Entry const*> const& those, bool output) {
        Json list = Json::array();
        for (auto const* each : those)
            list.push_back(
                Json::array({each->session, each->line,
                             output ? Json::array({each->input, each->output}) : Json(each->input)}));
        return {{"status", "ok"}, {"history", std::move(list)}};
    }
    static bool matches(std::string_view text, std::string_view pattern) {  // * and ?
        if (pattern.empty()) return text.empty();
        if (pattern.front() == '*') {
            for (std::size_t i = 0; i <= text.size(); ++i)
                if (matches(text.substr(i), pattern.substr(1))) return true;
            return false;
        }
        return !text.empty() && (pattern.front() == '?' || pattern.front() == text.front()) &&
               matches(text.substr(1), pattern.substr(1));
    }

    void configure_impl() override {}
    void store_inputs_impl(int session, int, std::string const& input, std::string const& output) override {
        if (entries_.size() >= kMost) entries_.erase(entries_.begin());
        entries_.push_back({session, interpreter_->count(), input, output});
    }
    nl::json get_tail_impl(int n, bool, bool output) const override {
        std::vector<Entry const*> out;
        auto const count = std::min(entries_.size(), static_cast<std::size_t>(std::max(n, 0)));
        for (auto it = entries_.end() - static_cast<std::ptrdiff_t>(count); it != entries_.end(); ++it)
            out.push_back(&*it);
        return answer(out, output);
    }
    nl::json get_range_impl(int session, int start, int stop, bool, bool output) const override {
        std::vector<Entry const*> out;
        for (auto const& each : entries_)
            if (each.session == session && each.line >= start && each.line < stop) out.push_back(&each);
        return answer(out, output);
    }
    nl::json search_impl(std::string const& pattern, bool, bool output, int n, bool unique) const override {
        std::vector<Entry const*> out;
        // More than a few stars would take for ever.
        if (std::count(pattern.begin(), pattern.end(), '*') <= 4)
            for (auto const& each : entries_) {
                if (!matches(each.input, pattern)) continue;
                if (unique) std::erase_if(out, [&](Entry const* e) { return e->input == each.input; });
                out.push_back(&each);
            }
        auto const most = static_cast<std::size_t>(std::max(n, 0));
        if (out.size() > most) out.erase(out.begin(), out.end() - static_cast<std::ptrdiff_t>(most));
        return answer(out, output);
    }

  public:
    explicit History(Interpreter const& interpreter) : interpreter_(&interpreter) {}
};

}  // namespace

std::unique_ptr<xeus::xhistory_manager> make_history(Interpreter const& interpreter) {
    return std::make_unique<History>(interpreter);
}

}  // namespace execd::kernels::native
