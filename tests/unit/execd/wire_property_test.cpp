// Random values and random documents: what is encoded decodes to the same, faults point into the document,
// nothing crashes.
#include <gtest/gtest.h>

#include <random>

#include "base/utf8.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

namespace execd::wire_test {
namespace {

using wire::Faults;
using wire::Sources;

class Source {
  public:
    explicit Source(unsigned seed) : random_(seed) {}
    std::uint64_t number() { return random_() << 32 ^ random_(); }
    std::size_t below(std::size_t n) { return random_() % n; }
    std::string text() {
        std::string out;
        for (auto n = below(12); n > 0; --n) out += kPieces[below(std::size(kPieces))];
        return out;
    }
    double real() {
        double const candidates[] = {0, -0.5, 1e-7, 123456.789, 1e300, static_cast<double>(number())};
        return candidates[below(std::size(candidates))];
    }
    Json any(int depth = 3) {
        switch (below(depth > 0 ? 7 : 5)) {
            case 0: return nullptr;
            case 1: return text();
            case 2:
                return static_cast<std::int64_t>(number()) < 0 ? Json(-static_cast<int>(below(9)) - 1)
                                                               : Json(number());
            case 3: return real();
            case 4: return below(2) == 0;
            case 5: {
                Json list = Json::array();
                for (auto n = below(4); n > 0; --n) list.push_back(any(depth - 1));
                return list;
            }
            default: {
                Json map = Json::object();
                for (auto n = below(4); n > 0; --n) map[text()] = any(depth - 1);
                return map;
            }
        }
    }

  private:
    static constexpr std::string_view kPieces[] = {
        "a", "\"", "\\", "\n", "<", "\xC2\x85", "\xE2\x80\xA8", "\xF0\x9F\x98\x80", "longer text ", "\x01"};
    std::mt19937_64 random_;
};

Limits some_limits(Source& s) {
    return {.cpu = s.below(2) ? std::optional(1.0 + static_cast<double>(s.below(60))) : std::nullopt,
            .memory = static_cast<std::int64_t>(s.below(1000))};
}
Node some_tree(Source& s, int depth) {
    Node node{s.text(), {}};
    for (auto n = depth > 0 ? s.below(4) : 0; n > 0; --n) node.kids.push_back(some_tree(s, depth - 1));
    return node;
}

void add_structures(Source& s, Everything& e) {
    for (auto n = s.below(4); n > 0; --n) e.limits.push_back(some_limits(s));
    for (auto n = s.below(4); n > 0; --n) e.groups[s.text()] = {static_cast<int>(s.number()), 7};
    if (s.below(2)) e.maybe = s.text();
    if (s.below(2)) e.nullable.value = static_cast<int>(s.number());
    if (s.below(3) == 0) e.patch = nullptr;
    if (s.below(3) == 0) e.patch = s.text();
    if (s.below(3) == 0) e.plain = s.text();
    if (s.below(3) == 0) e.plain = some_limits(s);
    if (s.below(2)) e.action = Type{{}, "t" + s.text()};
    if (s.below(2)) e.pet = Dog{s.text()};
    if (s.below(2)) e.tree = some_tree(s, 3);
    e.any = s.any();
    auto const raw = s.any();
    e.raw.text.clear();
    wire::append_json(e.raw.text, raw);
}

Everything some_value(Source& s) {
    Everything e;
    e.flag = s.below(2) == 0;
    e.tiny = static_cast<std::int8_t>(s.number());
    e.port = static_cast<std::uint16_t>(s.number());
    e.large = s.number();
    e.id = static_cast<std::int64_t>(s.number());
    e.ratio = static_cast<float>(s.below(1000)) / 7;
    e.text = s.text();
    for (auto n = s.below(9); n > 0; --n) e.blob.data += static_cast<char>(s.number());
    e.at.at += std::chrono::nanoseconds(static_cast<std::int64_t>(s.number() >> 3));
    e.mode = s.below(2) ? Mode::background : Mode::foreground;
    add_structures(s, e);
    return e;
}

TEST(WireProperty, EncodedValuesDecodeToThemselves) {
    for (unsigned seed = 0; seed < 100; ++seed) {
        Source s(seed);
        Everything const value = some_value(s);
        for (int escape = 0; escape < 8; escape += 3) {
            wire::EncodePolicy policy;
            policy.escape = static_cast<wire::Escape>(escape);
            policy.absent = seed % 2 ? wire::Absent::null : wire::Absent::omit;
            policy.time = seed % 3 ? wire::TimeFormat::rfc3339 : wire::TimeFormat::policy;
            std::string text;
            wire::encode(value, policy, text);
            Everything back;
            Faults faults;
            ASSERT_TRUE(wire::decode(back, Sources{.body_text = text},
                                     {.parse = {.bad_text = wire::BadText::reject}}, faults))
                << text << "\n"
                << wire::dotted(faults.front().loc) << " " << faults.front().message;
            back.any = value.any;  // 1.0 is written as 1, which is another JSON type to the library
            ASSERT_TRUE(back == value) << text;
        }
    }
}

// The value at a location, without the union branches; null if there is none.
Json const* at(Json const& document, std::vector<wire::LocItem> const& loc, bool missing) {
    Json const* here = &document;
    for (std::size_t i = 1; i + (missing ? 1 : 0) < loc.size(); ++i) {
        auto const& item = loc[i];
        if (item.kind == wire::LocItem::Kind::branch) continue;
        if (item.kind == wire::LocItem::Kind::index) {
            if (!here->is_array() || item.index >= here->size()) return nullptr;
            here = &(*here)[item.index];
        } else {
            if (!here->is_object() || !here->contains(item.key)) return nullptr;
            here = &(*here)[item.key];
        }
    }
    return here;
}

TEST(WireProperty, FaultsPointIntoTheDocument) {
    std::size_t seen = 0;
    for (unsigned seed = 0; seed < 100; ++seed) {
        Source s(seed);
        std::string text;
        wire::encode(some_value(s), {.absent = wire::Absent::null}, text);
        Json document = Json::parse(text);
        for (auto n = s.below(6) + 1; n > 0; --n) {  // put something else somewhere
            auto it = document.begin();
            std::advance(it, static_cast<std::ptrdiff_t>(s.below(document.size())));
            Json* spot = &it.value();
            while (s.below(3) != 0 && spot->is_structured() && !spot->empty()) {
                auto inner = spot->begin();
                std::advance(inner, static_cast<std::ptrdiff_t>(s.below(spot->size())));
                spot = &*inner;
            }
            *spot = s.any();
        }
        Everything out;
        Faults faults;
        wire::decode(out, Sources{.body = &document}, {.reject_unknown = true}, faults);
        for (auto const& fault : faults) {
            ++seen;
            ASSERT_EQ(fault.loc.at(0).key, "body");
            ASSERT_NE(at(document, fault.loc, fault.type == "missing"), nullptr)
                << wire::dotted(fault.loc) << " in " << document.dump();
            ASSERT_FALSE(fault.message.empty());
            ASSERT_TRUE(fault.input.empty() || Json::accept(fault.input)) << fault.input;
        }
    }
    EXPECT_GT(seen, 100U);
}

TEST(WireProperty, DamagedTextNeverCrashes) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        Source s(seed);
        std::string text;
        wire::encode(some_value(s), {}, text);
        for (auto n = s.below(8) + 1; n > 0; --n) text[s.below(text.size())] = static_cast<char>(s.number());
        Everything out;
        Faults faults;
        bool const good = wire::decode(out, Sources{.body_text = text}, {}, faults);
        ASSERT_EQ(good, faults.empty());
        if (!good) continue;
        std::string again;
        wire::encode(out, {}, again);
        ASSERT_TRUE(Json::accept(again)) << again;
    }
}

TEST(WireEncode, PoliciesAndNotes) {
    Everything e;
    e.text = "<\xC2\x85>";
    e.id = 5;
    e.large = 6;
    e.tree = Node{"n", {}};
    e.at.at += std::chrono::milliseconds(1500);
    std::string text;
    wire::encode(e,
                 {.absent = wire::Absent::null,
                  .time = wire::TimeFormat::unix_millis,
                  .escape = wire::Escape::html | wire::Escape::line_separators,
                  .int64_as_text = true},
                 text);
    Json const json = Json::parse(text);
    EXPECT_NE(text.find(R"("text":"\u003c\u0085\u003e")"), text.npos) << text;
    EXPECT_EQ(json["id"], "5");
    EXPECT_EQ(json["large"], "6");
    EXPECT_EQ(json["at"], 1500);
    EXPECT_TRUE(json["maybe"].is_null());
    EXPECT_TRUE(json["nullable"].is_null());
    EXPECT_FALSE(json.contains("patch"));
    EXPECT_EQ(json["tree"], Json::parse(R"({"name":"n"})"));
    EXPECT_EQ(json["pet"], Json::parse(R"({"kind":"cat","lives":9})"));
    std::string plain;
    wire::encode(e, {}, plain);
    EXPECT_EQ(Json::parse(plain)["at"], "1970-01-01T00:00:01.5Z");
    EXPECT_FALSE(Json::parse(plain).contains("maybe"));
    Open open{1, {{"x", Json::parse("[1]")}}};
    std::string rest;
    wire::encode(open, {}, rest);
    EXPECT_EQ(rest, R"({"known":1,"x":[1]})");
}

}  // namespace
}  // namespace execd::wire_test
