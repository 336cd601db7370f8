#include "execd/dialects/agentrun/large_answer.hpp"

#include <boost/asio/post.hpp>

#include <memory>

namespace execd::agentrun {

namespace {

constexpr std::size_t kLarge = 512U << 10;
constexpr std::size_t kPiece = 128U << 10;  // takes some 50 us to copy into a socket

class Pieces final : public http::Producer {
  public:
    Pieces(Loop& loop, std::string text) : loop_(loop), text_(std::move(text)) {}
    ~Pieces() override { free_elsewhere(loop_, std::move(text_)); }

    Task<Result<void>> produce(http::Writer& writer) override {
        std::string_view rest = text_;
        while (!rest.empty()) {
            auto sent = co_await writer.write(rest.substr(0, kPiece));
            if (!sent) co_return sent;
            rest.remove_prefix(std::min(rest.size(), kPiece));
            // A reader that keeps up would be written to without a pause.
            co_await asio::post(loop_.executor(), kUseTask);
        }
        co_return Result<void>();
    }

  private:
    Loop& loop_;
    std::string text_;
};

}  // namespace

void free_elsewhere(Loop& loop, std::string text) {
    if (text.capacity() < kLarge) return;
    auto owned = std::make_shared<std::string>(std::move(text));
    loop.pool().submit(Lane::bulk, [owned = std::move(owned)]() mutable { owned.reset(); });
}

http::Answer json_answer(Loop& loop, std::string text) {
    if (text.size() < kLarge) return http::Answer::bytes(200, "application/json", std::move(text));
    std::size_t const size = text.size();
    auto answer = http::Answer::stream("application/json", std::make_unique<Pieces>(loop, std::move(text)));
    answer.known_length = size;
    return answer;
}

}  // namespace execd::agentrun
