#include "execd/http/fields.hpp"
#include "execd/http/route.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

std::string const& Call::param(std::string_view name) const {
    static std::string const kNone;
    for (auto const& [key, value] : params)
        if (key == name) return value;
    return kNone;
}

Pairs const& Call::query() const {
    if (!query_) {
        auto parsed = parse_query(head->query);
        query_ = parsed ? std::move(*parsed) : Pairs();
    }
    return *query_;
}

std::optional<std::string_view> Call::query_value(std::string_view name) const {
    for (auto const& [key, value] : query())
        if (key == name) return value;
    return std::nullopt;
}

std::vector<std::string> Call::query_values(std::string_view name) const {
    std::vector<std::string> out;
    for (auto const& [key, value] : query())
        if (key == name) out.push_back(value);
    return out;
}

Answer Dialect::bad_request(HeadRefusal const& fault) {
    Answer answer = Answer::bytes(fault.status, "text/plain", fault.reason);
    answer.close = true;
    return answer;
}

namespace {
constexpr std::uint64_t kFirstHold = 64U << 10;  // bytes
}

Task<Result<std::string>> BodyReader::read_all(std::uint64_t limit) {
    std::string all;
    auto const length = content_length();
    if (length && *length > limit)
        co_return fail(Code::too_large, "body",
                       "the body has " + std::to_string(*length) + " bytes, at most " +
                           std::to_string(limit) + " are taken");
    // What is only announced is not held yet: memory and budget grow with what has come.
    std::uint64_t const most = std::min(length.value_or(limit), limit);
    for (;;) {
        auto piece = co_await next();
        if (!piece) co_return Failure(piece.error());
        if (piece->empty()) co_return all;
        std::uint64_t const needed = all.size() + piece->size();
        if (needed > limit)
            co_return fail(Code::too_large, "body",
                           "the body has more than " + std::to_string(limit) + " bytes");
        if (needed > all.capacity()) {
            std::uint64_t const doubled = std::max<std::uint64_t>(all.capacity() * 2, kFirstHold);
            std::uint64_t const room = std::max(needed, std::min(doubled, most));
            if (auto held = hold(room); !held) co_return Failure(held.error());
            all.reserve(room);
        }
        all.append(*piece);
    }
}

}  // namespace execd::http
