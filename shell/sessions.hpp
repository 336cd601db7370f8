// Sessions and Terminals: those that clients made and come back to by id. A domain room's tables: every
// dialect that offers sessions or terminals keeps them here.
//
// Thread: the reactor. Owner: the daemon; close_all() before destruction.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shell/session.hpp"
#include "shell/terminal.hpp"

namespace execd::shell {

/// By id. What is taken out is closed by whoever took it.
template <class T>
class Shelf {
  public:
    explicit Shelf(std::size_t most) : most_(most) {}

    /// exhausted: there are too many.
    [[nodiscard]] Result<void> check_room(std::string_view what) const {
        if (closed_) return fail(Code::unavailable, std::string(what), "shutting down");
        if (all_.size() < most_) return {};
        return fail(Code::exhausted, std::string(what), std::to_string(all_.size()) + " are open");
    }
    void add(std::shared_ptr<T> one) { all_.emplace(one->id(), std::move(one)); }
    [[nodiscard]] std::shared_ptr<T> find(std::string_view id) const {
        auto const found = all_.find(id);
        return found == all_.end() ? nullptr : found->second;
    }
    [[nodiscard]] std::shared_ptr<T> take(std::string_view id) {
        auto const found = all_.find(id);
        if (found == all_.end()) return nullptr;
        auto one = std::move(found->second);
        all_.erase(found);
        return one;
    }
    /// By id; an empty owner means all.
    [[nodiscard]] std::vector<std::shared_ptr<T>> list(std::string_view owner = {}) const {
        std::vector<std::shared_ptr<T>> out;
        for (auto const& [id, one] : all_)
            if (owner.empty() || one->owner() == owner) out.push_back(one);
        return out;
    }
    [[nodiscard]] std::size_t size() const { return all_.size(); }
    /// Closes all at once and waits for them; nothing new is taken from then on.
    [[nodiscard]] Task<void> close_all(Duration grace) {
        closed_ = true;
        auto const all = list();
        all_.clear();
        for (auto const& one : all)
            if (auto const execution = one->execution()) execution->request_stop(grace);
        for (auto const& one : all) {
            co_await one->close(grace);
        }
    }

  private:
    std::size_t most_;
    bool closed_ = false;
    std::map<std::string, std::shared_ptr<T>, std::less<>> all_;
};

class Sessions : public Shelf<Session> {
  public:
    /// Each is a running shell: the executions' own limit (4096) comes first.
    Sessions(Loop& loop, Executions& executions, std::size_t most = 4096)
        : Shelf(most), loop_(&loop), executions_(&executions) {}
    /// As Session::open; exhausted: there are too many.
    [[nodiscard]] Task<Result<std::shared_ptr<Session>>> open(Session::Options options);
    /// `options.id` names it and `options.digest` the request: the same pair again gives the same session
    /// (also while the first call is still opening it), another digest is a conflict.
    [[nodiscard]] Task<Result<std::shared_ptr<Session>>> open_or_attach(Session::Options options);

  private:
    Loop* loop_;
    Executions* executions_;
    std::map<std::string, std::string, std::less<>> opening_;  // id -> digest
    Event opened_;
};

class Terminals : public Shelf<Terminal> {
  public:
    Terminals(Loop& loop, Executions& executions, std::size_t most = 4096)
        : Shelf(most), loop_(&loop), executions_(&executions) {}
    /// Nothing is started yet.
    [[nodiscard]] Result<std::shared_ptr<Terminal>> create(Terminal::Options options);
    /// As Sessions::open_or_attach.
    [[nodiscard]] Result<std::shared_ptr<Terminal>> create_or_attach(Terminal::Options options);

  private:
    Loop* loop_;
    Executions* executions_;
};

}  // namespace execd::shell
