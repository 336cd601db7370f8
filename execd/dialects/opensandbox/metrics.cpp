// GET /metrics and /metrics/watch (contracts/opensandbox.md §1.10): what the container uses, at once.
#include <boost/describe/class.hpp>

#include <mutex>

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/usage.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

struct Metrics {
    double cpu_count = 0;
    double cpu_used_pct = 0;
    double mem_total_mib = 0;
    double mem_used_mib = 0;
    std::int64_t timestamp = 0;  // milliseconds since the epoch
};
BOOST_DESCRIBE_STRUCT(Metrics, (), (cpu_count, cpu_used_pct, mem_total_mib, mem_used_mib, timestamp))

}  // namespace execd::opensandbox

namespace execd::wire {
template struct Codec<opensandbox::Metrics>;
}

namespace execd::opensandbox {

namespace {

constexpr auto kWatchEvery = std::chrono::seconds(1);
/// Two looks closer than this say little: the one before is used again.
constexpr auto kShortest = std::chrono::milliseconds(100);

/// The very first figure is taken over this long; all later ones since the look before.
constexpr auto kFirst = std::chrono::milliseconds(20);

/// Made by the first thread that needs it: finding the cgroups reads files too.
struct Source {
    std::once_flag once;
    std::optional<UsageSource> source;
};
struct Look {
    explicit Look(std::shared_ptr<Source> from) : shared(std::move(from)) {}
    std::shared_ptr<Source> shared;
    UsageLook operator()() const {
        std::call_once(shared->once, [this] { shared->source.emplace(); });
        return shared->source->look();
    }
};

/// One reader's memory of the look before.
class Meter {
  public:
    explicit Meter(Loop& loop) : loop_(&loop) {}

    Task<Metrics> measure() {
        bool const first = !before_;
        if (first) {
            before_ = co_await look();
            static_cast<void>(co_await loop_->clock().sleep_for(kFirst));
        }
        auto const now = co_await look();
        Usage const usage = usage_between(*before_, now);
        if (first || now.at - before_->at >= kShortest) {
            before_ = now;
            percent_ = usage.cpu_percent;
        }
        Metrics out;
        out.cpu_count = usage.cpus;
        out.cpu_used_pct = percent_;
        out.mem_total_mib = static_cast<double>(usage.memory_total) / (1 << 20);
        out.mem_used_mib = static_cast<double>(usage.memory_used) / (1 << 20);
        out.timestamp =
            std::chrono::duration_cast<std::chrono::milliseconds>(loop_->clock().wall().time_since_epoch())
                .count();
        co_return out;
    }

  private:
    Task<UsageLook> look() {
        if (!source_) source_ = std::make_shared<Source>();
        Look look(source_);
        co_return co_await loop_->pool().run(Lane::metadata, std::move(look));
    }
    Loop* loop_;
    std::shared_ptr<Source> source_;
    std::optional<UsageLook> before_;
    double percent_ = 0;
};

class MetricsStream final : public http::Producer {
  public:
    explicit MetricsStream(Loop& loop) : loop_(loop), meter_(loop) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        for (;;) {
            auto const metrics = co_await meter_.measure();
            writer.out() += to_json(metrics);
            writer.out() += '\n';
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
            bool const slept = co_await loop_.clock().sleep_for(kWatchEvery);
            if (!slept) co_return fail(Code::cancelled, "metrics");
        }
    }

  private:
    Loop& loop_;
    Meter meter_;
};

Task<Result<Answer>> metrics(std::shared_ptr<Meter> meter) {
    auto const now = co_await meter->measure();
    co_return json(to_json(now));
}

}  // namespace

void add_metrics(Services& services, std::vector<http::Row>& out) {
    http::Row row;
    row.method = "GET";
    row.tag = "Metric";
    row.path = "/metrics";
    row.operation_id = "getMetrics";
    row.doc = "CPU and memory of the container; CPU since the call before.";
    row.statuses = {{200, &wire::Codec<Metrics>::ops, "application/json", "Now"}};
    auto const meter = std::make_shared<Meter>(services.loop);
    row.invoke = [meter](Call&) { return metrics(meter); };
    out.push_back(row);
    row.path = "/metrics/watch";
    row.operation_id = "watchMetrics";
    row.doc = "The same every second, a line of JSON each.";
    row.statuses = {{200, nullptr, "text/event-stream", "Lines of JSON"}};
    row.invoke = [s = &services](Call&) {
        Answer answer = Answer::stream("text/event-stream", std::make_unique<MetricsStream>(s->loop));
        answer.headers.set("Cache-Control", "no-cache");
        answer.headers.set("X-Accel-Buffering", "no");
        return wrap(std::move(answer));
    };
    out.push_back(std::move(row));
}

}  // namespace execd::opensandbox
