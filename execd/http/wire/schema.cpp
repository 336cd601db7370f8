#include "execd/http/wire/schema.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/encode.hpp"
#include "execd/http/wire/schema_builder.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire {

namespace detail {

namespace {

// Defaults keep the declared order of their keys and are written as answers are.
OrderedJson encoded(Ops const& ops, void const* value, Note const& note) {
    EncodePolicy policy;
    if (note.time != TimeFormat::policy) policy.time = note.time;
    std::string text;
    encode(ops, value, policy, text);
    return OrderedJson::parse(text);
}

OrderedJson whole_if_exact(double limit) {
    if (std::abs(limit) < 9e15 && limit == std::floor(limit)) return static_cast<std::int64_t>(limit);
    return limit;
}

void add_limits(OrderedJson& schema, Note const& note, Ops const& ops) {
    if (std::isfinite(note.min))
        schema[note.exclusive_min ? "exclusiveMinimum" : "minimum"] = whole_if_exact(note.min);
    if (std::isfinite(note.max))
        schema[note.exclusive_max ? "exclusiveMaximum" : "maximum"] = whole_if_exact(note.max);
    char const* least = ops.kind == Kind::list  ? "minItems"
                        : ops.kind == Kind::map ? "minProperties"
                                                : "minLength";
    char const* most = ops.kind == Kind::list  ? "maxItems"
                       : ops.kind == Kind::map ? "maxProperties"
                                               : "maxLength";
    if (note.min_len > 0) {
        schema[least] = note.min_len;
    } else if (note.non_empty &&
               (ops.kind == Kind::string || ops.kind == Kind::list || ops.kind == Kind::map)) {
        schema[least] = 1;
    }
    if (note.max_len != std::numeric_limits<std::uint32_t>::max()) schema[most] = note.max_len;
    if (note.pattern != nullptr) schema["pattern"] = note.pattern;
    if (note.format != nullptr) schema["format"] = note.format;
}

}  // namespace

SchemaBuilder::SchemaBuilder(std::string prefix) : prefix_(std::move(prefix)) {}

std::string SchemaBuilder::component_name(ObjectShape const& shape) {
    std::string name(shape.name);
    auto const taken = owners_.find(name);
    if (taken == owners_.end() || taken->second == &shape) return name;
    // Another struct of that name: the namespaces tell them apart.
    name = shape.full_name;
    for (auto colons = name.find("::"); colons != name.npos; colons = name.find("::"))
        name.replace(colons, 2, "__");
    return name;
}

OrderedJson SchemaBuilder::reference(ObjectShape const& shape) {
    std::string const name = component_name(shape);
    if (owners_.emplace(name, &shape).second) {
        defs_[name] = OrderedJson::object();  // before the members: types may be recursive
        auto body = object(shape, Place::body);
        defs_[name] = std::move(body);
    }
    return {{"$ref", prefix_ + name}};
}

OrderedJson SchemaBuilder::integer(Ops const& ops, Note const& note) {
    if (note.as_text) return {{"type", "string"}, {"format", "int64"}};
    OrderedJson out{{"type", "integer"}};
    if (ops.width >= 4) out["format"] = ops.width == 4 && ops.is_signed ? "int32" : "int64";
    if (!ops.is_signed) out["minimum"] = 0;
    return out;
}

OrderedJson SchemaBuilder::timestamp(Note const& note) {
    if (note.time == TimeFormat::unix_millis || note.time == TimeFormat::unix_seconds) {
        return {{"type", "integer"}, {"format", "int64"}};
    }
    return {{"type", "string"}, {"format", "date-time"}};
}

OrderedJson SchemaBuilder::enumeration(EnumShape const& shape) {
    OrderedJson out{{"type", shape.numeric ? "integer" : "string"}, {"enum", OrderedJson::array()}};
    for (std::size_t i = 0; i < shape.count; ++i) {
        if (shape.numeric) {
            out["enum"].push_back(shape.items[i].value);
        } else {
            out["enum"].push_back(shape.items[i].name);
        }
    }
    return out;
}

OrderedJson SchemaBuilder::choice(ChoiceShape const& shape) {
    OrderedJson out = OrderedJson::object();
    char const* const how = shape.tag != nullptr ? "oneOf" : "anyOf";
    OrderedJson mapping = OrderedJson::object();
    for (std::size_t i = 0; i < shape.count; ++i) {
        auto one = schema(*shape.alternatives[i], kPlainNote);
        if (shape.tag != nullptr) mapping[std::string(shape.values[i])] = one["$ref"];
        out[how].push_back(std::move(one));
    }
    if (shape.tag != nullptr)
        out["discriminator"] = {{"propertyName", shape.tag}, {"mapping", std::move(mapping)}};
    return out;
}

OrderedJson SchemaBuilder::schema(Ops const& ops, Note const& note) {
    switch (ops.kind) {
        case Kind::boolean: return {{"type", "boolean"}};
        case Kind::integer: return integer(ops, note);
        case Kind::number: return {{"type", "number"}};
        case Kind::string: return {{"type", "string"}};
        case Kind::bytes: return {{"type", "string"}, {"format", "byte"}, {"contentEncoding", "base64"}};
        case Kind::timestamp: return timestamp(note);
        case Kind::json:
        case Kind::json_text: return OrderedJson::object();
        case Kind::literal: return {{"type", "string"}, {"const", *ops.shape.literal}};
        case Kind::enumeration: return enumeration(*ops.shape.enumeration);
        case Kind::list: return {{"type", "array"}, {"items", schema(*ops.element, note)}};
        case Kind::map: return {{"type", "object"}, {"additionalProperties", schema(*ops.element, note)}};
        case Kind::optional:
        case Kind::nullable:
        case Kind::tri: {
            auto inner = schema(*ops.element, note);
            add_limits(inner, note, unboxed(ops));
            OrderedJson any = OrderedJson::array({std::move(inner), OrderedJson{{"type", "null"}}});
            return {{"anyOf", std::move(any)}};
        }
        case Kind::choice: return choice(*ops.shape.choice);
        case Kind::object: return reference(*ops.shape.object);
    }
    return OrderedJson::object();
}

OrderedJson SchemaBuilder::member(Field const& field, void const* fresh) {
    Note const& note = *field.note;
    auto out = schema(*field.ops, note);
    if (&unboxed(*field.ops) == field.ops) add_limits(out, note, *field.ops);
    if (note.doc != nullptr) out["description"] = note.doc;
    if (note.defaulted && field.ops->kind != Kind::tri) out["default"] = encoded(*field.ops, fresh, note);
    return out;
}

namespace {
struct Use {
    SchemaBuilder* builder;
    ObjectShape const* shape;
    Place place;
    OrderedJson* out;
};
}  // namespace

void SchemaBuilder::add_members(ObjectShape const& shape, void const* fresh, Place place, OrderedJson& out) {
    std::array<void*, kMaxFields> members;                   // NOLINT: locate fills what is used
    shape.locate(const_cast<void*>(fresh), members.data());  // NOLINT: only read
    for (std::size_t i = 0; i < shape.count; ++i) {
        Field const& field = shape.fields[i];
        Note const& note = *field.note;
        if (note.place == Place::rest && place == Place::body) out["additionalProperties"] = true;
        if (note.place != place || note.hidden) continue;
        std::string const name(field.name);
        out["properties"][name] = member(field, members[i]);
        bool const optional =
            !note.required && !note.non_empty && (note.defaulted || field.ops->may_be_absent());
        if (!optional) out["required"].push_back(name);
    }
}

OrderedJson SchemaBuilder::object(ObjectShape const& shape, Place place) {
    OrderedJson out{{"type", "object"}, {"title", shape.name}};
    if (shape.doc != nullptr) out["description"] = shape.doc;
    out["properties"] = OrderedJson::object();
    Use use{this, &shape, place, &out};
    shape.with_default(&use, [](void* context, void const* fresh) {
        auto const& u = *static_cast<Use*>(context);
        u.builder->add_members(*u.shape, fresh, u.place, *u.out);
    });
    return out;
}

}  // namespace detail

std::string json_schema(Ops const& ops) {
    detail::SchemaBuilder builder("#/$defs/");
    detail::OrderedJson out;
    if (ops.kind == Kind::object) {
        // In place and not by reference: MCP clients want "type": "object" at the top.
        out = builder.object(*ops.shape.object, Place::body);
    } else {
        out = builder.schema(ops, detail::kPlainNote);
    }
    if (!builder.definitions().empty()) out["$defs"] = builder.definitions();
    return out.dump();
}

}  // namespace execd::wire
