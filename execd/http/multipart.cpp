#include "execd/http/multipart.hpp"

#include <algorithm>
#include <cstring>

#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"

namespace execd::http {

namespace {

constexpr std::size_t kMaxBoundary = 70;  // RFC 2046 §5.1.1
constexpr std::size_t kMaxPadding = 128;  // spaces between a boundary and its line end
constexpr std::string_view kLineEnd = "\r\n";

bool is_boundary(std::string_view text) {
    return !text.empty() && text.size() <= kMaxBoundary && all_in(text, kBoundaryByte) && text.back() != ' ';
}

}  // namespace

std::string_view to_string(MultipartFault fault) noexcept {
    switch (fault) {
        case MultipartFault::none: return "";
        case MultipartFault::bad_boundary: return "malformed multipart boundary";
        case MultipartFault::bad_delimiter: return "malformed multipart boundary line";
        case MultipartFault::bad_part_head: return "malformed multipart part header";
        case MultipartFault::too_many_parts: return "too many multipart parts";
        case MultipartFault::part_head_too_large: return "the headers of a multipart part are too large";
        case MultipartFault::preamble_too_large: return "too much text before the first multipart part";
        case MultipartFault::truncated: return "the multipart body ends too early";
    }
    return "";
}

MultipartParser::MultipartParser(std::string_view boundary, MultipartLimits limits) : limits_(limits) {
    if (!is_boundary(boundary)) {
        state_ = State::fault;
        fault_ = MultipartFault::bad_boundary;
        return;
    }
    delimiter_.reserve(4 + boundary.size());
    delimiter_ += kLineEnd;
    delimiter_ += "--";
    delimiter_ += boundary;
    expect_delimiter();
}

MultipartParser::Step MultipartParser::fail(MultipartFault fault) noexcept {
    state_ = State::fault;
    fault_ = fault;
    return {Event::fault, {}};
}

void MultipartParser::expect_delimiter() noexcept { matched_ = assumed_ = kLineEnd.size(); }

MultipartParser::Step MultipartParser::next(std::string_view& block) {
    for (;;) {
        std::optional<Step> step;
        switch (state_) {
            case State::preamble: step = on_preamble(block); break;
            case State::data: step = on_data(block); break;
            case State::after_delimiter: step = on_after_delimiter(block); break;
            case State::head: step = on_head(block); break;
            case State::epilogue: state_ = State::done; return {Event::end, {}};
            case State::done: block = {}; return {};
            case State::fault: return {Event::fault, {}};
        }
        if (step) return *step;
        if (block.empty() && !(state_ == State::after_delimiter && open_part_) && state_ != State::epilogue)
            return {};
    }
}

bool MultipartParser::finish() noexcept {
    if (state_ == State::done || state_ == State::epilogue) return true;
    if (state_ != State::fault) fail(MultipartFault::truncated);
    return false;
}

// Looks for the delimiter. Everything before it is data; a beginning of it at the end of the block is kept
// back, which costs nothing: those bytes are known, they are the delimiter's own. A carriage return stands
// only at its start, so a failed match can start over at the failing byte and nowhere before.
MultipartParser::Found MultipartParser::search(std::string_view& block) noexcept {
    if (matched_ > 0) {
        std::size_t const kept = matched_;
        std::size_t i = 0;
        while (kept + i < delimiter_.size() && i < block.size() && block[i] == delimiter_[kept + i]) ++i;
        if (kept + i == delimiter_.size()) {
            block.remove_prefix(i);
            matched_ = assumed_ = 0;
            return {{}, true};
        }
        if (i == block.size()) {
            matched_ += i;
            block = {};
            return {};
        }
        std::string_view const was_data = std::string_view(delimiter_).substr(assumed_, kept - assumed_);
        matched_ = assumed_ = 0;
        if (!was_data.empty()) return {was_data, false};
    }
    auto const* const found =
        static_cast<char const*>(::memmem(block.data(), block.size(), delimiter_.data(), delimiter_.size()));
    if (found != nullptr) {
        std::string_view const data = block.substr(0, static_cast<std::size_t>(found - block.data()));
        block.remove_prefix(data.size() + delimiter_.size());
        return {data, true};
    }
    std::size_t const window = std::min(block.size(), delimiter_.size() - 1);
    std::string_view data = block;
    if (window > 0) {
        auto const* const last =
            static_cast<char const*>(::memrchr(block.data() + block.size() - window, '\r', window));
        if (last != nullptr) {
            auto const at = static_cast<std::size_t>(last - block.data());
            if (std::string_view(delimiter_).starts_with(block.substr(at))) {
                matched_ = block.size() - at;
                data = block.substr(0, at);
            }
        }
    }
    block = {};
    return {data, false};
}

std::optional<MultipartParser::Step> MultipartParser::on_preamble(std::string_view& block) {
    if (block.empty()) return std::nullopt;
    Found const found = search(block);
    preamble_ += found.data.size();
    if (preamble_ > limits_.preamble) return fail(MultipartFault::preamble_too_large);
    if (found.delimiter) state_ = State::after_delimiter;
    return std::nullopt;
}

std::optional<MultipartParser::Step> MultipartParser::on_data(std::string_view& block) {
    if (block.empty()) return std::nullopt;
    Found const found = search(block);
    if (found.delimiter) state_ = State::after_delimiter;
    if (found.data.empty()) return std::nullopt;
    return Step{Event::data, found.data};
}

std::optional<MultipartParser::Step> MultipartParser::on_after_delimiter(std::string_view& block) {
    if (open_part_) {
        open_part_ = false;
        return Step{Event::part_end, {}};
    }
    while (!block.empty()) {
        char const c = block.front();
        block.remove_prefix(1);
        char const before = tail_.empty() ? '\0' : tail_.back();
        if (before == '-') {
            if (c != '-') return fail(MultipartFault::bad_delimiter);
            state_ = State::epilogue;
            return std::nullopt;
        }
        if (before == '\r') {
            if (c != '\n') return fail(MultipartFault::bad_delimiter);
            if (parts_ == limits_.parts) return fail(MultipartFault::too_many_parts);
            tail_.clear();
            head_.clear();
            state_ = State::head;
            return std::nullopt;
        }
        bool const padding = c == ' ' || c == '\t';
        bool const closing = c == '-' && tail_.empty();
        if ((!padding && !closing && c != '\r') || tail_.size() == kMaxPadding)
            return fail(MultipartFault::bad_delimiter);
        tail_ += c;
    }
    return std::nullopt;
}

std::optional<MultipartParser::Step> MultipartParser::on_head(std::string_view& block) {
    while (!block.empty()) {
        // Whole lines at once; the empty line ends the head.
        std::size_t const lf = block.find('\n');
        std::size_t const take = lf == std::string_view::npos ? block.size() : lf + 1;
        if (head_.size() + take > limits_.part_head) return fail(MultipartFault::part_head_too_large);
        head_.append(block.substr(0, take));
        block.remove_prefix(take);
        std::string_view const head = head_;
        if (head != kLineEnd && !head.ends_with("\r\n\r\n")) continue;
        if (!parse_head()) return fail(MultipartFault::bad_part_head);
        ++parts_;
        open_part_ = true;
        state_ = State::data;
        expect_delimiter();
        return Step{Event::part_begin, {}};
    }
    return std::nullopt;
}

bool MultipartParser::parse_head() {
    part_ = {};
    std::string_view rest = head_;
    for (;;) {
        std::size_t const end = rest.find(kLineEnd);
        std::string_view const line = rest.substr(0, end);
        if (line.empty()) return true;
        if (part_.fields.size() == limits_.part_fields || !parse_head_line(line)) return false;
        rest.remove_prefix(end + kLineEnd.size());
    }
}

bool MultipartParser::parse_head_line(std::string_view line) {
    std::size_t const colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
    std::string_view const value = trim(line.substr(colon + 1));
    if (!is_field_value(value)) return false;
    std::string name = to_lower(line.substr(0, colon));
    if (name == "content-type") part_.content_type = value;
    if (name == "content-disposition") {
        auto const parsed = parse_params(value);
        if (!parsed) return false;
        if (auto const* const found = parsed->find("name")) part_.name = *found;
        if (auto filename = parsed->extended("filename")) {
            part_.filename = std::move(*filename);
            part_.has_filename = true;
        }
    }
    part_.fields.emplace_back(std::move(name), value);
    return true;
}

}  // namespace execd::http
