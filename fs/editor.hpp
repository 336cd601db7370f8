// The text-editor tool of coding agents (view, create, str_replace, insert, undo_edit) with the texts that
// its users match on (contracts/aio.md section 5.6). It keeps, per file, what undo needs: ten steps, in
// memory, bounded.
//
// Thread: the reactor. One Editor for all clients; each call names the executor that reads and writes.
#pragma once
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/task.hpp"
#include "fs/replace.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

class Executor;

struct EditorRequest {
    enum class Command : std::uint8_t {
        view,
        create,
        str_replace,
        insert,
        undo_edit,
        unknown
    } command = Command::view;
    std::string name{};  // of an unknown command
    std::string path{};
    std::optional<std::string> file_text{};
    std::optional<std::string> old_text{};
    std::optional<std::string> new_text{};
    std::optional<std::int64_t> insert_line{};
    std::vector<std::int64_t> view_range{};
    std::optional<Which> replace_mode{};  // without it several matches are an error

    explicit EditorRequest(Command what = Command::view, std::string path_ = {})
        : command(what), path(std::move(path_)) {}
};

struct EditorAnswer {
    std::string output{};
    std::optional<std::string> error{};  // the tool refused, in its own words; nothing was changed
    bool existed = false;
    std::optional<std::string> old_content{};
    std::optional<std::string> new_content{};
};

class Editor {
  public:
    /// A refusal of the tool is an answer with `error`; failures of the file system are errors.
    [[nodiscard]] Task<Result<EditorAnswer>> run(Executor& files, EditorRequest request);

    [[nodiscard]] std::size_t remembered_bytes() const { return bytes_; }

  private:
    struct Step {
        bool existed = true;    // false: undoing removes the file
        std::string content{};  // bytes before the step
        Seen made{};            // the file that the step left
        std::string sha256{};   // of its bytes
    };
    struct History {
        std::vector<Step> steps{};
        std::list<std::string>::iterator age{};
    };
    [[nodiscard]] Task<Result<EditorAnswer>> view(Executor& files, EditorRequest request, bool directory);
    [[nodiscard]] Task<Result<EditorAnswer>> create(Executor& files, EditorRequest request);
    [[nodiscard]] Task<Result<EditorAnswer>> change(Executor& files, EditorRequest request);
    [[nodiscard]] Task<Result<EditorAnswer>> undo(Executor& files, EditorRequest request);
    void remember(std::string const& path, Step step);
    void forget_last(std::string const& path);
    [[nodiscard]] Task<Result<EditorAnswer>> run_alone(Executor& files, EditorRequest request);
    void forget_oldest();

    std::unordered_map<std::string, History> histories_;
    std::list<std::string> ages_;  // oldest first
    std::size_t bytes_ = 0;
};

/// "Here's the result of running `cat -n` on ...", clipped at 16,000 characters. Pure.
[[nodiscard]] std::string numbered(std::string_view text, std::string_view of, std::uint64_t first_line = 1);
/// The command by its name; unknown otherwise.
[[nodiscard]] EditorRequest::Command editor_command(std::string_view name);

}  // namespace execd::fs
