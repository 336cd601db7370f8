// Screen: what a terminal shows, as text: a VT model (libvterm) that is fed bytes. Pure: no I/O, no clock.
//
// Not safe against its own caller only in one way: one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace execd::shell {

class Screen {
  public:
    Screen(std::size_t columns, std::size_t rows);
    ~Screen();
    Screen(Screen const&) = delete;
    Screen& operator=(Screen const&) = delete;

    void feed(std::string_view bytes);
    /// Two columns are the least that it has.
    void resize(std::size_t columns, std::size_t rows);
    /// Back to an empty screen (bytes in between are missing).
    void reset();

    struct Cursor {
        std::size_t column = 0;  // from 0
        std::size_t row = 0;
        bool visible = true;
    };
    struct Picture {
        /// One UTF-8 text per row, without trailing blanks.
        std::vector<std::string> rows;
        Cursor cursor;
        std::string title;
        bool alternate = false;  // a full-screen program has its own screen
        std::size_t columns = 0;
        /// Rows joined by newlines, without empty rows at the end.
        [[nodiscard]] std::string text() const;
    };
    [[nodiscard]] Picture picture() const;

    struct Impl;

  private:
    std::unique_ptr<Impl> impl_;
    /// Keeps from libvterm what it does not survive. Follows the output across calls.
    class Guard {
      public:
        /// Replaces the repeats of what takes no room.
        void tame(std::string& bytes);
        /// Scroll margins may have been set.
        bool margins = false;

      private:
        enum class Where : std::uint8_t { text, escape, sequence, title, string } where_ = Where::text;
        bool repeatable_ = false;
    };
    Guard guard_;
};

}  // namespace execd::shell
