// Blocks every signal of the calling thread while in scope: threads inherit the mask, so helpers never run a
// handler.
#pragma once
#include <signal.h>

namespace execd {

class BlockAllSignals {
  public:
    BlockAllSignals() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old_);
    }
    ~BlockAllSignals() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
    BlockAllSignals(BlockAllSignals const&) = delete;
    BlockAllSignals& operator=(BlockAllSignals const&) = delete;

  private:
    sigset_t old_;
};

}  // namespace execd
