#include "execd/http/wire/encode.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/formats.hpp"
#include "execd/http/wire/values.hpp"

namespace execd::wire {

namespace {

using detail::kPlainNote;

class Encoder {
  public:
    Encoder(EncodePolicy const& policy, std::string& out) : policy_(policy), out_(out) {}

    // `note` says how integers and times are written; it reaches through boxes and containers.
    void value(Ops const& ops, void const* at, Note const& note) {
        switch (ops.kind) {
            case Kind::boolean: out_ += *static_cast<bool const*>(at) ? "true" : "false"; return;
            case Kind::integer: return integer(ops, at, note);
            case Kind::number: return number(ops, at, note);
            case Kind::string: return string(*static_cast<std::string const*>(at));
            case Kind::bytes: {
                out_ += '"';
                append_base64(out_, static_cast<Bytes const*>(at)->data);
                out_ += '"';
                return;
            }
            case Kind::timestamp: return time(*static_cast<Timestamp const*>(at), note);
            case Kind::json: return append_json(out_, *static_cast<Json const*>(at), policy_.escape);
            case Kind::json_text: out_ += static_cast<JsonText const*>(at)->text; return;
            case Kind::literal: return string(*ops.shape.literal);
            case Kind::enumeration: return enumeration(ops, at);
            case Kind::list: return list(ops, at, note);
            case Kind::map: return map(ops, at, note);
            case Kind::optional:
            case Kind::nullable:
            case Kind::tri: {
                void const* const held = ops.shape.box->get(at);
                if (held == nullptr) {
                    out_ += "null";
                } else {
                    value(*ops.element, held, note);
                }
                return;
            }
            case Kind::choice: return choice(ops, at, note);
            case Kind::object: return object(*ops.shape.object, at, {}, {});
        }
    }

  private:
    void string(std::string_view text) { append_json_string(out_, text, policy_.escape); }

    void integer(Ops const& ops, void const* at, Note const& note) {
        bool const text = note.as_text || (policy_.int64_as_text && ops.width == sizeof(std::int64_t));
        if (text) out_ += '"';
        __int128 const value = detail::load_integer(ops, at);
        if (ops.is_signed) {
            append_json_int(out_, static_cast<std::int64_t>(value));
        } else {
            append_json_uint(out_, static_cast<std::uint64_t>(value));
        }
        if (text) out_ += '"';
    }

    void number(Ops const& ops, void const* at, Note const& note) {
        double const value = detail::load_number(ops, at);
        if (note.as_text) out_ += '"';
        if (ops.width == sizeof(float)) {
            append_json_float(out_, static_cast<float>(value), policy_.float_fraction);
        } else {
            append_json_double(out_, value, policy_.float_fraction);
        }
        if (note.as_text) out_ += '"';
    }

    void time(Timestamp value, Note const& note) {
        using namespace std::chrono;
        auto const format = note.time == TimeFormat::policy ? policy_.time : note.time;
        auto const since = value.at.time_since_epoch();
        if (format == TimeFormat::unix_millis)
            return append_json_int(out_, floor<milliseconds>(since).count());
        if (format == TimeFormat::unix_seconds) return append_json_int(out_, floor<seconds>(since).count());
        out_ += '"';
        append_time(out_, value, format);
        out_ += '"';
    }

    void enumeration(Ops const& ops, void const* at) {
        auto const value = static_cast<std::int64_t>(detail::load_integer(ops, at));
        EnumShape const& shape = *ops.shape.enumeration;
        if (shape.numeric) return append_json_int(out_, value);
        for (std::size_t i = 0; i < shape.count; ++i) {
            if (shape.items[i].value == value) return string(shape.items[i].name);
        }
        out_ += "null";
    }

    void list(Ops const& ops, void const* at, Note const& note) {
        auto const items = ops.shape.list->view(at);
        out_ += '[';
        for (std::size_t i = 0; i < items.size; ++i) {
            if (i > 0) out_ += ',';
            value(*ops.element, items.data + i * ops.shape.list->stride, note);
        }
        out_ += ']';
    }

    struct Visit {
        Encoder* encoder;
        Ops const* element;
        Note const* note;
        bool first;
    };
    static void map_item(void* context, std::string const& key, void const* item) {
        auto& visit = *static_cast<Visit*>(context);
        visit.encoder->key(key, visit.first);
        visit.encoder->value(*visit.element, item, *visit.note);
    }
    void map_items(Ops const& ops, void const* at, Note const& note, bool& first) {
        Visit visit{this, ops.element, &note, first};
        ops.shape.map->each(at, &visit, map_item);
        first = visit.first;
    }
    void map(Ops const& ops, void const* at, Note const& note) {
        out_ += '{';
        bool first = true;
        map_items(ops, at, note, first);
        out_ += '}';
    }

    void key(std::string_view name, bool& first) {
        if (!first) out_ += ',';
        first = false;
        string(name);
        out_ += ':';
    }

    void choice(Ops const& ops, void const* at, Note const& note) {
        ChoiceShape const& shape = *ops.shape.choice;
        std::size_t const index = shape.index(at);
        Ops const& held = *shape.alternatives[index];
        if (shape.tag == nullptr) return value(held, shape.get(at), note);
        object(*held.shape.object, shape.get(at), shape.tag, shape.values[index]);
    }

    [[nodiscard]] bool is_left_out(Field const& field, void const* member) const {
        Note const& note = *field.note;
        if (note.omit_empty &&
            detail::is_zero(detail::unboxed(*field.ops), detail::unboxed(*field.ops, member))) {
            return true;
        }
        if (field.ops->kind == Kind::tri) return field.ops->shape.box->presence(member) == Presence::absent;
        if (field.ops->kind != Kind::optional || field.ops->shape.box->get(member) != nullptr) return false;
        return (note.absent == Absent::policy ? policy_.absent : note.absent) == Absent::omit;
    }

    // A tagged union's alternative without a member for the tag gets it written first.
    void object(ObjectShape const& shape, void const* at, std::string_view tag, std::string_view tag_value) {
        std::array<void*, kMaxFields> members;  // NOLINT: locate fills what is used
        shape.locate(const_cast<void*>(at),
                     members.data());  // NOLINT: one thunk for both directions, only read here
        for (std::size_t i = 0; i < shape.count; ++i) {
            if (shape.fields[i].note->place == Place::whole)
                return value(*shape.fields[i].ops, members[i], *shape.fields[i].note);
            if (shape.fields[i].name == tag) tag = {};
        }
        out_ += '{';
        bool first = true;
        if (!tag.empty()) {
            key(tag, first);
            string(tag_value);
        }
        for (std::size_t i = 0; i < shape.count; ++i) {
            Field const& field = shape.fields[i];
            if (field.note->place == Place::rest) {
                map_items(*field.ops, members[i], *field.note, first);
            } else if (field.note->place == Place::body && !is_left_out(field, members[i])) {
                key(field.name, first);
                value(*field.ops, members[i], *field.note);
            }
        }
        out_ += '}';
    }

    EncodePolicy const& policy_;
    std::string& out_;
};

}  // namespace

void encode(Ops const& ops, void const* value, EncodePolicy const& policy, std::string& out) {
    Encoder(policy, out).value(ops, value, kPlainNote);
}

}  // namespace execd::wire
