// What the context knows about the run at hand. Internal to context.cpp and context_run.cpp.
#pragma once
#include <algorithm>

#include "kernels/context.hpp"

namespace execd::kernels {

struct Context::Progress {
    std::string message_id;
    bool sent = false;
    bool idle = false;
    std::optional<Result<Message>> reply;
    bool cancelled = false;
    /// An interrupt is on its way to the kernel.
    bool stopping = false;
    /// When the kernel was last told to stop; nothing once it was said that it does not heed that.
    std::optional<TimePoint> interrupted_at{};
    bool timed_out = false;
    /// The kernel has to go: it cannot be interrupted, or did not heed it.
    bool kill = false;
    bool restarted = false;
    bool retried = false;
    bool told_silence = false;
    /// The kernel was asked to take the run's directory and environment.
    bool placing = false;
    /// The iopub connection ended meanwhile: "idle" may have been lost with it.
    bool lost = false;
    /// A question that the kernel answers after the run: when its answer is there and a half of the run's end
    /// is not, that half never comes.
    std::string probe_id;
    bool probe_seen = false;      // on iopub
    bool probe_answered = false;  // on shell
    /// When the run's time is over.
    Deadline soft;
    /// When its kernel is killed for not heeding that.
    Deadline hard;
    bool began = false;  // execute_input or an output came
    /// When the last output, or one half of the end, came.
    TimePoint last_output{};

    /// So long no time has passed for the run.
    void put_off(Duration stood) {
        for (Deadline* const at : {&soft, &hard})
            if (!at->is_never()) *at = Deadline(at->at() + std::min(stood, TimePoint::max() - at->at()));
        if (interrupted_at) *interrupted_at += stood;
        last_output += stood;
    }
};

}  // namespace execd::kernels
