// What `execd --version` says.
#pragma once
#include <string_view>

namespace execd {

/// "0.1.0"
[[nodiscard]] std::string_view version() noexcept;
/// The commit it was built from, empty when unknown.
[[nodiscard]] std::string_view commit() noexcept;

}  // namespace execd
