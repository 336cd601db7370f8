#include "kernels/grave.hpp"

namespace execd::kernels {

Task<void> Burial::wait() {
    while (!done) co_await event.wait();
}

void Bury::operator()(Kernel* kernel) const { grave->add(std::unique_ptr<Kernel>(kernel), Duration::zero()); }

Grave::Grave(Loop& loop) : scope_(loop, "kernel.grave") {}

std::shared_ptr<Burial> Grave::bury(KernelPtr kernel, Duration grace) {
    auto* const grave = kernel.get_deleter().grave;
    return grave->add(std::unique_ptr<Kernel>(kernel.release()), grace);
}

std::shared_ptr<Burial> Grave::add(std::unique_ptr<Kernel> kernel, Duration grace) {
    auto burial = std::make_shared<Burial>();
    scope_.spawn("kernel.end", run(std::move(kernel), burial, grace));
    return burial;
}

Task<void> Grave::run(std::unique_ptr<Kernel> kernel, std::shared_ptr<Burial> burial, Duration grace) {
    co_await kernel->end(grace);
    kernel.reset();
    burial->done = true;
    burial->event.notify_all();
}

}  // namespace execd::kernels
