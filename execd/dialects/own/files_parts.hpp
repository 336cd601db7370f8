// What the file routes of execd's own dialect share: decoding by table, answers, paths.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "execd/dialects/own/files_rows.hpp"
#include "execd/dialects/own/files_schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/encode.hpp"
#include "execd/services.hpp"
#include "fs/entry.hpp"

namespace execd::own::files {

/// Fills `out` from query, path and (when the struct has members there) the body. invalid_argument names the
/// member and what is wrong with it.
[[nodiscard]] Task<Result<void>> read_request(http::Call& call, wire::Ops const& ops, void* out);
template <class T>
[[nodiscard]] Task<Result<void>> read_request(http::Call& call, T& out) {
    return read_request(call, wire::Codec<T>::ops, &out);
}

[[nodiscard]] http::Answer json_answer(std::string body, unsigned status = 200);
template <class T>
[[nodiscard]] http::Answer answer_of(T const& value, unsigned status = 200) {
    std::string out;
    wire::encode(value, wire::EncodePolicy{}, out);
    return json_answer(std::move(out), status);
}

/// Absolute and clean; relative paths start at the home of the daemon's account. Nothing is expanded but a
/// leading `~`.
[[nodiscard]] Result<std::string> path_of(Services& services, std::string const& text);
/// The same of a request that names a path that is not UTF-8 by its bytes.
[[nodiscard]] Result<std::string> path_of(Services& services, std::string const& text,
                                          std::optional<std::string> const& bytes);
/// What was meant by `text` or `bytes`, as it was given. invalid_argument when neither is there.
[[nodiscard]] Result<std::string> given_path(std::string const& text,
                                             std::optional<std::string> const& bytes);
/// The bytes of a name that is not UTF-8, as base64 beside it; nothing for one that is.
[[nodiscard]] std::optional<std::string> exact_bytes(std::string_view name);
/// "0644" and "644" alike.
[[nodiscard]] std::uint32_t mode_of(std::string const& octal);
[[nodiscard]] std::string octal_of(std::uint32_t mode);
[[nodiscard]] EntryBody entry_body(fs::Entry const& entry);

/// A row of this dialect; the rest of it is the caller's.
[[nodiscard]] http::Row file_row(std::string method, std::string path, std::string id, std::string doc);

void add_transfers(Services& services, std::vector<http::Row>& out);
void add_watches(Services& services, std::vector<http::Row>& out);

}  // namespace execd::own::files
