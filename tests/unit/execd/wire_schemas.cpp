#include "tests/unit/execd/wire_schemas.hpp"

#include <nlohmann/json.hpp>

template struct execd::wire::Codec<execd::wire_test::Everything>;
template struct execd::wire::Codec<execd::wire_test::RunCommandRequest>;
template struct execd::wire::Codec<execd::wire_test::WatchRequest>;
template struct execd::wire::Codec<execd::wire_test::UploadForm>;
template struct execd::wire::Codec<execd::wire_test::Open>;
template struct execd::wire::Codec<execd::wire_test::MoveAll>;
