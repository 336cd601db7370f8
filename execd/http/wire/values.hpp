// Typed access behind a void pointer, shared by the decoder, the encoder and the schemas. Internal to this
// folder.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "execd/http/wire/ops.hpp"

namespace execd::wire::detail {

/// An integer of any width and signedness.
[[nodiscard]] __int128 load_integer(Ops const&, void const* at);
void store_integer(Ops const&, void* at, __int128);
[[nodiscard]] __int128 least(Ops const&);
[[nodiscard]] __int128 greatest(Ops const&);
[[nodiscard]] double load_number(Ops const&, void const* at);
void store_number(Ops const&, void* at, double);

/// Through optional, Nullable and Tri to what is inside.
[[nodiscard]] Ops const& unboxed(Ops const&);
[[nodiscard]] void const* unboxed(Ops const&, void const* at);  // null if there is no value

/// "", 0, false, [], {}, an empty box (or null): Go's zero values.
[[nodiscard]] bool is_zero(Ops const&, void const* at);

[[nodiscard]] std::string decimal(__int128);
/// A limit of a note: whole numbers without a fraction.
[[nodiscard]] std::string decimal(double);
[[nodiscard]] std::size_t code_points(std::string_view utf8);
[[nodiscard]] bool same_any_case(std::string_view a, std::string_view b);
/// A JSON string.
[[nodiscard]] std::string json_quoted(std::string_view);

}  // namespace execd::wire::detail
