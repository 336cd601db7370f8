// Event streams of runs and contexts: `id` is the output's number, `event` its type, `data` its JSON.
#include "execd/dialects/own/contexts.hpp"
#include "execd/http/sse.hpp"

namespace execd::own {

namespace {

constexpr auto kKeepAlive = std::chrono::seconds(15);

struct RunEvent {
    wire::Literal<"run"> type;
    RunInfo run;
};
BOOST_DESCRIBE_STRUCT(RunEvent, (), (type, run))
struct QueueEvent {
    wire::Literal<"queue"> type;
    std::uint64_t position = 0;
};
BOOST_DESCRIBE_STRUCT(QueueEvent, (), (type, position))
struct EndEvent {
    wire::Literal<"end"> type;
    std::uint64_t number = 0;
    RunInfo run;
};
BOOST_DESCRIBE_STRUCT(EndEvent, (), (type, number, run))

template <class T>
void append(std::string& out, T const& value, std::string_view type, std::optional<std::uint64_t> number) {
    std::string data;
    wire::encode(wire::Codec<T>::ops, &value, wire::EncodePolicy{}, data);
    std::string const id = number ? std::to_string(*number) : std::string();
    http::append_sse(out, {.data = data, .event = type, .id = id});
}

void append_item(std::string& out, OutputItem const& item) {
    auto const facts = std::visit(
        [](auto const& each) { return std::make_pair(std::string_view(each.type.value), each.number); },
        item);
    append(out, item, facts.first, facts.second);
}

void append_page(std::string& out, kernels::OutputLog::Page const& page, Clock const& clock) {
    if (page.lost_events > 0) append_item(out, gap_of(page, clock));
    for (auto const& entry : page.entries) append_item(out, item_of(entry));
}

class RunStream final : public http::Producer {
  public:
    RunStream(Services& services, std::shared_ptr<kernels::Context> context,
              std::shared_ptr<kernels::Run> run, std::uint64_t from, Leave leave)
        : clock_(services.loop.clock()),
          context_(std::move(context)),
          run_(std::move(run)),
          from_(from),
          leave_(leave) {}
    // The client is gone when the stream ends before the run does.
    ~RunStream() override {
        if (leave_ == Leave::interrupt && run_->state() != kernels::RunState::finished)
            (void)context_->cancel(run_->id());
    }

    Task<Result<void>> produce(http::Writer& writer) override {
        RunEvent begun;
        begun.run = described(*context_, *run_);
        append(writer.out(), begun, "run", std::nullopt);
        auto waited = co_await queue(writer);
        if (!waited) co_return waited;
        for (;;) {
            auto const page = run_->log().read(from_);
            append_page(writer.out(), page, clock_);
            from_ = page.next;
            if (page.end) break;
            if (!writer.out().empty()) {
                auto sent = co_await writer.flush();
                if (!sent) co_return sent;
            }
            bool const woken = co_await run_->log().wait(from_, clock_, Deadline::in(clock_, kKeepAlive));
            if (!woken) http::append_sse_comment(writer.out());
        }
        bool const ended = co_await run_->wait(clock_, Deadline::never());
        if (!ended) co_return Result<void>();
        EndEvent end;
        end.number = from_;
        end.run = described(*context_, *run_);
        append(writer.out(), end, "end", from_);
        co_return Result<void>();
    }

  private:
    // While others are before it: its place in the queue, when that changes.
    Task<Result<void>> queue(http::Writer& writer) {
        std::optional<std::size_t> told = context_->position(run_->id());
        while (run_->state() == kernels::RunState::queued) {
            auto const now = context_->position(run_->id());
            if (now && now != told) {
                QueueEvent event;
                event.position = *now;
                append(writer.out(), event, "queue", std::nullopt);
            }
            told = now;
            if (!writer.out().empty()) {
                auto sent = co_await writer.flush();
                if (!sent) co_return sent;
                continue;  // it may have begun meanwhile
            }
            bool const woken = co_await context_->changed().wait(clock_, Deadline::in(clock_, kKeepAlive));
            if (!woken) http::append_sse_comment(writer.out());
        }
        co_return Result<void>();
    }

    Clock& clock_;
    std::shared_ptr<kernels::Context> context_;
    std::shared_ptr<kernels::Run> run_;
    std::uint64_t from_;
    Leave leave_;
};

class BackgroundStream final : public http::Producer {
  public:
    BackgroundStream(Services& services, std::shared_ptr<kernels::Context> context, std::uint64_t from)
        : clock_(services.loop.clock()), context_(std::move(context)), from_(from) {}

    Task<Result<void>> produce(http::Writer& writer) override {
        http::append_sse_comment(writer.out(), "listening");
        for (;;) {
            auto const page = context_->background().read(from_);
            append_page(writer.out(), page, clock_);
            from_ = page.next;
            if (page.end) co_return Result<void>();
            if (!writer.out().empty()) {
                auto sent = co_await writer.flush();
                if (!sent) co_return sent;
            }
            bool const woken =
                co_await context_->background().wait(from_, clock_, Deadline::in(clock_, kKeepAlive));
            if (!woken) http::append_sse_comment(writer.out());
        }
    }

  private:
    Clock& clock_;
    std::shared_ptr<kernels::Context> context_;
    std::uint64_t from_;
};

http::Answer events(std::unique_ptr<http::Producer> producer) {
    auto answer = http::Answer::stream(http::media_type(http::Framing::sse), std::move(producer));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
    return answer;
}

}  // namespace

http::Answer run_events(Services& services, std::shared_ptr<kernels::Context> context,
                        std::shared_ptr<kernels::Run> run, std::uint64_t from, Leave leave) {
    // Nothing more will come: a browser's EventSource stops to ask at this status.
    if (run->state() == kernels::RunState::finished && from > run->log().size())
        return http::Answer::empty(204);
    return events(std::make_unique<RunStream>(services, std::move(context), std::move(run), from, leave));
}

http::Answer context_events(Services& services, std::shared_ptr<kernels::Context> context,
                            std::uint64_t from) {
    return events(std::make_unique<BackgroundStream>(services, std::move(context), from));
}

}  // namespace execd::own
