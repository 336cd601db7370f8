// A streamed upload. Bytes go to a temporary beside the target in parts of 256 KiB while the next part
// arrives; commit checks length and digest and makes the file appear whole. Destroying a Writer that was not
// committed leaves the old file and no temporary. Files up to 64 KiB cost one hop to the pool in all (none
// where the target lies in memory).
//
//   WriteOptions options(path);
//   options.length = n;
//   Writer writer(files, std::move(options));
//   if (auto ok = co_await writer.write(chunk); !ok) ...      // as often as wanted
//   auto written = co_await writer.commit();
//
// Thread: the reactor. The bytes of write() are not needed after it returns.
#pragma once
#include <memory>
#include <span>

#include "base/error.hpp"
#include "base/task.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

class Executor;

class Writer {
  public:
    Writer(Executor& files, WriteOptions options);
    ~Writer();
    Writer(Writer&&) noexcept;
    Writer& operator=(Writer&&) = delete;

    /// Stages now instead of with the first part, so that its errors come before the body is read: worth it
    /// when a large body is announced.
    [[nodiscard]] Task<Result<void>> open();
    /// After an error every later call answers the same error. conflict after commit.
    [[nodiscard]] Task<Result<void>> write(std::span<char const> bytes);
    /// The same for large pieces whose bytes `owner` keeps as they are: may return while they are being
    /// written, so that the next piece can be received meanwhile.
    [[nodiscard]] Task<Result<void>> write_kept(std::span<char const> bytes,
                                                std::shared_ptr<void const> owner);
    /// conflict ("size" or "sha256" in `where`) when it is not what was announced.
    [[nodiscard]] Task<Result<Written>> commit();

    [[nodiscard]] std::uint64_t size() const;

  private:
    struct State;
    [[nodiscard]] Task<Result<void>> hand_over();
    [[nodiscard]] Task<Result<void>> finish_part();
    [[nodiscard]] Result<void> check_size() const;
    [[nodiscard]] Result<void> count(std::size_t bytes);
    [[nodiscard]] Task<Result<void>> start_put(std::span<char const> bytes,
                                               std::shared_ptr<void const> owner);

    std::shared_ptr<State> state_;
};

}  // namespace execd::fs
