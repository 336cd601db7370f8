// What was wrong with a request: neutral facts from which every dialect renders its own body (FastAPI's 422
// list, Go's texts, AgentRun's flat object). The machine words and default messages are pydantic's: they are
// the richest.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/ops.hpp"

namespace execd::wire {

/// Which step refused: a Go dialect reports the first `syntax` or `type` fault and looks at `rule` faults
/// only when there is none.
enum class Stage : std::uint8_t { syntax, type, rule };

/// One step of a location: an object's key, a list's index, or the branch of a union (which is no part of the
/// document; FastAPI shows it, others leave it out).
struct LocItem {
    enum class Kind : std::uint8_t { key, index, branch } kind = Kind::key;
    std::string key;
    std::size_t index = 0;
    bool operator==(LocItem const&) const = default;
};

/// A value beside the message ("ge": 1): `json` is JSON text.
struct FaultDetail {
    std::string_view name;
    std::string json;
};

struct Fault {
    Stage stage = Stage::type;
    std::vector<LocItem> loc;  // starts with "body", "path", "query" or "header"
    std::string_view type;     // "missing", "int_type", "string_too_short" ...; static text
    std::string message;       // "Field required"
    std::string input;  // the offending value as JSON text, at most about 1 KiB; empty if there is none
    std::vector<FaultDetail> ctx;
    std::string_view input_kind;    // "null", "bool", "number", "string", "array", "object" or empty
    Ops const* expected = nullptr;  // the type that was asked for; null for syntax faults and unknown keys
    std::string_view object;        // the C++ name of the innermost struct, "RunCommandRequest"
    std::string_view member;        // the C++ name of the innermost member, "timeout_ms"
    std::string_view label;         // what its note calls it, "TimeoutMs"; empty without a note
    std::string label_path;  // from the outermost struct, "RunCommandRequest.Context.ID", "X.items[0].id"
    std::optional<JsonError>
        syntax{};  // with type "json_invalid": what and where, for dialects with other words
};

/// At most this many are kept for one request.
inline constexpr std::size_t kMaxFaults = 64;

using Faults = std::vector<Fault>;

/// ["body", "context", "id"] as "body.context.id", "body.items[2].name"; union branches are left out.
[[nodiscard]] std::string dotted(std::vector<LocItem> const& loc);

}  // namespace execd::wire
