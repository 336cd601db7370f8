// Text of files in their encodings: detection by byte order mark, decoding to UTF-8 and back without loss,
// base64. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace execd::fs {

enum class Encoding : std::uint8_t {
    detect,  // only to ask with: by BOM, otherwise UTF-8
    utf8,
    utf8_bom,
    utf16_le,  // with a BOM, both ways
    utf16_be,
    latin1,
    base64,  // of the bytes as they are
};
[[nodiscard]] std::string_view to_string(Encoding);

/// By byte order mark; without one utf8 (whether it is, decode() says).
[[nodiscard]] Encoding detect_encoding(std::string_view bytes);
/// A NUL in the first 8 KiB and no BOM.
[[nodiscard]] bool looks_binary(std::string_view bytes);

/// Bytes of a file as UTF-8 text without BOM (base64: as base64). decode when they are not what `encoding`
/// says.
[[nodiscard]] Result<std::string> decode_text(std::string_view bytes, Encoding encoding);
/// Back to bytes: decode when a character has no place in `encoding`, or the base64 is broken (white space in
/// it is passed over, padding optional, the URL alphabet taken too).
[[nodiscard]] Result<std::string> encode_text(std::string_view text, Encoding encoding);

/// Lower-case hex SHA-256.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// Of a whole file, read from its beginning. Blocks.
[[nodiscard]] Result<std::string> sha256_of_file(int fd);

}  // namespace execd::fs
