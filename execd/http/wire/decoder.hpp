// The interpreter's inside: decode.cpp walks structures, scalars.cpp reads leaves, rules.cpp checks notes.
// Internal.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/wire/decode.hpp"

namespace execd::wire::detail {

/// A location while walking: a chain on the stack, copied into a Fault only when there is one.
struct At {
    At const* up = nullptr;
    LocItem::Kind kind = LocItem::Kind::key;
    std::string_view key{};
    std::size_t index = 0;
    ObjectShape const* object = nullptr;  // with `field`: the struct that has this member
    Field const* field = nullptr;
};

class Decoder {
  public:
    Decoder(Policy const& policy, Faults& faults) : policy_(policy), faults_(faults) {}

    // Each returns false after at least one fault. `note` belongs to the member, kPlainNote inside
    // containers.
    bool value(Ops const&, void* out, Json const&, At const&, Note const&);
    bool object(ObjectShape const&, void* out, Json const&, At const&, std::string_view known_key = {});
    /// A member that is there: its value and then its rules.
    bool member(Field const&, void* out, Json const&, At const&);
    bool missing(Field const&, At const&, Json const* enclosing);
    [[nodiscard]] bool may_be_absent(Field const&) const;

    bool fail(At const&, Stage, std::string_view type, std::string message, Json const* input,
              Ops const* expected, std::vector<FaultDetail> ctx = {});
    [[nodiscard]] bool done() const {
        return faults_.size() >= kMaxFaults || (policy_.first_fault_only && !faults_.empty());
    }
    [[nodiscard]] Policy const& policy() const { return policy_; }
    [[nodiscard]] Json const* find(Json::object_t const&, Field const&) const;

  private:
    bool list(Ops const&, void* out, Json const&, At const&, Note const&);
    bool map(Ops const&, void* out, Json const&, At const&, Note const&);
    bool boxed(Ops const&, void* out, Json const&, At const&, Note const&);
    bool choice(Ops const&, void* out, Json const&, At const&);
    bool tagged(Ops const&, void* out, Json const&, At const&);
    bool branch(Ops const&, void* out, Json const&, At const&, std::size_t index);
    bool no_branch(Ops const&, void* out, Json const&, At const&);
    bool try_branches(Ops const&, void* out, Json const&, At const&, bool strict);
    bool unknown_keys(ObjectShape const&, void* const* members, Json::object_t const&, At const&,
                      std::string_view);
    [[nodiscard]] Json const* find_name(Json::object_t const&, std::string_view name) const;
    [[nodiscard]] bool is_known(ObjectShape const&, std::string_view key) const;

    bool boolean(Ops const&, void* out, Json const&, At const&);
    bool integer(Ops const&, void* out, Json const&, At const&, Note const&);
    bool integer_text(Ops const&, void* out, Json const&, At const&);
    bool store_in_range(Ops const&, void* out, __int128, Json const&, At const&);
    bool number(Ops const&, void* out, Json const&, At const&, Note const&);
    bool string(Ops const&, void* out, Json const&, At const&);
    bool bytes(Ops const&, void* out, Json const&, At const&);
    bool timestamp(Ops const&, void* out, Json const&, At const&, Note const&);
    bool literal(Ops const&, Json const&, At const&);
    bool enumeration(Ops const&, void* out, Json const&, At const&);

    bool rules(Ops const&, void const* value, Note const&, Json const&, At const&);
    bool number_rules(double, Note const&, Json const&, At const&, Ops const&);
    bool string_rules(std::string_view, Note const&, Json const&, At const&, Ops const&);
    bool size_rules(std::size_t, Note const&, Json const&, At const&, Ops const&);

    Policy const& policy_;
    Faults& faults_;
    int choices_ = 0;  // plain unions inside plain unions: every level multiplies the work
};

/// "'a', 'b' or 'c'", pydantic's form of a list of allowed values.
[[nodiscard]] std::string one_of(std::vector<std::string> const&);
/// pydantic's name of a union's branch: "str", "int", "list[str]", a struct's name.
[[nodiscard]] std::string branch_name(Ops const&);

}  // namespace execd::wire::detail
