#include "browser_proxy/supervisor.hpp"

#include "base/both.hpp"

namespace execd::browser_proxy {

namespace {

Recorder::Options recording_of(Options const& options) {
    Recorder::Options out = options.recording;
    out.width = options.width;
    out.height = options.height;
    return out;
}

}  // namespace

Supervisor::Supervisor(Loop& loop, std::unique_ptr<Launcher> launcher, Options options)
    : options_(std::move(options)),
      launcher_(std::move(launcher)),
      display_(loop, *launcher_, options_),
      windows_(loop, *launcher_, display_, options_),
      browser_(loop, *launcher_, display_, windows_, options_),
      vnc_(loop, *launcher_, display_, options_),
      recorder_(loop, *launcher_, display_, recording_of(options_)),
      controls_(loop, *launcher_, display_, options_) {}

Supervisor::~Supervisor() = default;

Task<Result<Supervisor::Endpoint>> Supervisor::browser(Deadline deadline) {
    auto up = co_await browser_.demand(deadline);
    if (!up) co_return Failure(up.error());
    co_return Endpoint{browser_.port(), browser_.path(), browser_.generation()};
}

Task<Result<unsigned short>> Supervisor::vnc(Deadline deadline) {
    if (vnc_.state() == UnitState::idle && vnc_.missing().empty()) start();
    auto up = co_await vnc_.demand(deadline);
    if (!up) co_return Failure(up.error());
    co_return vnc_.port();
}

void Supervisor::start() {
    Unit* const all[] = {&display_, &windows_, &browser_, &vnc_};
    for (Unit* const unit : all)
        if (!closing_ && unit->missing().empty()) unit->want();
}

// What shows something goes before what it is shown on: nothing is started again meanwhile.
Task<void> Supervisor::close() {
    closing_ = true;
    co_await recorder_.close();
    co_await both(browser_.close(), vnc_.close());
    co_await both(windows_.close(), display_.close());
}

std::vector<UnitStatus> Supervisor::status() const {
    return {display_.status(), windows_.status(), browser_.status(), vnc_.status()};
}

}  // namespace execd::browser_proxy
