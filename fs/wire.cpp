#include "fs/wire.hpp"

namespace execd::fs {

void encode_error(Encoder& encoder, Error& error) {
    encoder(error.code, error.where, error.sys, error.detail);
}

Error decode_error(Decoder& decoder) {
    Error error;
    decoder(error.code, error.where, error.sys, error.detail);
    if (static_cast<int>(error.code) < 0 || error.code > Code::internal) error.code = Code::internal;
    return error;
}

}  // namespace execd::fs
