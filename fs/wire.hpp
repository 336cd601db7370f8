// Operations and answers as bytes and descriptors, for the channel between the daemon and its per-user
// workers. Both ends are the same binary: no versions, native byte order. Decoding still checks every length,
// because a worker runs under its user's identity and that user could take hold of it.
//
// A struct lists its fields in `visit(a) { a(x, y); }`; the order is the format.
#pragma once
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace execd::fs {

struct Packet {
    std::string bytes{};
    std::vector<UniqueFd> descriptors{};
};

namespace detail {
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
}  // namespace detail

class Encoder {
  public:
    explicit Encoder(Packet& out) : out_(&out) {}
    template <class... T>
    void operator()(T&... values) {
        (put(values), ...);
    }
    template <class T>
    void put(T& value) {
        if constexpr (std::is_same_v<T, std::string>) {
            raw(static_cast<std::uint64_t>(value.size()));
            out_->bytes += value;
        } else if constexpr (std::is_same_v<T, UniqueFd>) {
            raw(static_cast<std::uint8_t>(value ? 1 : 0));
            if (value) out_->descriptors.push_back(std::move(value));
        } else if constexpr (detail::IsVector<T>::value) {
            raw(static_cast<std::uint64_t>(value.size()));
            for (auto& item : value) put(item);
        } else if constexpr (detail::IsOptional<T>::value) {
            raw(static_cast<std::uint8_t>(value ? 1 : 0));
            if (value) put(*value);
        } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
            raw(value);
        } else {
            value.visit(*this);
        }
    }

  private:
    template <class T>
    void raw(T value) {
        char bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        out_->bytes.append(bytes, sizeof value);
    }
    Packet* out_;
};

class Decoder {
  public:
    explicit Decoder(Packet& in) : in_(&in) {}
    template <class... T>
    void operator()(T&... values) {
        (get(values), ...);
    }
    /// Everything was there and nothing is left.
    [[nodiscard]] bool good() const { return good_ && at_ == in_->bytes.size(); }
    [[nodiscard]] bool failed() const { return !good_; }

    template <class T>
    void get(T& value) {
        if constexpr (std::is_same_v<T, std::string>) {
            auto const size = length(1);
            value.assign(in_->bytes, at_, size);
            at_ += size;
        } else if constexpr (std::is_same_v<T, UniqueFd>) {
            if (flag()) descriptor(value);
        } else if constexpr (detail::IsVector<T>::value) {
            auto const size = length(1);
            value.clear();
            for (std::uint64_t i = 0; i < size && good_; ++i) get(value.emplace_back());
        } else if constexpr (detail::IsOptional<T>::value) {
            value.reset();
            if (flag()) get(value.emplace());
        } else if constexpr (std::is_same_v<T, bool>) {
            value = flag();
        } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
            raw(value);
        } else {
            value.visit(*this);
        }
    }

  private:
    template <class T>
    void raw(T& value) {
        if (in_->bytes.size() - at_ < sizeof value) {
            good_ = false;
            at_ = in_->bytes.size();
            return;
        }
        std::memcpy(&value, in_->bytes.data() + at_, sizeof value);
        at_ += sizeof value;
    }
    bool flag() {
        std::uint8_t value = 0;
        raw(value);
        if (value > 1) good_ = false;
        return value == 1;
    }
    /// A count whose items take at least `least` bytes each: what cannot be there is refused before anything
    /// is allocated.
    std::uint64_t length(std::size_t least) {
        std::uint64_t value = 0;
        raw(value);
        if (value > (in_->bytes.size() - at_) / least) {
            good_ = false;
            return 0;
        }
        return value;
    }
    void descriptor(UniqueFd& value) {
        if (next_fd_ < in_->descriptors.size())
            value = std::move(in_->descriptors[next_fd_++]);
        else
            good_ = false;
    }

    Packet* in_;
    std::size_t at_ = 0;
    std::size_t next_fd_ = 0;
    bool good_ = true;
};

/// Each operation's number on the wire: its place in the list of fs/operations.hpp.
template <class Op>
struct OperationNumber;

template <class Op>
[[nodiscard]] Packet encode_operation(Op& op) {
    Packet packet;
    Encoder encoder(packet);
    std::uint16_t number = OperationNumber<Op>::value;
    encoder.put(number);
    op.visit(encoder);
    return packet;
}

void encode_error(Encoder& encoder, Error& error);
[[nodiscard]] Error decode_error(Decoder& decoder);

template <class T>
[[nodiscard]] Packet encode_result(Result<T>& result) {
    Packet packet;
    Encoder encoder(packet);
    bool ok = result.has_value();
    encoder.put(ok);
    if (ok)
        encoder.put(*result);
    else
        encode_error(encoder, result.error());
    return packet;
}

template <class T>
[[nodiscard]] Result<T> decode_result(Packet& packet) {
    Decoder decoder(packet);
    bool ok = false;
    decoder.get(ok);
    if (!ok) {
        Error error = decode_error(decoder);
        if (decoder.good()) return Failure(std::move(error));
        return fail(Code::internal, "fs.worker", "broken answer");
    }
    T value{};
    decoder.get(value);
    if (!decoder.good()) return fail(Code::internal, "fs.worker", "broken answer");
    return value;
}

}  // namespace execd::fs
