#include <algorithm>
#include <set>

#include "execd/http/route.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

namespace {

struct Pattern {
    enum class Kind { literal, parameter, tail };
    struct Segment {
        Kind kind;
        std::string text;  // the literal, or the parameter's name
    };
    std::vector<Segment> segments;
};

Result<Pattern> parse_pattern(std::string_view path) {
    Pattern out;
    auto const bad = [path](std::string_view why) {
        return fail(Code::internal, "route", std::string(path) + ": " + std::string(why));
    };
    if (path.empty() || path.front() != '/') return bad("a path starts with '/'");
    path.remove_prefix(1);
    std::set<std::string> names;
    while (!path.empty()) {
        auto const slash = path.find('/');
        std::string_view part = path.substr(0, slash);
        path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
        if (part.empty()) return bad("an empty segment");
        if (part.front() != '{') {
            out.segments.push_back({Pattern::Kind::literal, std::string(part)});
            continue;
        }
        if (part.back() != '}') return bad("an unclosed parameter");
        part = part.substr(1, part.size() - 2);
        bool const tail = part.ends_with("...");
        if (tail) part.remove_suffix(3);
        if (part.empty()) return bad("a parameter without a name");
        if (tail && !path.empty()) return bad("a greedy tail that is not last");
        if (!names.insert(std::string(part)).second) return bad("two parameters of one name");
        out.segments.push_back({tail ? Pattern::Kind::tail : Pattern::Kind::parameter, std::string(part)});
    }
    return out;
}

}  // namespace

struct Router::Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> parameter;
    std::vector<Row const*> here;   // rows whose path ends at this node
    std::vector<Row const*> tails;  // rows that take everything below

    struct Found {
        std::vector<Row const*> const* rows = nullptr;
        std::vector<std::string_view> values;  // raw text of the parameters, tail last
    };

    // Depth first, literals before parameters before tails: the most literal row wins whatever the order of
    // the table. `accept` decides whether the rows at a node fit method and guard; going on otherwise lets a
    // wider row match. No `rest`: the path is over. An empty one: it ended in a slash, which is a segment of
    // its own ("/a//b", "/a//").
    template <class Accept>
    bool walk(std::optional<std::string_view> rest, std::vector<std::string_view>& values,
              Accept const& accept) const {
        if (!rest) {
            if (!here.empty() && accept(here, values)) return true;
        } else {
            auto const slash = rest->find('/');
            std::string_view const segment = rest->substr(0, slash);
            std::optional<std::string_view> below;
            if (slash != std::string_view::npos) below = rest->substr(slash + 1);
            auto next = literals.find(segment);
            if (next == literals.end() && segment.find('%') != std::string_view::npos) {
                if (auto decoded = percent_decode(segment)) next = literals.find(*decoded);
            }
            if (next != literals.end() && next->second->walk(below, values, accept)) return true;
            if (parameter && !segment.empty()) {
                values.push_back(segment);
                if (parameter->walk(below, values, accept)) return true;
                values.pop_back();
            }
        }
        if (!tails.empty()) {
            values.push_back(rest.value_or(std::string_view()));
            if (accept(tails, values)) return true;
            values.pop_back();
        }
        return false;
    }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;

Result<std::unique_ptr<Router>> Router::build(std::vector<Row> rows, std::vector<Ownership> owners) {
    std::unique_ptr<Router> router(new Router());
    router->rows_ = std::move(rows);
    router->owners_ = std::move(owners);
    std::stable_sort(router->owners_.begin(), router->owners_.end(),
                     [](auto const& a, auto const& b) { return a.prefix.size() > b.prefix.size(); });
    for (auto& row : router->rows_) {
        std::string const label = row.method + " " + row.path;
        if (!row.sync && !row.invoke)
            return fail(Code::internal, "route", label + ": needs a handler, sync or invoke");
        auto pattern = parse_pattern(row.path);
        if (!pattern) return Failure(pattern.error());
        if (row.dialect == nullptr) row.dialect = router->owner(row.path);
        if (row.dialect == nullptr) return fail(Code::internal, "route", label + ": nobody owns this path");
        Node* node = router->root_.get();
        std::vector<Row const*>* slot = nullptr;
        for (auto const& segment : pattern->segments) {
            if (segment.kind == Pattern::Kind::tail) {
                slot = &node->tails;
            } else if (segment.kind == Pattern::Kind::parameter) {
                if (!node->parameter) node->parameter = std::make_unique<Node>();
                node = node->parameter.get();
            } else {
                auto& next = node->literals[segment.text];
                if (!next) next = std::make_unique<Node>();
                node = next.get();
            }
        }
        if (slot == nullptr) slot = &node->here;
        for (Row const* other : *slot) {
            bool const same_method = other->method == row.method;
            if (same_method && other->guard.name == row.guard.name)
                return fail(Code::internal, "route",
                            label + " (" + row.operation_id + ") and " + other->method + " " + other->path +
                                " (" + other->operation_id +
                                ") cannot be told apart: give them different guards");
        }
        // Guarded rows are asked first, "*" last.
        slot->push_back(&row);
        std::stable_sort(slot->begin(), slot->end(), [](Row const* a, Row const* b) {
            auto const rank = [](Row const* r) {
                return (r->guard.name.empty() ? 1 : 0) + (r->method == "*" ? 2 : 0);
            };
            return rank(a) < rank(b);
        });
    }
    return router;
}

Router::Match Router::match(std::string_view method, std::string_view path, Head const& head,
                            ListenerInfo const& listener, Pairs& params) const {
    Match out;
    if (path.empty() || path.front() != '/') return out;
    std::string_view rest = path.substr(1);
    // The twin with a trailing slash is the same resource (never a redirect); a tail row sees the slash
    // itself.
    std::optional<std::string_view> trimmed;
    if (!rest.empty())
        trimmed = rest.size() > 1 && rest.back() == '/' ? rest.substr(0, rest.size() - 1) : rest;
    std::vector<std::string_view> values;
    auto const accept = [&](std::vector<Row const*> const& rows, std::vector<std::string_view> const&) {
        for (Row const* row : rows) {
            if (row->guard.admits != nullptr && !row->guard.admits(head, listener)) continue;
            bool const as_get = method == "HEAD" && row->method == "GET" && row->dialect->serves_head();
            if (row->method == method || row->method == "*" || as_get) {
                out.row = row;
                out.head_as_get = as_get;
                return true;
            }
            if (std::find(out.allowed.begin(), out.allowed.end(), row->method) == out.allowed.end())
                out.allowed.push_back(row->method);
        }
        return false;
    };
    if (!root_->walk(trimmed, values, accept)) return out;
    out.allowed.clear();
    // Names come from the matched row's own pattern; values in the same order.
    params.clear();
    std::string_view pattern = out.row->path;
    std::size_t index = 0;
    for (auto open = pattern.find('{'); open != std::string_view::npos; open = pattern.find('{', open + 1)) {
        std::string_view name = pattern.substr(open + 1, pattern.find('}', open) - open - 1);
        std::string_view raw = values[index++];
        if (name.ends_with("...")) {
            name.remove_suffix(3);
            // The tail keeps its slashes and a trailing one; it is decoded as a whole.
            raw = raw.data() == nullptr ? std::string_view()
                                        : rest.substr(static_cast<std::size_t>(raw.data() - rest.data()));
        }
        auto value = percent_decode(raw);
        if (!value) {
            out.bad_encoding = true;
            return out;
        }
        params.emplace_back(std::string(name), std::move(*value));
    }
    return out;
}

Dialect* Router::owner(std::string_view path) const {
    for (auto const& entry : owners_) {
        if (!path.starts_with(entry.prefix)) continue;
        if (entry.prefix.empty() || path.size() == entry.prefix.size() || path[entry.prefix.size()] == '/' ||
            entry.prefix.back() == '/')
            return entry.dialect;
    }
    return nullptr;
}

}  // namespace execd::http
