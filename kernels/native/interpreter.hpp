// What Xeus asks, handed to the worker; what the worker says, published.
//
// Thread: the kernel process's only one.
#pragma once
#include <memory>
#include <string>

#include <xeus/xhistory_manager.hpp>
#include <xeus/xinterpreter.hpp>

#include "kernels/native/native.hpp"
#include "kernels/native/server.hpp"
#include "kernels/native/worker.hpp"

namespace execd::kernels::native {

class Interpreter final : public xeus::xinterpreter, public Listener {
  public:
    Interpreter(Language const& language, std::string program, std::string version);

    /// Starts the worker and returns before it is ready. Throws std::runtime_error.
    void start();
    /// Waits for the worker. Empty, or why there is none.
    [[nodiscard]] std::string ready(Server& server);
    /// From now on outputs have a way out.
    void attach(Server& server);

    /// Of the cell that ran last.
    [[nodiscard]] int count() const { return count_; }

    void on_stream(bool is_stderr, std::string text, Json const& parent) override;
    void on_event(Json event) override;
    void on_input(std::string prompt, bool password) override;

  private:
    void configure_impl() override {}
    nl::json execute_request_impl(int count, std::string const& code, bool silent, bool store_history,
                                  nl::json user_expressions, bool allow_stdin) override;
    nl::json complete_request_impl(std::string const& code, int cursor) override;
    nl::json inspect_request_impl(std::string const& code, int cursor, int detail) override;
    nl::json is_complete_request_impl(std::string const& code) override;
    nl::json kernel_info_request_impl() override;
    void shutdown_request_impl() override;

    [[nodiscard]] bool is_bash() const { return language_->name == "bash"; }
    Json question(char const* kind, std::string const& code, int cursor, int detail = 0);
    nl::json run_cell(Cell cell);
    nl::json after_end(bool silent);
    [[nodiscard]] std::string restart();

    Language const* language_;
    std::string version_;
    std::unique_ptr<Worker> worker_;
    Server* server_ = nullptr;
    Json parent_ = Json::object();  // of the last execute_request
    bool silent_ = false;
    int count_ = 0;
};

/// The inputs of this kernel, the last thousand. Xeus' own needs std::regex, 140 kB of it. The interpreter is
/// to outlive it: it numbers them (Xeus calls every line the first).
[[nodiscard]] std::unique_ptr<xeus::xhistory_manager> make_history(Interpreter const& interpreter);

}  // namespace execd::kernels::native
