// The leak ledger: operations that were started and have not ended, counted by name. Whoever holds something
// that must end (a connection, an execution, a subscription) holds a Token; what is left at exit is printed.
//
//   ledger::Name const kConnection{"http.connection"};   // static storage, a literal
//   class Connection { ledger::Token token_{kConnection}; ... };
//
// One relaxed atomic addition each way. Thread: any.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace execd::ledger {

/// One kind of operation. Lives for ever (static storage); two Names of the same text are added up.
class Name {
  public:
    explicit Name(char const* text) noexcept;
    Name(Name const&) = delete;
    Name& operator=(Name const&) = delete;

  private:
    friend class Token;
    friend std::vector<std::pair<std::string, std::int64_t>> outstanding();
    char const* text_;
    mutable std::atomic<std::int64_t> open_{0};
    Name const* next_ = nullptr;
};

/// Counts one operation as outstanding for as long as it lives. Movable, so that it travels with what it
/// stands for.
class [[nodiscard]] Token {
  public:
    explicit Token(Name const& name) noexcept : name_(&name) {
        name.open_.fetch_add(1, std::memory_order_relaxed);
    }
    Token(Token&& other) noexcept : name_(std::exchange(other.name_, nullptr)) {}
    Token& operator=(Token&& other) noexcept {
        if (this != &other) {
            end();
            name_ = std::exchange(other.name_, nullptr);
        }
        return *this;
    }
    Token(Token const&) = delete;
    Token& operator=(Token const&) = delete;
    ~Token() { end(); }
    /// Ends the operation early.
    void end() noexcept {
        if (auto const* name = std::exchange(name_, nullptr))
            name->open_.fetch_sub(1, std::memory_order_relaxed);
    }

  private:
    Name const* name_;
};

/// Names with something outstanding, sorted. A test that expects no leak expects this to be empty.
[[nodiscard]] std::vector<std::pair<std::string, std::int64_t>> outstanding();
/// "http.connection 2, shell.execution 1"; empty when nothing is left.
[[nodiscard]] std::string report();
/// Prints report() to standard error when the process exits, if there is anything to say. Call once, in main.
void report_at_exit();

}  // namespace execd::ledger
