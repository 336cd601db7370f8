#include "shell/screen.hpp"

#include <vterm.h>

#include <algorithm>
#include <utility>

#include "base/utf8.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kLargest = 1000;  // cells in a row or column
int clamped(std::size_t n) { return static_cast<int>(std::clamp<std::size_t>(n, 1, kLargest)); }
/// libvterm writes a character of two columns into one that has one, past its row.
int clamped_columns(std::size_t n) { return std::max(clamped(n), 2); }
}  // namespace

struct Screen::Impl {
    VTerm* terminal;
    VTermScreen* screen;
    std::string title;
    bool alternate = false;
    bool cursor_visible = true;

    Impl(std::size_t columns, std::size_t rows)
        : terminal(vterm_new(clamped(rows), clamped_columns(columns))) {
        vterm_set_utf8(terminal, 1);
        screen = vterm_obtain_screen(terminal);
        vterm_screen_enable_altscreen(screen, 1);
        vterm_screen_set_callbacks(screen, &kCallbacks, this);
        vterm_screen_reset(screen, 1);
    }
    ~Impl() { vterm_free(terminal); }
    Impl(Impl const&) = delete;
    Impl& operator=(Impl const&) = delete;

    static int property(VTermProp property, VTermValue* value, void* self) {
        auto* me = static_cast<Impl*>(self);
        if (property == VTERM_PROP_TITLE) me->title = value->string != nullptr ? value->string : "";
        if (property == VTERM_PROP_ALTSCREEN) me->alternate = value->boolean != 0;
        if (property == VTERM_PROP_CURSORVISIBLE) me->cursor_visible = value->boolean != 0;
        return 1;
    }
    static const VTermScreenCallbacks kCallbacks;
};

const VTermScreenCallbacks Screen::Impl::kCallbacks = [] {
    VTermScreenCallbacks out{};
    out.settermprop = &Screen::Impl::property;
    return out;
}();

Screen::Screen(std::size_t columns, std::size_t rows) : impl_(std::make_unique<Impl>(columns, rows)) {}
Screen::~Screen() = default;

// Follows the output as libvterm's parser does; where the two could differ, it errs towards no REP.
// libvterm repeats the last glyph (REP, CSI n b) until it has covered so many columns: for ever when that
// glyph has none, or when there was none yet. So it gets a REP only behind a character of ASCII; elsewhere
// the sequence's last byte becomes one that it does not know.
void Screen::Guard::tame(std::string& bytes) {
    for (char& c : bytes) {
        auto const byte = static_cast<unsigned char>(c);
        if (byte == 0x1B) {
            where_ = Where::escape;
        } else if (byte == 0x18 || byte == 0x1A) {  // CAN, SUB
            where_ = Where::text;
        } else if (where_ == Where::text) {
            if (byte >= 0x20) repeatable_ = byte < 0x7F;
        } else if (where_ == Where::title) {
            if (byte == 0x07) where_ = Where::text;
        } else if (where_ == Where::escape && byte >= 0x20) {
            if (c == '[')
                where_ = Where::sequence;
            else if (c == ']')
                where_ = Where::title;
            else
                where_ = c == 'P' || c == 'X' || c == '^' || c == '_' ? Where::string : Where::text;
        } else if (where_ == Where::sequence && byte >= 0x40 && byte != 0x7F) {
            if (c == 'b' && !repeatable_) c = 'y';
            margins = margins || c == 'r' || c == 's';
            where_ = Where::text;
        }
    }
}

void Screen::feed(std::string_view bytes) {
    std::string tamed(bytes);
    guard_.tame(tamed);
    vterm_input_write(impl_->terminal, tamed.data(), tamed.size());
}

void Screen::resize(std::size_t columns, std::size_t rows) {
    if (std::exchange(guard_.margins, false)) {
        // libvterm keeps margins that lie outside of a smaller screen, and scrolls there. The program is told
        // of the size and draws anew.
        VTermPos at{};
        vterm_state_get_cursorpos(vterm_obtain_state(impl_->terminal), &at);
        feed("\x1b[?69l\x1b[r\x1b[" + std::to_string(at.row + 1) + ";" + std::to_string(at.col + 1) + "H");
        guard_.margins = false;
    }
    vterm_set_size(impl_->terminal, clamped(rows), clamped_columns(columns));
}

void Screen::reset() { vterm_screen_reset(impl_->screen, 1); }

Screen::Picture Screen::picture() const {
    Picture out;
    int rows = 0;
    int columns = 0;
    vterm_get_size(impl_->terminal, &rows, &columns);
    out.columns = static_cast<std::size_t>(columns);
    std::string buffer(static_cast<std::size_t>(columns) * 4 * VTERM_MAX_CHARS_PER_CELL + 1, '\0');
    for (int row = 0; row < rows; ++row) {
        VTermRect const rect{row, row + 1, 0, columns};
        std::size_t const size = vterm_screen_get_text(impl_->screen, buffer.data(), buffer.size(), rect);
        std::string line = buffer.substr(0, std::min(size, buffer.size()));
        auto const last = line.find_last_not_of(std::string_view(" \n\0", 3));
        line.resize(last == std::string::npos ? 0 : last + 1);
        // libvterm reads and writes numbers beyond Unicode's last (F5 and more begin them).
        out.rows.push_back(to_utf8(line));
    }
    VTermPos position{};
    vterm_state_get_cursorpos(vterm_obtain_state(impl_->terminal), &position);
    out.cursor = {static_cast<std::size_t>(position.col), static_cast<std::size_t>(position.row),
                  impl_->cursor_visible};
    out.title = to_utf8(impl_->title);
    out.alternate = impl_->alternate;
    return out;
}

std::string Screen::Picture::text() const {
    std::size_t last = rows.size();
    while (last > 0 && rows[last - 1].empty()) --last;
    std::string out;
    for (std::size_t i = 0; i < last; ++i) {
        if (i > 0) out += '\n';
        out += rows[i];
    }
    return out;
}

}  // namespace execd::shell
