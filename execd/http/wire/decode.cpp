#include <array>

#include "execd/http/wire/decoder.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire::detail {

namespace {

constexpr int kMaxNestedChoices = 4;

std::string_view kind_of(Json const& value) {
    switch (value.type()) {
        case Json::value_t::boolean: return "bool";
        case Json::value_t::string: return "string";
        case Json::value_t::array: return "array";
        case Json::value_t::object: return "object";
        case Json::value_t::number_float:
        case Json::value_t::number_integer:
        case Json::value_t::number_unsigned: return "number";
        default: return "null";
    }
}

std::string_view label_of(Field const& field) {
    return field.note->label != nullptr ? std::string_view(field.note->label) : field.member;
}

// The names that people gave to the place: struct, member, label.
void name_place(Fault& fault, At const& at) {
    std::string inside;  // indices and keys below the next member
    for (auto const* step = &at; step != nullptr; step = step->up) {
        if (step->kind == LocItem::Kind::branch) continue;
        if (step->field == nullptr) {
            auto const name =
                step->kind == LocItem::Kind::index ? std::to_string(step->index) : std::string(step->key);
            inside.insert(0, '[' + name + ']');
            continue;
        }
        fault.label_path.insert(0, '.' + std::string(label_of(*step->field)) + inside);
        inside.clear();
        if (fault.object.empty()) {
            fault.object = step->object->name;
            fault.member = step->field->member;
            if (step->field->note->label != nullptr) fault.label = step->field->note->label;
        }
    }
    ObjectShape const* outermost = nullptr;
    for (auto const* step = &at; step != nullptr; step = step->up) {
        if (step->object != nullptr) outermost = step->object;
    }
    if (outermost != nullptr) fault.label_path.insert(0, outermost->name);
}

// Calls `use` with each of the note's aliases until it returns true.
template <class Use>
bool any_alias(Note const& note, Use&& use) {
    if (note.aliases == nullptr) return false;
    std::string_view left = note.aliases;
    for (;;) {
        auto const comma = left.find(',');
        if (use(left.substr(0, comma))) return true;
        if (comma == left.npos) return false;
        left.remove_prefix(comma + 1);
    }
}

}  // namespace

bool Decoder::fail(At const& at, Stage stage, std::string_view type, std::string message, Json const* input,
                   Ops const* expected, std::vector<FaultDetail> ctx) {
    if (done()) return false;
    Fault& fault = faults_.emplace_back();
    fault.stage = stage;
    fault.type = type;
    fault.message = std::move(message);
    fault.ctx = std::move(ctx);
    fault.expected = expected;
    if (input != nullptr) {
        append_json_bounded(fault.input, *input, 1024);
        fault.input_kind = kind_of(*input);
    }
    name_place(fault, at);
    std::size_t length = 0;
    for (auto const* step = &at; step != nullptr; step = step->up) ++length;
    fault.loc.resize(length);
    for (auto const* step = &at; step != nullptr; step = step->up) {
        fault.loc[--length] = {step->kind, std::string(step->key), step->index};
    }
    return false;
}

bool Decoder::value(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    switch (ops.kind) {
        case Kind::optional:
        case Kind::nullable:
        case Kind::tri: return boxed(ops, out, in, at, note);
        case Kind::json: *static_cast<Json*>(out) = in; return true;
        case Kind::json_text: {
            auto& text = static_cast<JsonText*>(out)->text;
            text.clear();
            append_json(text, in);
            return true;
        }
        default: break;
    }
    if (in.is_null() && policy_.null_is_absent) return true;
    switch (ops.kind) {
        case Kind::boolean: return boolean(ops, out, in, at);
        case Kind::integer: return integer(ops, out, in, at, note);
        case Kind::number: return number(ops, out, in, at, note);
        case Kind::string: return string(ops, out, in, at);
        case Kind::bytes: return bytes(ops, out, in, at);
        case Kind::timestamp: return timestamp(ops, out, in, at, note);
        case Kind::literal: return literal(ops, in, at);
        case Kind::enumeration: return enumeration(ops, out, in, at);
        case Kind::list: return list(ops, out, in, at, note);
        case Kind::map: return map(ops, out, in, at, note);
        case Kind::choice:
            return ops.shape.choice->tag != nullptr ? tagged(ops, out, in, at) : choice(ops, out, in, at);
        default: return object(*ops.shape.object, out, in, at);
    }
}

bool Decoder::boxed(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    BoxShape const& box = *ops.shape.box;
    if (in.is_null()) {
        box.reset(out, Presence::null);
        return true;
    }
    if (value(*ops.element, box.emplace(out), in, at, note)) return true;
    box.reset(out, Presence::absent);
    return false;
}

bool Decoder::list(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    auto const* items = in.get_ptr<Json::array_t const*>();
    ListShape const& shape = *ops.shape.list;
    if (items == nullptr)
        return fail(at, Stage::type, "list_type", "Input should be a valid list", &in, &ops);
    shape.clear(out);
    bool ok = true;
    for (std::size_t i = 0; i < items->size() && !done(); ++i) {
        At const item{.up = &at, .kind = LocItem::Kind::index, .index = i};
        ok &= value(*ops.element, shape.grow(out), (*items)[i], item, note);
    }
    return ok;
}

bool Decoder::map(Ops const& ops, void* out, Json const& in, At const& at, Note const& note) {
    auto const* items = in.get_ptr<Json::object_t const*>();
    MapShape const& shape = *ops.shape.map;
    if (items == nullptr)
        return fail(at, Stage::type, "dict_type", "Input should be a valid dictionary", &in, &ops);
    shape.clear(out);
    bool ok = true;
    for (auto const& [key, item] : *items) {
        if (done()) break;
        ok &= value(*ops.element, shape.slot(out, key), item, At{.up = &at, .key = key}, note);
    }
    return ok;
}

// ---- objects ----

Json const* Decoder::find_name(Json::object_t const& in, std::string_view name) const {
    if (auto const it = in.find(name); it != in.end()) return &it->second;
    if (!policy_.any_case_keys) return nullptr;
    for (auto const& [key, value] : in) {
        if (same_any_case(key, name)) return &value;
    }
    return nullptr;
}

Json const* Decoder::find(Json::object_t const& in, Field const& field) const {
    Json const* found = find_name(in, field.name);
    if (found == nullptr) {
        any_alias(*field.note,
                  [&](std::string_view alias) { return (found = find_name(in, alias)) != nullptr; });
    }
    return found;
}

bool Decoder::is_known(ObjectShape const& shape, std::string_view key) const {
    auto const same = [&](std::string_view name) {
        return key == name || (policy_.any_case_keys && same_any_case(key, name));
    };
    for (auto const& field : shape.all()) {
        if (field.note->place != Place::body) continue;
        if (same(field.name) || any_alias(*field.note, same)) return true;
    }
    return false;
}

bool Decoder::may_be_absent(Field const& field) const {
    Note const& note = *field.note;
    if (note.required || note.non_empty) return false;
    return field.ops->may_be_absent() || note.defaulted || policy_.absent_is_zero;
}

bool Decoder::missing(Field const& field, At const& at, Json const* enclosing) {
    return fail(at, Stage::rule, "missing", "Field required", enclosing, field.ops);
}

bool Decoder::member(Field const& field, void* out, Json const& in, At const& at) {
    if (!value(*field.ops, out, in, at, *field.note)) return false;
    return field.note == &kPlainNote || rules(*field.ops, out, *field.note, in, at);
}

bool Decoder::object(ObjectShape const& shape, void* out, Json const& in, At const& at,
                     std::string_view known_key) {
    auto const* map = in.get_ptr<Json::object_t const*>();
    if (map == nullptr) {
        return fail(at, Stage::type, "model_attributes_type",
                    "Input should be a valid dictionary or object to extract fields from", &in, nullptr,
                    {{"class_name", json_quoted(shape.name)}});
    }
    std::array<void*, kMaxFields> members;  // NOLINT: locate fills what is used
    shape.locate(out, members.data());
    bool ok = true;
    bool rest = policy_.reject_unknown;
    for (std::size_t i = 0; i < shape.count && !done(); ++i) {
        Field const& field = shape.fields[i];
        if (field.note->place == Place::rest) rest = true;
        if (field.note->place != Place::body) continue;
        At const here{.up = &at, .key = field.name, .object = &shape, .field = &field};
        Json const* const found = find(*map, field);
        bool const absent =
            found == nullptr || (found->is_null() && policy_.null_is_absent &&
                                 unboxed(*field.ops).kind != Kind::json && &unboxed(*field.ops) == field.ops);
        if (!absent) {
            ok &= member(field, members[i], *found, here);
        } else if (!may_be_absent(field)) {
            ok = missing(field, here, &in);
        }
    }
    return (!rest || unknown_keys(shape, members.data(), *map, at, known_key)) && ok;
}

bool Decoder::unknown_keys(ObjectShape const& shape, void* const* members, Json::object_t const& in,
                           At const& at, std::string_view known_key) {
    std::size_t rest = 0;
    while (rest < shape.count && shape.fields[rest].note->place != Place::rest) ++rest;
    bool ok = true;
    for (auto const& [key, item] : in) {
        if (done()) break;
        if (key == known_key || is_known(shape, key)) continue;
        At const here{.up = &at, .key = key};
        if (rest < shape.count) {
            Ops const& ops = *shape.fields[rest].ops;
            ok &= value(*ops.element, ops.shape.map->slot(members[rest], key), item, here, kPlainNote);
        } else {
            ok = fail(here, Stage::rule, "extra_forbidden", "Extra inputs are not permitted", &item, nullptr);
        }
    }
    return ok;
}

// ---- unions ----

bool Decoder::branch(Ops const& ops, void* out, Json const& in, At const& at, std::size_t index) {
    ChoiceShape const& shape = *ops.shape.choice;
    Ops const& alternative = *shape.alternatives[index];
    void* const made = shape.emplace(out, index);
    if (shape.tag != nullptr) {
        At const here{.up = &at, .kind = LocItem::Kind::branch, .key = shape.values[index]};
        return object(*alternative.shape.object, made, in, here, shape.tag);
    }
    std::string const name = branch_name(alternative);
    return value(alternative, made, in, At{.up = &at, .kind = LocItem::Kind::branch, .key = name},
                 kPlainNote);
}

bool Decoder::tagged(Ops const& ops, void* out, Json const& in, At const& at) {
    ChoiceShape const& shape = *ops.shape.choice;
    auto const* map = in.get_ptr<Json::object_t const*>();
    if (map == nullptr) {
        return fail(at, Stage::type, "model_attributes_type",
                    "Input should be a valid dictionary or object to extract fields from", &in, &ops);
    }
    std::string const tag_text = "'" + std::string(shape.tag) + "'";
    Json const* const tag = find_name(*map, shape.tag);
    if (tag == nullptr) {
        return fail(at, Stage::rule, "union_tag_not_found",
                    "Unable to extract tag using discriminator " + tag_text, &in, &ops,
                    {{"discriminator", json_quoted(tag_text)}});
    }
    std::string expected;
    for (std::size_t i = 0; i < shape.count; ++i) {
        if (tag->is_string() && tag->get_ref<std::string const&>() == shape.values[i])
            return branch(ops, out, in, at, i);
        ((expected += i == 0 ? "'" : ", '") += shape.values[i]) += '\'';
    }
    std::string given;
    append_json_bounded(given, *tag, 64);
    if (tag->is_string()) given = given.substr(1, given.size() - 2);
    return fail(at, Stage::rule, "union_tag_invalid",
                "Input tag '" + given + "' found using " + tag_text +
                    " does not match any of the expected tags: " + expected,
                &in, &ops,
                {{"discriminator", json_quoted(tag_text)},
                 {"tag", json_quoted(given)},
                 {"expected_tags", json_quoted(expected)}});
}

bool Decoder::try_branches(Ops const& ops, void* out, Json const& in, At const& at, bool strict) {
    Policy trial = policy_;
    trial.first_fault_only = true;
    if (strict) {
        trial.number_from_string = trial.number_from_bool = trial.string_from_number =
            trial.bool_from_number = false;
        trial.whole_float_is_int = trial.absent_is_zero = false;
        trial.bool_text = BoolText::none;
    }
    for (std::size_t i = 0; i < ops.shape.choice->count; ++i) {
        Faults ignored;
        Decoder attempt(trial, ignored);
        attempt.choices_ = choices_ + 1;
        if (attempt.branch(ops, out, in, at, i)) return true;
    }
    return false;
}

// The first alternative that fits as it is, then the first that fits leniently: "1" stays text in
// variant<int, string>.
bool Decoder::choice(Ops const& ops, void* out, Json const& in, At const& at) {
    if (choices_ >= kMaxNestedChoices) {
        return fail(at, Stage::rule, "union_too_deep", "Unions are nested too deeply", nullptr, &ops);
    }
    if (try_branches(ops, out, in, at, true) || try_branches(ops, out, in, at, false)) return true;
    return no_branch(ops, out, in, at);
}

bool Decoder::no_branch(Ops const& ops, void* out, Json const& in, At const& at) {
    if (choices_ == 0 && policy_.union_branches) {
        ++choices_;
        for (std::size_t i = 0; i < ops.shape.choice->count && !done(); ++i) branch(ops, out, in, at, i);
        --choices_;
        return false;
    }
    return fail(at, Stage::type, "union_error", "Input matches none of the allowed types", &in, &ops);
}

}  // namespace execd::wire::detail
