// Three small dialects over the same faults: Go's texts, FastAPI's 422 list, AgentRun's flat and nested
// object.
#pragma once
#include <string>

#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire_test {

inline wire::Policy go_policy() {
    wire::Policy policy;
    policy.any_case_keys = policy.null_is_absent = policy.absent_is_zero = true;
    policy.parse.trailing = wire::Trailing::ignore;
    return policy;
}
inline wire::Policy fastapi_policy() {
    wire::Policy policy;
    policy.number_from_string = policy.number_from_bool = policy.bool_from_number =
        policy.whole_float_is_int = true;
    policy.bool_text = wire::BoolText::words;
    policy.last_of_repeated = true;
    return policy;
}
inline wire::Policy agentrun_policy() {
    wire::Policy policy;
    policy.null_is_absent = policy.number_from_string = policy.empty_body_is_object = true;
    return policy;
}

inline std::string go_type(wire::Ops const& boxed) {
    wire::Ops const& ops = wire::detail::unboxed(boxed);
    switch (ops.kind) {
        case wire::Kind::boolean: return "bool";
        case wire::Kind::integer: return (ops.is_signed ? "int" : "uint") + std::to_string(ops.width * 8);
        case wire::Kind::number: return "float" + std::to_string(ops.width * 8);
        case wire::Kind::list: return "[]" + go_type(*ops.element);
        case wire::Kind::map: return "map[string]" + go_type(*ops.element);
        case wire::Kind::object: return "model." + std::string(ops.shape.object->name);
        default: return "string";
    }
}

inline std::string go_syntax(wire::Fault const& fault) {
    if (!fault.syntax) return "EOF";
    if (fault.syntax->found == 0) return "unexpected EOF";
    std::string const what = std::string("invalid character '") + fault.syntax->found + "'";
    using Code = wire::JsonError::Code;
    switch (fault.syntax->code) {
        case Code::expected_key: return what + " looking for beginning of object key string";
        case Code::expected_colon: return what + " after object key";
        case Code::expected_comma: return what + " after object key:value pair";
        default: return what + " looking for beginning of value";
    }
}

inline std::string go_rule(wire::Fault const& fault) {
    std::string_view tag = "required";
    if (fault.type == "greater_than_equal") tag = "gte";
    std::string const label(fault.label.empty() ? fault.member : fault.label);
    return "Key: '" + fault.label_path + "' Error:Field validation for '" + label + "' failed on the '" +
           std::string(tag) + "' tag";
}

/// json.Unmarshal stops the request before the validator looks at it.
inline std::string go_error(wire::Faults const& faults) {
    for (auto const& fault : faults) {
        if (fault.stage == wire::Stage::syntax) return go_syntax(fault);
        if (fault.stage != wire::Stage::type) continue;
        std::string path;
        for (std::size_t i = 1; i < fault.loc.size(); ++i) {
            if (fault.loc[i].kind == wire::LocItem::Kind::key) path += "." + fault.loc[i].key;
        }
        std::string const input(fault.input_kind == "number" ? "number " + fault.input
                                                             : std::string(fault.input_kind));
        return "json: cannot unmarshal " + input + " into Go struct field " + std::string(fault.object) +
               path + " of type " + (fault.expected != nullptr ? go_type(*fault.expected) : "struct");
    }
    std::string out;
    for (auto const& fault : faults) out += (out.empty() ? "" : "\n") + go_rule(fault);
    return out;
}

inline std::string fastapi_error(wire::Faults const& faults) {
    std::string out = "{\"detail\":[";
    for (auto const& fault : faults) {
        if (&fault != &faults.front()) out += ',';
        out += "{\"type\":" + wire::detail::json_quoted(fault.type) + ",\"loc\":[";
        for (auto const& item : fault.loc) {
            if (&item != &fault.loc.front()) out += ',';
            out += item.kind == wire::LocItem::Kind::index ? std::to_string(item.index)
                                                           : wire::detail::json_quoted(item.key);
        }
        out += "],\"msg\":" + wire::detail::json_quoted(fault.message);
        out += ",\"input\":" + (fault.input.empty() ? "null" : fault.input);
        for (auto const& detail : fault.ctx) {
            out += &detail == &fault.ctx.front() ? ",\"ctx\":{" : ",";
            out += wire::detail::json_quoted(detail.name) + ":" + detail.json;
        }
        out += fault.ctx.empty() ? "}" : "}}";
    }
    return out + "]}";
}

inline std::string agentrun_error(wire::Faults const& faults, std::string_view request_id) {
    auto const& first = faults.front();
    auto const quoted = [](std::string_view text) { return wire::detail::json_quoted(text); };
    std::string const message = quoted(wire::dotted(first.loc) + ": " + first.message);
    std::string out = "{\"code\":\"INVALID_REQUEST\",\"message\":" + message +
                      ",\"requestId\":" + quoted(request_id) +
                      ",\"error\":{\"code\":\"INVALID_REQUEST\",\"message\":" + message + ",\"details\":[";
    for (auto const& fault : faults) {
        if (&fault != &first) out += ',';
        out += "{\"field\":" + quoted(wire::dotted(fault.loc)) + ",\"reason\":" + quoted(fault.type) + "}";
    }
    return out + "]}}";
}

}  // namespace execd::wire_test
