// Builds the schemas of one document. Internal to this folder.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "execd/http/wire/ops.hpp"

namespace execd::wire::detail {

using OrderedJson = nlohmann::ordered_json;

class SchemaBuilder {
  public:
    /// References read `prefix` + name: "#/components/schemas/" or "#/$defs/".
    explicit SchemaBuilder(std::string prefix);

    OrderedJson schema(Ops const&, Note const&);
    /// A struct in place, only its members of one place.
    OrderedJson object(ObjectShape const&, Place);
    OrderedJson member(Field const&, void const* fresh);
    [[nodiscard]] OrderedJson const& definitions() const { return defs_; }

  private:
    OrderedJson reference(ObjectShape const&);
    std::string component_name(ObjectShape const&);
    void add_members(ObjectShape const&, void const* fresh, Place, OrderedJson& out);
    static OrderedJson integer(Ops const&, Note const&);
    static OrderedJson timestamp(Note const&);
    static OrderedJson enumeration(EnumShape const&);
    OrderedJson choice(ChoiceShape const&);

    std::string prefix_;
    OrderedJson defs_ = OrderedJson::object();
    std::map<std::string, ObjectShape const*, std::less<>> owners_;
};

}  // namespace execd::wire::detail
