#include "execd/http/message.hpp"

#include <boost/beast/http/status.hpp>

#include "execd/http/fields.hpp"
#include "execd/http/head_scan.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

std::optional<std::string_view> Head::find(std::string_view name) const noexcept {
    for (auto const& field : fields)
        if (iequals(field.name, name)) return field.value;
    return std::nullopt;
}

bool Head::has_token(std::string_view name, std::string_view token) const noexcept {
    for (auto const& field : fields)
        if (iequals(field.name, name) && http::has_token(field.value, token)) return true;
    return false;
}

namespace {

// The common origin form without anything to decode is split here; everything else goes the long way.
std::optional<HeadRefusal> split_target(Head& head) {
    if (head.target.starts_with('/') && head.target.find_first_of("%#") == std::string_view::npos) {
        auto const mark = head.target.find('?');
        head.path = head.target.substr(0, mark);
        head.query = mark == std::string_view::npos ? std::string_view() : head.target.substr(mark + 1);
        return std::nullopt;
    }
    auto target = parse_target(head.target);
    if (!target)
        return HeadRefusal{400, target.error().detail.empty() ? "bad request target" : target.error().detail};
    head.path = target->raw_path;
    head.query = target->raw_query;
    if (target->form == TargetForm::absolute) head.host = target->authority;
    return std::nullopt;
}

}  // namespace

std::optional<HeadRefusal> parse_head(Head& head) {
    HeadScan const scan = scan_head(head.raw);
    if (!scan.ok()) return HeadRefusal{scan.status(), std::string(scan.text())};
    head.method = scan.method;
    head.target = scan.target;
    head.host = scan.host;
    head.minor_version = scan.minor;
    head.chunked = scan.body == BodyKind::chunked;
    head.content_length.reset();
    if (scan.body == BodyKind::length) head.content_length = scan.content_length;
    head.keep_alive = scan.keep_alive;
    head.expect_continue = scan.expect == Expectation::continue_100;
    head.bad_expectation = scan.expect == Expectation::other;
    head.upgrade = scan.upgrade;
    head.fields.clear();
    for_each_field(scan.field_lines, [&head](std::string_view name, std::string_view value) {
        head.fields.push_back({name, value});
    });
    return split_target(head);
}

void Headers::set(std::string_view name, std::string value) {
    for (auto& entry : list_) {
        if (!iequals(entry.first, name)) continue;
        entry.second = std::move(value);
        return;
    }
    list_.emplace_back(std::string(name), std::move(value));
}

void Headers::remove(std::string_view name) {
    std::erase_if(list_, [name](auto const& entry) { return iequals(entry.first, name); });
}

std::string const* Headers::find(std::string_view name) const noexcept {
    for (auto const& entry : list_)
        if (iequals(entry.first, name)) return &entry.second;
    return nullptr;
}

std::string_view reason_phrase(unsigned status) noexcept {
    auto const text = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
    return {text.data(), text.size()};
}

}  // namespace execd::http
