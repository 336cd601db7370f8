// What a run produces, as typed values (jupyter_client "Messaging in Jupyter", section "Messages on the IOPub
// channel"), and the log that keeps it for any number of readers.
//
// Thread: the reactor (decode_output is pure).
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/event.hpp"
#include "kernels/message.hpp"

namespace execd::kernels {

struct StreamText {
    bool is_stderr = false;
    std::string text;
};
struct ExecuteResult {
    int count = 0;
    Json data;  // MIME type -> value
    Json metadata;
};
struct DisplayData {
    Json data;
    Json metadata;
    std::string display_id;
    bool update = false;  // update_display_data
};
struct ClearOutput {
    bool wait = false;
};
struct ErrorOutput {
    std::string name;
    std::string value;
    std::vector<std::string> traceback;
};
/// "busy", "idle", "starting" as the kernel says it; the run's own end is RunOutcome.
struct StatusChange {
    std::string state;
};
/// The cell begins: its number.
struct ExecuteInput {
    int count = 0;
};
/// The cell waits in input(): Run::answer_input.
struct InputRequest {
    std::string prompt;
    bool password = false;
};
struct CommOutput {
    std::string type;  // comm_open, comm_msg, comm_close
    std::string comm_id;
    std::string target;
    Json data;
    Json metadata;
    std::vector<std::string> buffers;
};
/// Output that was not kept, declared where it would have been.
struct OutputGap {
    std::uint64_t events = 0;
    std::uint64_t bytes = 0;
    std::string why;
};
/// Something that the client should know and the kernel did not say: a restart that lost the variables.
struct Notice {
    std::string text;
};

using Output = std::variant<StreamText, ExecuteResult, DisplayData, ClearOutput, ErrorOutput, StatusChange,
                            ExecuteInput, InputRequest, CommOutput, OutputGap, Notice>;

/// The outputs in an iopub message, whose content is used up; a stream text is cut into pieces of at most
/// `piece` bytes between characters. Empty for other types (and for messages that lack what their type needs:
/// `bad` is set then).
[[nodiscard]] std::vector<Output> decode_output(Message& message, bool& bad, std::size_t piece = 256 << 10);
[[nodiscard]] std::size_t bytes_of(Output const& output);

/// What all logs of a daemon may hold together, in bytes. Over it every log that grows gives up its own
/// oldest outputs down to a share of `limit`, so that no context lives at the expense of the others.
struct LogBudget {
    std::size_t limit = std::size_t{256} << 20;
    std::size_t used = 0;
    [[nodiscard]] bool exceeded() const { return used > limit; }
    /// What a log keeps in any case.
    [[nodiscard]] std::size_t share() const { return limit / 256; }
};

/// An append-only list of outputs, numbered from 0, bounded by dropping the oldest. Readers keep only a
/// number: attach, resume and slow readers are all "read from".
class OutputLog {
  public:
    struct Limits {
        std::size_t bytes = 16 << 20;
        std::size_t events = 100'000;
    };
    struct Entry {
        std::uint64_t number = 0;
        WallTime at{};
        std::shared_ptr<Output const> output;
    };
    struct Page {
        std::vector<Entry> entries;
        /// Where to read next.
        std::uint64_t next = 0;
        /// Not 0: so many outputs before the first entry were dropped (a declared gap).
        std::uint64_t lost_events = 0;
        std::uint64_t lost_bytes = 0;
        /// Nothing will follow `next`.
        bool end = false;
    };

    OutputLog() : OutputLog(Limits{}) {}
    explicit OutputLog(Limits limits, std::shared_ptr<LogBudget> budget = nullptr)
        : limits_(limits), budget_(std::move(budget)) {}
    ~OutputLog();
    OutputLog(OutputLog const&) = delete;
    OutputLog& operator=(OutputLog const&) = delete;

    void append(Output output, WallTime at);
    /// No more outputs; readers are woken.
    void close();
    [[nodiscard]] Page read(std::uint64_t from, std::size_t max_events = 256,
                            std::size_t max_bytes = 1 << 20) const;
    /// Waits until there is something at `from` or the log is closed. False when the deadline passed first.
    [[nodiscard]] Task<bool> wait(std::uint64_t from, Clock& clock, Deadline deadline);

    [[nodiscard]] std::uint64_t size() const { return first_ + entries_.size(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] bool closed() const { return closed_; }

  private:
    struct Kept {
        WallTime at;
        std::shared_ptr<Output const> output;
        std::size_t bytes;
        std::uint64_t bytes_before;  // of all outputs ever appended before this one
    };
    void drop_first();

    Limits limits_;
    std::shared_ptr<LogBudget> budget_;
    std::deque<Kept> entries_;
    std::uint64_t first_ = 0;
    std::uint64_t total_bytes_ = 0;
    std::size_t bytes_ = 0;
    bool closed_ = false;
    Event changed_;
};

}  // namespace execd::kernels
