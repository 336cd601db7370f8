// The encoder: appends a described struct as JSON text, without a tree. Pure, any thread.
#pragma once
#include <string>

#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/ops.hpp"

namespace execd::wire {

template <class T>
struct Codec;

struct EncodePolicy {
    Absent absent = Absent::omit;  // of optional members; a note may differ
    TimeFormat time = TimeFormat::rfc3339;
    Escape escape = Escape::minimal;
    bool int64_as_text = false;   // 64-bit integers as strings (protobuf's JSON)
    bool float_fraction = false;  // 1.0 as "1.0"
};

/// Appends the JSON of `value` (an object of the type that `ops` describes). Members of other places than the
/// body are not written.
void encode(Ops const& ops, void const* value, EncodePolicy const&, std::string& out);

template <class T>
void encode(T const& value, EncodePolicy const& policy, std::string& out) {
    encode(Codec<T>::ops, &value, policy, out);
}

}  // namespace execd::wire
