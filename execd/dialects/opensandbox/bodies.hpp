// Reading and writing bodies with Go's manners (contracts/opensandbox.md §0.12, §1.0): keys in any case, null
// is the zero value, unknown keys ignored, only the first JSON value looked at; the error texts of the
// original.
#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/task.hpp"
#include "execd/http/route.hpp"
#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/encode.hpp"

namespace execd::opensandbox {

/// What stands in front of Go's own text; it differs by route.
struct BodyTexts {
    std::string_view parse = "error parsing request, MAYBE invalid body format. ";
    std::string_view validate = "invalid request, validation error ";
    bool empty_is_object = false;
};

/// Fills `out` from the request body; an Answer is the refusal.
[[nodiscard]] Task<std::optional<http::Answer>> read_body(http::Call& call, wire::Ops const& ops, void* out,
                                                          BodyTexts texts = {});
/// The same for a text that came otherwise (a multipart part). `strict` refuses trailing data.
[[nodiscard]] std::optional<std::string> decode_text(std::string_view text, wire::Ops const& ops, void* out,
                                                     bool strict);

template <class T>
[[nodiscard]] Task<std::optional<http::Answer>> read_body(http::Call& call, T& out, BodyTexts texts = {}) {
    return read_body(call, wire::Codec<T>::ops, &out, texts);
}

template <class T>
[[nodiscard]] std::string to_json(T const& value) {
    std::string out;
    wire::encode(wire::Codec<T>::ops, &value, wire::EncodePolicy{}, out);
    return out;
}

/// "Key: 'RunCommandRequest.Command' Error:Field validation for 'Command' failed on the 'required' tag"
[[nodiscard]] std::string validator_text(std::string_view type, std::string_view field, std::string_view tag);

}  // namespace execd::opensandbox
