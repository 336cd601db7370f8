// The workers' sources, part of the binary.
#pragma once
#include <string_view>

namespace execd::kernels::native {

[[nodiscard]] std::string_view bash_source();
[[nodiscard]] std::string_view python_source();
[[nodiscard]] std::string_view node_source();

}  // namespace execd::kernels::native
