#include <array>
#include <nlohmann/json.hpp>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/schema.hpp"
#include "execd/http/wire/schema_builder.hpp"

namespace execd::wire {

namespace {

using detail::OrderedJson;
using detail::SchemaBuilder;

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    return out;
}

// OpenAPI knows no greedy tails: "{path...}" becomes "{path}".
std::string template_of(std::string_view path) {
    std::string out(path);
    for (auto dots = out.find("...}"); dots != out.npos; dots = out.find("...}")) out.erase(dots, 3);
    return out;
}

std::string_view reason_of(int status) {
    switch (status) {
        case 0: return "Error";
        case 101: return "Switching Protocols";
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 422: return "Unprocessable Content";
        case 503: return "Service Unavailable";
        default: return status < 400 ? "Success" : "Error";
    }
}

class Document {
  public:
    std::string build(ApiDoc const& api, std::span<RowDoc const> rows) {
        OrderedJson out{{"openapi", "3.1.0"}, {"info", {{"title", api.title}, {"version", api.version}}}};
        if (!api.doc.empty()) out["info"]["description"] = api.doc;
        OrderedJson paths = OrderedJson::object();
        for (auto const& row : rows) add(row, paths[template_of(row.path)]);
        out["paths"] = std::move(paths);
        out["x-rows"] = rows.size();
        out["components"]["schemas"] = schemas_.definitions();
        for (auto const& auth : api.auth)
            out["components"]["securitySchemes"][std::string(auth.name)] = scheme(auth);
        // Invalid UTF-8 in a text of ours must not become an exception.
        return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    }

  private:
    void add(RowDoc const& row, OrderedJson& path) {
        if (row.method != "*") return add(row, lower(row.method), operation(row), path);
        for (std::string const method : {"get", "put", "post", "delete", "patch"}) {
            OrderedJson one = operation(row);
            one["x-any-method"] = true;
            if (!row.operation_id.empty()) one["operationId"] = row.operation_id + "_" + method;
            add(row, method, std::move(one), path);
        }
    }

    // What another row has already is told beside it.
    static void add(RowDoc const&, std::string const& method, OrderedJson operation, OrderedJson& path) {
        if (!path.contains(method)) {
            path[method] = std::move(operation);
            return;
        }
        operation["x-method"] = method;
        path["x-also"].push_back(std::move(operation));
    }

    static OrderedJson scheme(AuthDoc const& auth) {
        if (auth.in == "bearer") return {{"type", "http"}, {"scheme", "bearer"}};
        return {{"type", "apiKey"}, {"in", auth.in}, {"name", auth.key}};
    }

    OrderedJson operation(RowDoc const& row) {
        OrderedJson out = OrderedJson::object();
        if (!row.tag.empty()) out["tags"] = OrderedJson::array({row.tag});
        if (!row.operation_id.empty()) out["operationId"] = row.operation_id;
        if (!row.doc.empty()) out["summary"] = row.doc;
        if (row.request != nullptr) add_request(row, out);
        if (!row.opaque_media.empty() && !out.contains("requestBody"))
            out["requestBody"] = body(opaque(row.opaque_media), row.opaque_media, false);
        add_bare_parameters(row, out);
        out["responses"] = answers(row);
        for (auto const& name : row.auth) out["security"].push_back({{name, OrderedJson::array()}});
        return out;
    }

    // A path parameter that no struct describes is still a parameter.
    static void add_bare_parameters(RowDoc const& row, OrderedJson& out) {
        std::string const path = template_of(row.path);
        for (auto open = path.find('{'); open != path.npos; open = path.find('{', open + 1)) {
            auto const name = path.substr(open + 1, path.find('}', open) - open - 1);
            bool known = false;
            if (out.contains("parameters")) {
                for (auto const& p : out["parameters"])
                    known = known || (p["in"] == "path" && p["name"] == name);
            }
            if (known) continue;
            out["parameters"].push_back(
                {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
        }
    }

    struct Use {
        Document* document;
        ObjectShape const* shape;
        OrderedJson* out;
    };

    void add_request(RowDoc const& row, OrderedJson& out) {
        Ops const& ops = *row.request;
        if (ops.kind != Kind::object) {
            out["requestBody"] =
                body(schemas_.schema(ops, detail::kPlainNote), row.request_media, !ops.may_be_absent());
            return;
        }
        ObjectShape const& shape = *ops.shape.object;
        Use use{this, &shape, &out};
        shape.with_default(&use, [](void* context, void const* fresh) {
            auto const& u = *static_cast<Use*>(context);
            u.document->add_parameters(*u.shape, fresh, *u.out);
        });
        bool in_body = false;
        bool in_form = false;
        for (auto const& field : shape.all()) {
            in_body |= field.note->place == Place::body || field.note->place == Place::rest;
            in_form |= field.note->place == Place::form;
            if (field.note->place != Place::whole) continue;
            out["requestBody"] = body(schemas_.schema(*field.ops, *field.note), row.request_media,
                                      !field.note->defaulted && !field.ops->may_be_absent());
        }
        if (in_body)
            out["requestBody"] = body(schemas_.schema(ops, detail::kPlainNote), row.request_media, true);
        if (in_form) out["requestBody"] = body(schemas_.object(shape, Place::form), form_media(row), true);
    }

    static OrderedJson opaque(std::string_view media) {
        if (media.starts_with("multipart/")) return {{"type", "object"}};
        return OrderedJson::object();  // bytes: neither a type nor a format (OpenAPI 3.1, 4.8.14.2)
    }

    static std::string_view form_media(RowDoc const& row) {
        return row.request_media == "application/json" ? "multipart/form-data" : row.request_media;
    }

    static OrderedJson body(OrderedJson schema, std::string_view media, bool required) {
        OrderedJson out = OrderedJson::object();
        if (required) out["required"] = true;
        out["content"][std::string(media)]["schema"] = std::move(schema);
        return out;
    }

    void add_parameters(ObjectShape const& shape, void const* fresh, OrderedJson& out) {
        std::array<void*, kMaxFields> members;                   // NOLINT: locate fills what is used
        shape.locate(const_cast<void*>(fresh), members.data());  // NOLINT: only read
        for (std::size_t i = 0; i < shape.count; ++i) {
            Field const& field = shape.fields[i];
            Note const& note = *field.note;
            std::string_view const in = note.place == Place::path     ? "path"
                                        : note.place == Place::query  ? "query"
                                        : note.place == Place::header ? "header"
                                                                      : "";
            if (in.empty() || note.hidden) continue;
            bool const optional =
                !note.required && !note.non_empty && (note.defaulted || field.ops->may_be_absent());
            OrderedJson parameter{
                {"name", field.name}, {"in", in}, {"required", note.place == Place::path || !optional}};
            if (note.doc != nullptr) parameter["description"] = note.doc;
            parameter["schema"] = schemas_.member(field, members[i]);
            parameter["schema"].erase("description");
            out["parameters"].push_back(std::move(parameter));
        }
    }

    OrderedJson answers(RowDoc const& row) {
        OrderedJson out = OrderedJson::object();
        for (auto const& answer : row.answers) {
            auto& one = out[answer.status == 0 ? "default" : std::to_string(answer.status)];
            if (!one.contains("description"))
                one["description"] = answer.doc.empty() ? reason_of(answer.status) : answer.doc;
            if (answer.media.empty()) continue;
            auto& media = one["content"][std::string(answer.media)];
            media = OrderedJson::object();
            if (answer.body != nullptr) media["schema"] = schemas_.schema(*answer.body, detail::kPlainNote);
        }
        if (out.empty()) out["200"] = {{"description", "OK"}};
        return out;
    }

    SchemaBuilder schemas_{"#/components/schemas/"};
};

}  // namespace

std::string openapi(ApiDoc const& api, std::span<RowDoc const> rows) { return Document().build(api, rows); }

}  // namespace execd::wire
