// GET /execd/v1/executions/{id}/output: the bytes of one stream as they are, from an offset.
#include <optional>

#include "execd/dialects/own/executions.hpp"
#include "shell/executions.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

struct Wanted {
    shell::StreamMask mask = 0;
    std::optional<shell::Stream> stream;  // none: all of them in their one order
};

Result<Wanted> stream_of(shell::Execution const& run, std::string_view name) {
    if (name == "all") return Wanted{shell::kAllStreams, std::nullopt};
    if (name.empty()) name = run.terminal() ? "pty" : "stdout";
    for (auto const stream : {shell::Stream::out, shell::Stream::err, shell::Stream::tty})
        if (name == shell::to_string(stream)) return Wanted{shell::mask_of(stream), stream};
    return fail(Code::invalid_argument, "stream", "stdout, stderr, pty or all is expected");
}

Result<shell::Until> until_of(shell::Execution const& run, std::string_view follow) {
    if (follow == "all") return shell::Until::closed;
    if (follow == "false" || follow == "0") return shell::Until::now;
    if (follow != "true" && follow != "1")
        return fail(Code::invalid_argument, "follow", "true, false or all is expected");
    // What was left running may have written since the end: no less than without following.
    return run.running() ? shell::Until::verdict : shell::Until::now;
}

// The journal's bytes go to the socket from where they lie: nothing is copied on the way.
class OutputStream final : public http::Producer {
  public:
    OutputStream(std::shared_ptr<shell::Execution> run, shell::ReadFrom from)
        : run_(std::move(run)), from_(std::move(from)) {}

    Task<Result<void>> produce(http::Writer& writer) override {
        shell::Cursor cursor = run_->journal().reader(from_);
        shell::Batch batch;
        std::uint64_t lost = 0;
        bool begun = cursor.poll(batch);
        if (!begun && from_.until != shell::Until::now && !cursor.at_end()) {
            // Whoever follows a quiet command learns at once that it is listened to.
            if (auto sent = co_await writer.flush(); !sent) co_return sent;
        }
        for (;;) {
            if (!begun) {
                shell::Next const next = co_await cursor.next(batch, Deadline::never());
                if (next != shell::Next::data) break;
            }
            begun = false;
            for (auto const& slice : batch.slices) {
                if (slice.lost > 0 && writer.committed())
                    co_return fail(Code::gone, "output",
                                   std::to_string(slice.lost) + " bytes were dropped at offset " +
                                       std::to_string(slice.offset) + " of " +
                                       std::string(shell::to_string(slice.stream)));
                if (slice.lost > 0) {
                    lost += slice.lost;
                    writer.answer().headers.set("X-Execd-Lost", std::to_string(lost));
                    continue;
                }
                if (auto sent = co_await writer.write(slice.bytes); !sent) co_return sent;
            }
        }
        co_return Result<void>();
    }

  private:
    std::shared_ptr<shell::Execution> run_;
    shell::ReadFrom from_;
};

Result<Answer> output(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) return fail(Code::not_found, "execution", "no execution " + call.param("id"));
    auto const wanted = stream_of(*run, call.query_value("stream").value_or(""));
    if (!wanted) return Failure(wanted.error());
    auto const offset = query_number(call, "offset", 0);
    if (!offset) return Failure(offset.error());
    auto const until = until_of(*run, call.query_value("follow").value_or("false"));
    if (!until) return Failure(until.error());
    shell::Journal const& journal = run->journal();
    std::uint64_t const written = wanted->stream ? journal.written(*wanted->stream) : journal.end().total;
    if (*offset > written)
        return fail(Code::invalid_argument, "offset",
                    "only " + std::to_string(written) + " bytes were written so far");
    shell::ReadFrom from;
    from.streams = wanted->mask;
    from.until = *until;
    from.position = wanted->stream ? journal.seek(*wanted->stream, *offset) : journal.seek_total(*offset);
    Answer answer = Answer::stream("application/octet-stream", std::make_unique<OutputStream>(run, from));
    answer.headers.set("Cache-Control", "no-store");
    answer.headers.set("X-Execd-Offset", std::to_string(*offset));
    answer.headers.set("X-Execd-Written", std::to_string(written));
    answer.headers.set("X-Execd-State", run->running() ? "running" : "ended");
    return answer;
}

Task<Result<Answer>> answer(Services& services, Call& call) { co_return output(services, call); }

}  // namespace

http::Row output_row(Services& services) {
    http::Row row;
    row.tag = "Executions";
    row.method = "GET";
    row.path = "/execd/v1/executions/{id}/output";
    row.operation_id = "readExecutionOutput";
    row.doc =
        "Bytes of ?stream= (stdout, stderr, pty, all) from ?offset= on; ?follow=true until the verdict, "
        "?follow=all until nothing holds the output open any more. Bytes "
        "that are gone before the first are counted in X-Execd-Lost; a gap behind it cuts the answer off, so "
        "that asking again from the offset tells.";
    row.statuses = {{200, nullptr, "application/octet-stream", "Output"}};
    row.invoke = [s = &services](Call& call) { return answer(*s, call); };
    return row;
}

}  // namespace execd::own
