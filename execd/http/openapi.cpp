#include "execd/http/openapi.hpp"

#include "execd/http/wire/schema.hpp"

namespace execd::http {

std::string openapi_of(std::span<Row const> rows, std::string_view dialect, std::string_view version) {
    std::vector<wire::RowDoc> docs;
    for (Row const& row : rows) {
        bool const wanted = dialect.empty() || (row.dialect != nullptr && row.dialect->name() == dialect);
        if (!wanted || row.method == "*") continue;  // relays have no document of their own
        wire::RowDoc doc;
        doc.method = row.method;
        doc.path = row.path;
        doc.operation_id = row.operation_id;
        doc.tag = row.tag;
        doc.doc = row.doc;
        doc.request = row.request;
        if (row.body == BodyPolicy::multipart) doc.request_media = "multipart/form-data";
        for (auto const& status : row.statuses)
            doc.answers.push_back(
                {static_cast<int>(status.status), status.doc, status.answer, status.media_type});
        if (row.statuses.empty()) doc.answers.push_back({200, "Done", nullptr, ""});
        if (row.access == Access::token) doc.auth.push_back("token");
        docs.push_back(std::move(doc));
    }
    wire::ApiDoc api;
    api.title = "execd";
    api.version = version;
    api.doc = "Derived from the daemon's route table.";
    api.auth.push_back({"token", "header", "X-EXECD-ACCESS-TOKEN"});
    return wire::openapi(api, docs);
}

}  // namespace execd::http
