#include "kernels/kernel_process.hpp"

#include "base/utf8.hpp"

namespace execd::kernels {

KernelProcess::~KernelProcess() = default;

namespace {

constexpr std::size_t kTail = 4096;

class ExecutionProcess final : public KernelProcess {
  public:
    explicit ExecutionProcess(std::shared_ptr<shell::Execution> execution)
        : execution_(std::move(execution)) {}
    [[nodiscard]] std::string const& id() const override { return execution_->id(); }
    [[nodiscard]] pid_t pid() const override { return execution_->pid(); }
    [[nodiscard]] bool running() const override { return execution_->running(); }
    [[nodiscard]] Task<bool> ended(Deadline deadline) override { return execution_->ended(deadline); }
    Result<void> signal(int number) override { return execution_->signal(number); }
    [[nodiscard]] Task<void> stop(Duration grace) override { return execution_->stop(grace); }
    [[nodiscard]] std::string cause() const override {
        return execution_->verdict() ? execution_->verdict()->text() : std::string();
    }
    [[nodiscard]] std::string cause_kind() const override {
        return std::string(execution_->verdict() ? execution_->verdict()->kind() : std::string_view());
    }
    [[nodiscard]] std::vector<std::string> const& not_enforced() const override {
        return execution_->not_enforced();
    }
    [[nodiscard]] std::string log_tail() const override {
        auto& journal = execution_->journal();
        auto const total = journal.end().total;
        auto const from = journal.seek_total(total > kTail ? total - kTail : 0);
        auto cursor = journal.reader({.until = shell::Until::now, .position = from});
        shell::Batch batch;
        std::string out;
        while (out.size() < kTail && cursor.poll(batch))
            for (auto const& slice : batch.slices) out += slice.bytes;
        return to_utf8(out);
    }

  private:
    std::shared_ptr<shell::Execution> execution_;
};

}  // namespace

std::unique_ptr<KernelProcess> process_of(std::shared_ptr<shell::Execution> execution) {
    return std::make_unique<ExecutionProcess>(std::move(execution));
}

}  // namespace execd::kernels
