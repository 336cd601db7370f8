#include "execd/dialects/agentrun/entries.hpp"

#include <charconv>
#include <nlohmann/json.hpp>

#include "execd/dialects/agentrun/parts.hpp"

namespace execd::agentrun {

EntryBody entry_body(fs::Entry const& entry) {
    EntryBody out;
    out.name = entry.name;
    out.type = fs::to_string(entry.kind);
    out.path = entry.path;
    out.size = entry.size;
    out.mode = entry.mode;
    out.permissions = entry.permissions();
    out.owner = entry.owner;
    out.group = entry.group;
    out.modified_time = stamp_of_ns(entry.mtime_ns);
    out.mtime = entry.mtime_ns / 1'000'000'000;
    return out;
}

EntryAnswer entry_answer(EntryBody body) {
    EntryAnswer out;
    out.entry = body;
    static_cast<EntryBody&>(out) = std::move(body);
    return out;
}

Result<std::optional<std::uint32_t>> mode_of(std::optional<wire::Json> const& mode) {
    if (!mode || mode->is_null()) return std::optional<std::uint32_t>();
    auto const wrong = [] {
        return fail(Code::invalid_argument, "", "mode: octal digits are expected, such as \"644\"");
    };
    std::string text;
    if (mode->is_number_integer() && mode->get<std::int64_t>() >= 0) {
        auto const number = mode->get<std::int64_t>();
        if (number <= 0777) return std::optional(static_cast<std::uint32_t>(number));
        text = std::to_string(number);
    } else if (mode->is_string()) {
        text = mode->get<std::string>();
    } else {
        return wrong();
    }
    std::string_view digits = text;
    if (digits.empty()) return std::optional<std::uint32_t>();
    if (digits.starts_with("0o")) digits.remove_prefix(2);
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
    if (error != std::errc() || end != digits.data() + digits.size() || value > 07777) return wrong();
    return std::optional(value);
}

}  // namespace execd::agentrun
