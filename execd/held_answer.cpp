#include "execd/held_answer.hpp"

namespace execd {

namespace {

class HeldProducer final : public http::Producer {
  public:
    HeldProducer(std::unique_ptr<http::Producer> inner, claims::Activity held)
        : inner_(std::move(inner)), held_(std::move(held)) {}
    Task<Result<void>> produce(http::Writer& writer) override { return inner_->produce(writer); }

  private:
    std::unique_ptr<http::Producer> inner_;
    claims::Activity held_;
};

class HeldUpgrade final : public http::Upgrade {
  public:
    HeldUpgrade(std::unique_ptr<http::Upgrade> inner, claims::Activity held)
        : inner_(std::move(inner)), held_(std::move(held)) {}
    Task<void> run(http::Stream& stream, std::string early) override {
        return inner_->run(stream, std::move(early));
    }

  private:
    std::unique_ptr<http::Upgrade> inner_;
    claims::Activity held_;
};

}  // namespace

void hold(http::Answer& answer, claims::Activity held) {
    if (auto* const producer = std::get_if<std::unique_ptr<http::Producer>>(&answer.body)) {
        auto inner = std::move(*producer);
        answer.body = std::make_unique<HeldProducer>(std::move(inner), std::move(held));
    } else if (auto* const upgrade = std::get_if<std::unique_ptr<http::Upgrade>>(&answer.body)) {
        auto inner = std::move(*upgrade);
        answer.body = std::make_unique<HeldUpgrade>(std::move(inner), std::move(held));
    }
}

Task<Result<http::Answer>> answer_held(claims::Activity held, std::shared_ptr<http::Handler const> inner,
                                       http::Call& call) {
    auto answer = co_await (*inner)(call);
    if (answer) hold(*answer, std::move(held));
    co_return answer;
}

}  // namespace execd
