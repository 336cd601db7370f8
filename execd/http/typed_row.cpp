#include "execd/http/typed_row.hpp"

#include "execd/http/fields.hpp"
#include "execd/http/multipart.hpp"
#include "execd/http/target.hpp"

namespace execd::http::detail {

namespace {

std::vector<wire::TextPair> views_of(Pairs const& pairs) {
    std::vector<wire::TextPair> out;
    out.reserve(pairs.size());
    for (auto const& [name, value] : pairs) out.push_back({name, value});
    return out;
}

// The values of a small multipart form; files belong to rows that stream them.
Result<Pairs> multipart_values(std::string_view boundary, std::string_view body) {
    using Event = MultipartParser::Event;
    MultipartParser parser(boundary);
    Pairs out;
    for (;;) {
        auto const step = parser.next(body);
        if (step.event == Event::part_begin) out.emplace_back(parser.part().name, std::string());
        if (step.event == Event::data && !out.empty()) out.back().second += step.data;
        if (step.event == Event::need_more || step.event == Event::end || step.event == Event::fault) break;
    }
    if (!parser.finish()) return fail(Code::decode, "body", std::string(to_string(parser.fault())));
    return out;
}

Result<Pairs> form_values(Call const& call, std::string const& body) {
    auto const type = parse_content_type(call.header("Content-Type").value_or(std::string_view()));
    if (type && type->is("multipart/form-data")) return multipart_values(type->boundary, body);
    return parse_query(body);
}

unsigned success_of(Row const* row, unsigned otherwise) {
    return row != nullptr && !row->statuses.empty() ? row->statuses.front().status : otherwise;
}

}  // namespace

Task<Result<std::optional<Answer>>> read_request(Call& call, Manners& manners, wire::Ops const& ops,
                                                 void* out) {
    wire::Sources from;
    std::vector<wire::TextPair> const path = views_of(call.params);
    std::vector<wire::TextPair> const query = views_of(call.query());
    std::vector<wire::TextPair> headers;
    for (auto const& [name, value] : call.head->fields) headers.push_back({name, value});
    from.path = path;
    from.query = query;
    from.headers = headers;
    std::string body;
    Pairs form;
    std::vector<wire::TextPair> form_views;
    bool const wants_form = wire::wants_form(ops);
    if (wants_form || wire::wants_body(ops)) {
        auto read = co_await call.body->read_all(call.row->body_limit);
        if (!read) co_return Failure(read.error());
        body = std::move(*read);
    }
    if (wants_form) {
        auto values = form_values(call, body);
        if (!values) co_return Failure(values.error());
        form = std::move(*values);
        form_views = views_of(form);
        from.form = form_views;
    } else {
        from.body_text = body;
    }
    wire::Faults faults;
    if (wire::decode(ops, out, from, manners.reading(), faults)) co_return std::optional<Answer>();
    co_return std::optional<Answer>(manners.refused(faults, call));
}

Answer write_answer(Call const& call, Manners const& manners, wire::Ops const& ops, void const* value) {
    std::string text;
    wire::encode(ops, value, manners.writing(), text);
    return Answer::bytes(success_of(call.row, 200), manners.media_type(), std::move(text));
}

Answer write_nothing(Call const& call) { return Answer::empty(success_of(call.row, 204)); }

void complete(Row& row, wire::Ops const* request, wire::Ops const* answer) {
    if (row.request == nullptr) row.request = request;
    if (row.body == BodyPolicy::none && request != nullptr) {
        if (wire::wants_form(*request))
            row.body = BodyPolicy::form;
        else if (wire::wants_body(*request))
            row.body = BodyPolicy::json;
    }
    if (answer == nullptr) return;
    if (row.statuses.empty()) row.statuses.push_back({});
    if (row.statuses.front().answer == nullptr) row.statuses.front().answer = answer;
}

}  // namespace execd::http::detail
