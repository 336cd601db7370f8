// Unified diffs of texts. Pure.
#pragma once
#include <string>
#include <string_view>

namespace execd::fs {

/// "--- a\n+++ b\n@@ -1,3 +1,4 @@ ..." with "\ No newline at end of file" where it belongs; empty when
/// nothing differs. Minimal for up to about a thousand changed lines; beyond that what differs may be shown
/// as one block.
[[nodiscard]] std::string unified_diff(std::string_view before, std::string_view after,
                                       std::string_view before_name, std::string_view after_name,
                                       std::size_t context = 3);

}  // namespace execd::fs
