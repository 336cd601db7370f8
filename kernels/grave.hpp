// Grave: where kernels end. Ending one takes time (a polite shutdown, the reaping), but owners go away at
// once, also when they are cancelled: so the owning pointer hands the kernel over instead of destroying it.
//
// Thread: the reactor. Owner: Contexts; it must outlive every KernelPtr, and drain() before its destruction.
#pragma once
#include <memory>

#include "kernels/kernel.hpp"

namespace execd::kernels {

class Grave;

struct Burial {
    bool done = false;
    Event event;
    [[nodiscard]] Task<void> wait();
};

struct Bury {
    Grave* grave = nullptr;
    void operator()(Kernel* kernel) const;
};
using KernelPtr = std::unique_ptr<Kernel, Bury>;

class Grave {
  public:
    explicit Grave(Loop& loop);
    Grave(Grave const&) = delete;
    Grave& operator=(Grave const&) = delete;

    [[nodiscard]] KernelPtr own(std::unique_ptr<Kernel> kernel) {
        return KernelPtr(kernel.release(), Bury{this});
    }
    /// Ends the kernel in the background: Kernel::end(grace).
    static std::shared_ptr<Burial> bury(KernelPtr kernel, Duration grace);
    /// Waits until all are gone; false when the deadline passed first.
    [[nodiscard]] Task<bool> drain(Deadline deadline) { return scope_.drain(deadline); }

  private:
    friend struct Bury;
    std::shared_ptr<Burial> add(std::unique_ptr<Kernel> kernel, Duration grace);
    [[nodiscard]] static Task<void> run(std::unique_ptr<Kernel> kernel, std::shared_ptr<Burial> burial,
                                        Duration grace);
    Scope scope_;
};

}  // namespace execd::kernels
