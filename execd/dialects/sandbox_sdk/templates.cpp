#include "execd/dialects/sandbox_sdk/templates.hpp"

#include "base/ids.hpp"

namespace execd::sandbox_sdk {

namespace {

bool may_see(Template const& one, std::string_view user) { return one.author.empty() || one.author == user; }

Template built_in(std::string_view id, std::string_view language) {
    Template out;
    out.id = out.name = id;
    out.language = language;
    out.config = R"({"language":")" + std::string(language) + R"(","name":")" + std::string(id) + R"("})";
    return out;
}

}  // namespace

Templates::Templates() {
    all_.reserve(kMost);  // pointers into it stay good
    all_.push_back(built_in("python-3.11", "python"));
    all_.push_back(built_in("node", "javascript"));
    all_.push_back(built_in("bash", "bash"));
}

Result<Template const*> Templates::add(Template made) {
    if (all_.size() >= kMost) return fail(Code::exhausted, "template", std::to_string(kMost) + " exist");
    made.id = uuid();
    all_.push_back(std::move(made));
    return &all_.back();
}

Template const* Templates::find(std::string_view id, std::string_view user) const {
    for (auto const& one : all_)
        if (one.id == id && may_see(one, user)) return &one;
    return nullptr;
}

std::vector<Template const*> Templates::list(std::string_view user) const {
    std::vector<Template const*> out;
    for (auto const& one : all_)
        if (may_see(one, user)) out.push_back(&one);
    return out;
}

}  // namespace execd::sandbox_sdk
