#include "execd/dialects/opensandbox/bodies.hpp"

#include "execd/dialects/opensandbox/dialect.hpp"

namespace execd::opensandbox {

namespace {

wire::Policy const& go_policy() {
    static wire::Policy const policy = [] {
        wire::Policy p;
        p.any_case_keys = true;
        p.null_is_absent = true;
        p.absent_is_zero = true;
        p.first_fault_only = true;
        p.parse.trailing = wire::Trailing::ignore;
        return p;
    }();
    return policy;
}

std::string go_kind(wire::Ops const* ops) {
    if (ops == nullptr) return "value";
    switch (ops->kind) {
        case wire::Kind::boolean: return "bool";
        case wire::Kind::integer:
            return std::string(ops->is_signed ? "int" : "uint") + std::to_string(ops->width * 8);
        case wire::Kind::number: return "float64";
        case wire::Kind::string: return "string";
        case wire::Kind::list: return "[]" + go_kind(ops->element);
        case wire::Kind::map: return "map[string]" + go_kind(ops->element);
        default: return "struct";
    }
}

std::string go_syntax(wire::JsonError const& error) {
    using Kind = wire::JsonError::Code;
    std::string const found = "invalid character '" + std::string(1, error.found) + "' ";
    switch (error.code) {
        case Kind::empty: return "EOF";
        case Kind::unexpected_end:
        case Kind::unterminated_string: return "unexpected EOF";
        case Kind::expected_value: return found + "looking for beginning of value";
        case Kind::expected_key: return found + "looking for beginning of object key string";
        case Kind::expected_colon: return found + "after object key";
        case Kind::expected_comma: return found + "after value";
        default: return "at byte " + std::to_string(error.offset) + ": " + std::string(error.message());
    }
}

// As encoding/json words it; the exact text is nobody's contract, the sense is.
std::string go_text(wire::Fault const& fault) {
    if (fault.syntax) return go_syntax(*fault.syntax);
    std::string where(fault.object);
    std::string const path = wire::dotted(fault.loc);
    if (path.starts_with("body.")) where += (where.empty() ? "" : ".") + path.substr(5);
    return "json: cannot unmarshal " + std::string(fault.input_kind) +
           (fault.input_kind == "number" ? " " + fault.input : std::string()) + " into Go struct field " +
           where + " of type " + go_kind(fault.expected);
}

std::string_view go_tag(wire::Fault const& fault) {
    if (fault.type == "greater_than_equal") return "gte";
    if (fault.type == "less_than_equal") return "lte";
    return "required";
}

}  // namespace

std::string validator_text(std::string_view type, std::string_view field, std::string_view tag) {
    return "Key: '" + std::string(type) + "." + std::string(field) + "' Error:Field validation for '" +
           std::string(field) + "' failed on the '" + std::string(tag) + "' tag";
}

std::optional<std::string> decode_text(std::string_view text, wire::Ops const& ops, void* out, bool strict) {
    wire::Policy policy = go_policy();
    if (strict) policy.parse.trailing = wire::Trailing::reject;
    wire::Sources from;
    from.body_text = text;
    wire::Faults faults;
    if (wire::decode(ops, out, from, policy, faults)) return std::nullopt;
    return go_text(faults.front());
}

Task<std::optional<http::Answer>> read_body(http::Call& call, wire::Ops const& ops, void* out,
                                            BodyTexts texts) {
    auto body = co_await call.body->read_all(call.row->body_limit);
    if (!body) co_return call.dialect->error(body.error(), &call);
    bool const blank = body->find_first_not_of(" \t\r\n") == std::string::npos;
    if (blank && texts.empty_is_object) co_return std::nullopt;
    if (blank) co_return refusal(400, code::kBody, std::string(texts.parse) + "EOF");
    wire::Sources from;
    from.body_text = *body;
    wire::Faults faults;
    if (wire::decode(ops, out, from, go_policy(), faults)) co_return std::nullopt;
    wire::Fault const& fault = faults.front();
    if (fault.stage == wire::Stage::rule)
        co_return refusal(400, code::kBody,
                          std::string(texts.validate) +
                              validator_text(fault.object, fault.label.empty() ? fault.member : fault.label,
                                             go_tag(fault)));
    co_return refusal(400, code::kBody, std::string(texts.parse) + go_text(fault));
}

}  // namespace execd::opensandbox
