// The outermost step of decoding: which member comes from which part of the request.
#include <array>

#include "execd/http/wire/decoder.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire {

namespace {

using detail::At;
using detail::Decoder;

bool from_body(Place place) { return place == Place::body || place == Place::whole || place == Place::rest; }

std::string_view place_name(Place place) {
    switch (place) {
        case Place::path: return "path";
        case Place::query: return "query";
        case Place::header: return "header";
        default: return "body";  // forms too, as FastAPI says it
    }
}

bool has_place(Ops const& ops, bool (*test)(Place)) {
    if (ops.kind != Kind::object) return test(Place::body);
    for (auto const& field : ops.shape.object->all()) {
        if (test(field.note->place)) return true;
    }
    return false;
}

// The values of path, query, header and form are text whatever their type.
Policy text_policy(Policy policy) {
    policy.number_from_string = true;
    if (policy.bool_text == BoolText::none) policy.bool_text = BoolText::basic;
    return policy;
}

bool is_structured(Ops const& ops) {
    switch (ops.kind) {
        case Kind::object:
        case Kind::map:
        case Kind::json:
        case Kind::json_text:
        case Kind::choice: return true;
        default: return false;
    }
}

class Request {
  public:
    Request(Sources const& from, Policy const& policy, Faults& faults)
        : from_(from),
          text_policy_(text_policy(policy)),
          body_(policy, faults),
          text_(text_policy_, faults),
          faults_(faults) {}

    bool run(ObjectShape const& shape, void* out) {
        std::array<void*, kMaxFields> members;  // NOLINT: locate fills what is used
        shape.locate(out, members.data());
        bool ok = true;
        bool body = false;
        for (auto const place : {Place::path, Place::query, Place::header, Place::form}) {
            for (std::size_t i = 0; i < shape.count && !body_.done(); ++i) {
                Field const& field = shape.fields[i];
                if (field.note->place == place) ok &= text_member(shape, field, members[i]);
                body |= from_body(field.note->place);
            }
        }
        if (!body || body_.done()) return ok;
        return body_members(shape, out, members.data()) && ok;
    }

    bool whole_body(Ops const& ops, void* out) {
        Json parsed;
        Json const* const body = get_body(parsed);
        if (body == nullptr) return ops.may_be_absent() && !syntax_failed_ ? true : no_body();
        return body_.value(ops, out, *body, kBodyRoot, detail::kPlainNote);
    }

  private:
    static constexpr At kBodyRoot{.key = "body"};

    // Null: there is none, or (with a fault) it is not JSON.
    Json const* get_body(Json& parsed) {
        if (from_.body != nullptr) return from_.body;
        auto result = parse_json(from_.body_text, body_.policy().parse);
        if (result) {
            parsed = std::move(*result);
            return &parsed;
        }
        if (result.error().code != JsonError::Code::empty) {
            syntax_failed_ = true;
            faults_.push_back(syntax_fault(result.error()));
            return nullptr;
        }
        if (!body_.policy().empty_body_is_object) return nullptr;
        parsed = Json::object();
        return &parsed;
    }

    bool no_body() {
        if (syntax_failed_) return false;
        Json const null;
        return body_.fail(kBodyRoot, Stage::syntax, "missing", "Field required", &null, nullptr);
    }

    bool body_members(ObjectShape const& shape, void* out, void* const* members) {
        Json parsed;
        Json const* const body = get_body(parsed);
        for (std::size_t i = 0; i < shape.count; ++i) {
            Field const& field = shape.fields[i];
            if (field.note->place != Place::whole) continue;
            if (body != nullptr) return whole_member(shape, field, members[i], *body);
            return body_.may_be_absent(field) && !syntax_failed_ ? true : no_body();
        }
        return body != nullptr ? body_.object(shape, out, *body, kBodyRoot) : no_body();
    }

    bool whole_member(ObjectShape const& shape, Field const& field, void* out, Json const& body) {
        return body_.member(field, out, body, At{.key = "body", .object = &shape, .field = &field});
    }

    [[nodiscard]] std::span<TextPair const> pairs_of(Place place) const {
        switch (place) {
            case Place::path: return from_.path;
            case Place::query: return from_.query;
            case Place::header: return from_.headers;
            default: return from_.form;
        }
    }

    // All values under one name, in their order.
    [[nodiscard]] std::vector<std::string_view> texts(Place place, std::string_view name) const {
        std::vector<std::string_view> out;
        for (auto const& pair : pairs_of(place)) {
            bool const same =
                place == Place::header ? detail::same_any_case(pair.name, name) : pair.name == name;
            if (same) out.push_back(pair.value);
        }
        return out;
    }
    [[nodiscard]] std::vector<std::string_view> texts(Field const& field) const {
        auto out = texts(field.note->place, field.name);
        if (field.note->aliases == nullptr) return out;
        for (std::string_view left = field.note->aliases; out.empty();) {
            auto const comma = left.find(',');
            out = texts(field.note->place, left.substr(0, comma));
            if (comma == left.npos) break;
            left.remove_prefix(comma + 1);
        }
        return out;
    }

    bool text_member(ObjectShape const& shape, Field const& field, void* out) {
        At const root{.key = place_name(field.note->place)};
        At const at{.up = &root, .key = field.name, .object = &shape, .field = &field};
        auto const found = texts(field);
        if (found.empty()) {
            if (text_.may_be_absent(field)) return true;
            Json const null;
            return text_.missing(field, at, &null);
        }
        Ops const& ops = detail::unboxed(*field.ops);
        Json value;
        if (ops.kind == Kind::list) {
            value = Json::array();
            for (auto const text : found) {
                Json item;
                if (!text_value(*ops.element, text, at, item)) return false;
                value.push_back(std::move(item));
            }
        } else if (!text_value(ops, body_.policy().last_of_repeated ? found.back() : found.front(), at,
                               value)) {
            return false;
        }
        return text_.member(field, out, value, at);
    }

    // Text as a JSON string; members of structured type carry JSON text (a form's "metadata" part).
    bool text_value(Ops const& ops, std::string_view text, At const& at, Json& value) {
        if (!is_structured(detail::unboxed(ops))) {
            value = std::string(text);
            return true;
        }
        auto parsed = parse_json(text, body_.policy().parse);
        if (parsed) {
            value = std::move(*parsed);
            return true;
        }
        Json const input = std::string(text);
        return text_.fail(at, Stage::syntax, "json_invalid",
                          "Invalid JSON: " + std::string(parsed.error().message()), &input, &ops,
                          {{"error", detail::json_quoted(parsed.error().message())}});
    }

    Sources const& from_;
    Policy const text_policy_;
    Decoder body_;
    Decoder text_;
    Faults& faults_;
    bool syntax_failed_ = false;
};

}  // namespace

bool wants_body(Ops const& ops) { return has_place(ops, from_body); }
bool wants_form(Ops const& ops) {
    return ops.kind == Kind::object && has_place(ops, [](Place place) { return place == Place::form; });
}

bool decode(Ops const& ops, void* out, Sources const& from, Policy const& policy, Faults& faults) {
    Request request(from, policy, faults);
    return ops.kind == Kind::object ? request.run(*ops.shape.object, out) : request.whole_body(ops, out);
}

Fault syntax_fault(JsonError const& error) {
    Fault fault;
    fault.stage = Stage::syntax;
    fault.loc = {{LocItem::Kind::key, "body", 0}, {LocItem::Kind::index, {}, error.position}};
    fault.type = "json_invalid";
    fault.message = "JSON decode error";
    fault.input = "{}";
    fault.ctx.push_back({"error", detail::json_quoted(error.message())});
    fault.syntax = error;
    return fault;
}

std::string dotted(std::vector<LocItem> const& loc) {
    std::string out;
    for (auto const& item : loc) {
        if (item.kind == LocItem::Kind::branch) continue;
        if (item.kind == LocItem::Kind::index) {
            out += '[' + std::to_string(item.index) + ']';
        } else {
            if (!out.empty()) out += '.';
            out += item.key;
        }
    }
    return out;
}

}  // namespace execd::wire
