#include "execd/http/openapi.hpp"

#include <algorithm>

namespace execd::http {

namespace {

void describe_body(Row const& row, wire::RowDoc& doc) {
    doc.request = row.request;
    if (row.body == BodyPolicy::multipart) doc.request_media = "multipart/form-data";
    if (row.method == "GET" || row.method == "HEAD") return;
    switch (row.body) {
        case BodyPolicy::none: break;
        case BodyPolicy::json: doc.opaque_media = "application/json"; break;
        case BodyPolicy::multipart: doc.opaque_media = "multipart/form-data"; break;
        case BodyPolicy::form: doc.opaque_media = "application/x-www-form-urlencoded"; break;
        case BodyPolicy::raw: doc.opaque_media = "application/octet-stream"; break;
    }
}

void add_error(wire::RowDoc& doc, int status, wire::Ops const* body, std::string_view text = {}) {
    for (auto const& known : doc.answers)
        if (known.status == status) return;
    doc.answers.push_back({status, text, body, body != nullptr ? "application/json" : ""});
}

void describe_answers(Row const& row, DialectDoc const& about, wire::RowDoc& doc) {
    for (auto const& status : row.statuses) {
        auto const* const body =
            status.answer == nullptr && status.status >= 400 && status.media_type == "application/json"
                ? about.error
                : status.answer;
        doc.answers.push_back({static_cast<int>(status.status), status.doc, body, status.media_type});
    }
    bool const relay = row.method == "*";
    if (row.statuses.empty() && !relay) doc.answers.push_back({200, "Done", nullptr, ""});
    if (row.access == Access::token)
        add_error(doc, 401, about.unauthorized != nullptr ? about.unauthorized : about.error,
                  "No credential, or a wrong one");
    if (relay) return add_error(doc, 0, nullptr, "What the port answers");
    if (row.request != nullptr || !doc.opaque_media.empty())
        add_error(doc, static_cast<int>(about.refused), about.error, "The request does not fit");
    if (row.path.find('{') != std::string::npos) add_error(doc, 404, about.error, "It is not there");
    if (row.body != BodyPolicy::none) add_error(doc, 413, about.error, "The body is too large");
    add_error(doc, 0, about.error);
}

void describe_auth(Row const& row, DialectDoc const& about, wire::RowDoc& doc, wire::ApiDoc& api) {
    if (row.access != Access::token) return;
    bool const upgrade =
        std::any_of(row.statuses.begin(), row.statuses.end(), [](auto const& s) { return s.status == 101; });
    for (auto const& auth : about.auth) {
        if (auth.for_upgrades && !upgrade) continue;
        doc.auth.push_back(auth.name);
        if (std::find(api.auth.begin(), api.auth.end(), auth) == api.auth.end()) api.auth.push_back(auth);
    }
}

}  // namespace

std::string openapi_of(std::span<Row const> rows, std::string_view dialect, std::string_view version,
                       DialectDocs const& about) {
    std::vector<wire::RowDoc> docs;
    wire::ApiDoc api;
    api.title = "execd";
    api.version = version;
    api.doc = "Derived from the daemon's route table.";
    for (Row const& row : rows) {
        std::string_view const owner = row.dialect != nullptr ? row.dialect->name() : std::string_view();
        if (!dialect.empty() && owner != dialect) continue;
        DialectDoc const common = about(owner);
        wire::RowDoc doc;
        doc.method = row.method;
        doc.path = row.path;
        doc.operation_id = row.operation_id;
        if (dialect.empty() && !owner.empty()) doc.operation_id = std::string(owner) + "_" + row.operation_id;
        doc.tag = row.tag;
        doc.doc = row.doc;
        describe_body(row, doc);
        describe_answers(row, common, doc);
        describe_auth(row, common, doc, api);
        docs.push_back(std::move(doc));
    }
    return wire::openapi(api, docs);
}

}  // namespace execd::http
