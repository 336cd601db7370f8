// Rows, dialects and calls: what a route is, who shapes its errors, and what a handler gets.
//
// A row is data: method, path, guard, policies, documentation and an invoke function. The router refuses
// ambiguous tables at start; OpenAPI, the docs and the "every route without a token" test are derived from
// the rows.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.hpp"
#include "execd/http/answer.hpp"
#include "execd/http/body.hpp"
#include "execd/http/message.hpp"

namespace execd::wire {
struct Ops;
}

namespace execd::http {

class Dialect;
struct Row;

/// Where a connection came in.
struct ListenerInfo {
    std::string name;         // "tcp:8080", "unix:/run/execd.sock"
    unsigned short port = 0;  // 0 for unix sockets
};

/// Who asks: the name of the credential, never the credential.
struct Principal {
    std::string name = "anonymous";
    std::string dialect;  // empty: valid everywhere
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// One request on its way through a handler. Lives in the connection until the answer is out.
struct Call {
    Head const* head = nullptr;
    Row const* row = nullptr;
    Dialect* dialect = nullptr;
    ListenerInfo const* listener = nullptr;
    Loop* loop = nullptr;
    BodyReader* body = nullptr;
    Principal principal;
    std::string peer;   // address of the client, without port
    std::string path;   // raw path after target stages (a self-proxy prefix is gone)
    std::string mount;  // what the target stages took off, e.g. "/proxy/44772"
    Pairs params;       // decoded path parameters, in order of the row's pattern
    bool self_proxied = false;
    std::string request_id;

    [[nodiscard]] std::string const& param(std::string_view name) const;
    /// Decoded query, parsed on first use.
    [[nodiscard]] Pairs const& query() const;
    [[nodiscard]] std::optional<std::string_view> query_value(std::string_view name) const;
    [[nodiscard]] std::vector<std::string> query_values(std::string_view name) const;
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const {
        return head->find(name);
    }

  private:
    mutable std::optional<Pairs> query_;
};

/// What happens to the handler when its client goes away: it runs on (what it still writes fails with
/// Code::disconnected), it is cancelled, or it is cancelled after the row's `interrupt` ran.
enum class OnDisconnect { keep, cancel, interrupt };
/// open: liveness, readiness and static assets only.
enum class Access { token, open };
enum class BodyPolicy { none, json, multipart, form, raw };

/// An Error becomes the dialect's error answer. A sync handler never waits, not even for the body.
using SyncHandler = std::function<Result<Answer>(Call&)>;
using Handler = std::function<Task<Result<Answer>>(Call&)>;

/// Two rows of the same shape need guards of different names; at most one of them may be unguarded (the
/// fallback).
struct Guard {
    std::string_view name;  // empty: always
    bool (*admits)(Head const&, ListenerInfo const&) = nullptr;
};

struct Row {
    std::string method;  // "GET"; "*" is any method
    std::string path;    // "/code/contexts/{id}", "/proxy/{port}/{rest...}"
    Guard guard;
    BodyPolicy body = BodyPolicy::none;
    std::uint64_t body_limit = 1U << 20;  // bytes
    Access access = Access::token;
    OnDisconnect on_disconnect = OnDisconnect::cancel;
    std::string operation_id;
    std::string tag;
    std::string doc;
    /// Described request and answer structs for OpenAPI; null where a row has none.
    wire::Ops const* request = nullptr;
    struct Status {
        unsigned status = 200;
        wire::Ops const* answer = nullptr;
        std::string media_type = "application/json";
        std::string doc;
    };
    std::vector<Status> statuses;

    SyncHandler sync;  // or invoke, or both: then an answer of status 0 says "ask invoke instead"
    Handler invoke;
    std::function<void(Call&)> interrupt;  // OnDisconnect::interrupt only
    Dialect* dialect = nullptr;            // set by the router
};

/// A wire contract's manners: who shapes 404, 405, OPTIONS, HEAD, errors, and where credentials are looked
/// for. One object a dialect, owned by the daemon, stateless towards requests.
class Dialect {
  public:
    virtual ~Dialect() = default;
    [[nodiscard]] virtual std::string_view name() const = 0;
    [[nodiscard]] virtual Answer error(Error const& error, Call const* call) = 0;
    [[nodiscard]] virtual Answer not_found(Head const& head) = 0;
    [[nodiscard]] virtual Answer method_not_allowed(Head const& head,
                                                    std::vector<std::string> const& allowed) = 0;
    [[nodiscard]] virtual Answer unauthorized(Head const& head, Error const& why) = 0;
    /// A head that broke HTTP's rules; `head` may be half parsed.
    [[nodiscard]] virtual Answer bad_request(HeadRefusal const& fault);
    /// HEAD is answered as GET without the body unless the contract has another rule.
    [[nodiscard]] virtual bool serves_head() const { return true; }
    /// The answer to OPTIONS on a known path without an own OPTIONS row; none means method_not_allowed.
    [[nodiscard]] virtual std::optional<Answer> options(Head const&, std::vector<std::string> const&) {
        return std::nullopt;
    }
};

/// The path's owner by its first segments ("/v1/sandboxes"; "" owns the rest).
struct Ownership {
    std::string prefix;
    Dialect* dialect = nullptr;
};

class Router {
  public:
    /// Refuses tables that are ambiguous or malformed, naming both rows.
    [[nodiscard]] static Result<std::unique_ptr<Router>> build(std::vector<Row> rows,
                                                               std::vector<Ownership> owners);
    ~Router();

    struct Match {
        Row const* row = nullptr;          // null: not found or wrong method
        std::vector<std::string> allowed;  // methods of this path, when only the method was wrong
        bool bad_encoding = false;         // a broken percent escape in a parameter
        bool head_as_get = false;
    };
    /// Fills `params`. `path` is raw.
    [[nodiscard]] Match match(std::string_view method, std::string_view path, Head const& head,
                              ListenerInfo const& listener, Pairs& params) const;
    /// Who answers for a path that no row knows.
    [[nodiscard]] Dialect* owner(std::string_view path) const;
    [[nodiscard]] std::vector<Row> const& rows() const { return rows_; }

  private:
    struct Node;
    Router();
    std::vector<Row> rows_;
    std::vector<Ownership> owners_;
    std::unique_ptr<Node> root_;
};

}  // namespace execd::http
