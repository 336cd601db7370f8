// Random identifiers. The bytes come from the kernel, so ids of a frozen and cloned sandbox differ after a
// resume.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace execd {

/// Fills with random bytes (getrandom; /dev/urandom where it is refused).
void random_bytes(std::span<std::byte> out);
/// 2*n lower-case hexadecimal digits of n random bytes.
[[nodiscard]] std::string random_hex(std::size_t bytes);
/// UUID version 4, 36 characters with dashes.
[[nodiscard]] std::string uuid();
/// The same without dashes: 32 lower-case hexadecimal digits.
[[nodiscard]] std::string uuid_hex();

}  // namespace execd
