// What the body of a connection can do beyond being pulled piece by piece: asked for by dynamic_cast from a
// BodyReader, so that whoever reads bodies needs to know nothing of it.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <optional>
#include <string_view>

namespace execd::http {

class BodyInHand {
  public:
    virtual ~BodyInHand() = default;
    /// All of a body of known length of which nothing was read, if it is here already; not taken by this.
    /// Valid until the next call of next(). It lets a row answer a small upload without a coroutine.
    [[nodiscard]] virtual std::optional<std::string_view> whole() const = 0;
    /// The memory under the last piece of next(): those bytes stay as they are while a copy lives. Null when
    /// they go with the next piece.
    [[nodiscard]] virtual std::shared_ptr<void const> keep() const = 0;
};

}  // namespace execd::http
