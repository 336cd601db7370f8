#include "kernels/output.hpp"

#include "base/utf8.hpp"

namespace execd::kernels {

namespace {

constexpr std::size_t kEntryOverhead = 160;

Json member(Json& content, char const* key) {
    auto const it = content.find(key);
    return it == content.end() || !it->is_object() ? Json::object() : std::move(*it);
}

int count_of(Json const& content) {
    auto const it = content.find("execution_count");
    return it != content.end() && it->is_number_integer() ? it->get<int>() : 0;
}

bool flag(Json const& content, char const* key) {
    auto const it = content.find(key);
    return it != content.end() && it->is_boolean() && it->get<bool>();
}

void cut_stream(std::string text, bool is_stderr, std::size_t piece, std::vector<Output>& out) {
    if (text.size() <= piece) {
        if (!text.empty()) out.emplace_back(StreamText{is_stderr, std::move(text)});
        return;
    }
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = std::min(text.size(), at + piece);
        while (end < text.size() && end > at && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
        out.emplace_back(StreamText{is_stderr, text.substr(at, end - at)});
        at = end;
    }
}

CommOutput comm_of(Message& message) {
    return {message.type,
            text_of(message.content, "comm_id"),
            text_of(message.content, "target_name"),
            member(message.content, "data"),
            std::move(message.metadata),
            std::move(message.buffers)};
}

std::size_t json_bytes(Json const& value) {
    switch (value.type()) {
        case Json::value_t::string: return value.get_ref<std::string const&>().size() + 16;
        case Json::value_t::array:
        case Json::value_t::object: {
            std::size_t sum = 32;
            for (auto const& item : value.items()) sum += item.key().size() + json_bytes(item.value()) + 32;
            return sum;
        }
        default: return 16;
    }
}

struct SizeOf {
    std::size_t operator()(StreamText const& o) const { return o.text.size(); }
    std::size_t operator()(ExecuteResult const& o) const {
        return json_bytes(o.data) + json_bytes(o.metadata);
    }
    std::size_t operator()(DisplayData const& o) const { return json_bytes(o.data) + json_bytes(o.metadata); }
    std::size_t operator()(ErrorOutput const& o) const {
        std::size_t sum = o.name.size() + o.value.size();
        for (auto const& line : o.traceback) sum += line.size() + 32;
        return sum;
    }
    std::size_t operator()(CommOutput const& o) const {
        std::size_t sum = json_bytes(o.data) + json_bytes(o.metadata);
        for (auto const& buffer : o.buffers) sum += buffer.size();
        return sum;
    }
    template <class T>
    std::size_t operator()(T const&) const {
        return 0;
    }
};

}  // namespace

std::vector<Output> decode_output(Message& message, bool& bad, std::size_t piece) {
    bad = false;
    std::vector<Output> out;
    Json& content = message.content;
    auto const& type = message.type;
    if (message.unreadable != 0) {
        out.emplace_back(
            OutputGap{1, message.unreadable, "one message of type " + type + " could not be read"});
        return out;
    }
    if (message.oversized != 0) {
        bool const part = type == "stream" && content.contains("text");
        out.emplace_back(OutputGap{
            part ? 0U : 1U, message.oversized,
            "one message of type " + type + " was over the limit" + (part ? ", this is its end" : "")});
        if (!part) return out;
    }
    if (type == "stream") {
        auto const text = content.find("text");
        bad = text == content.end() || !text->is_string();
        if (!bad)
            cut_stream(std::move(text->get_ref<std::string&>()), text_of(content, "name") == "stderr", piece,
                       out);
    } else if (type == "execute_result") {
        out.emplace_back(
            ExecuteResult{count_of(content), member(content, "data"), member(content, "metadata")});
    } else if (type == "display_data" || type == "update_display_data") {
        std::string id;
        if (auto const transient = content.find("transient"); transient != content.end())
            id = text_of(*transient, "display_id");
        out.emplace_back(DisplayData{member(content, "data"), member(content, "metadata"), std::move(id),
                                     type == "update_display_data"});
    } else if (type == "clear_output") {
        out.emplace_back(ClearOutput{flag(content, "wait")});
    } else if (type == "error") {
        ErrorOutput error{text_of(content, "ename"), text_of(content, "evalue"), {}};
        if (auto const lines = content.find("traceback"); lines != content.end() && lines->is_array())
            for (auto const& line : *lines)
                if (line.is_string()) error.traceback.push_back(line.get<std::string>());
        out.emplace_back(std::move(error));
    } else if (type == "status") {
        auto state = text_of(content, "execution_state");
        bad = state.empty();
        if (!bad) out.emplace_back(StatusChange{std::move(state)});
    } else if (type == "execute_input") {
        out.emplace_back(ExecuteInput{count_of(content)});
    } else if (type.starts_with("comm_")) {
        out.emplace_back(comm_of(message));
    }
    return out;
}

std::size_t bytes_of(Output const& output) { return std::visit(SizeOf{}, output) + kEntryOverhead; }

OutputLog::~OutputLog() {
    if (budget_) budget_->used -= bytes_;
}

void OutputLog::drop_first() {
    bytes_ -= entries_.front().bytes;
    if (budget_) budget_->used -= entries_.front().bytes;
    entries_.pop_front();
    ++first_;
}

void OutputLog::append(Output output, WallTime at) {
    std::size_t size = bytes_of(output);
    if (size > limits_.bytes) {
        output = OutputGap{1, size, "one output was larger than the whole log"};
        size = bytes_of(output);
    }
    entries_.push_back({at, std::make_shared<Output const>(std::move(output)), size, total_bytes_});
    bytes_ += size;
    total_bytes_ += size;
    // A gap that is dropped itself still stands for what was lost in it.
    if (auto const* gap = std::get_if<OutputGap>(entries_.back().output.get())) total_bytes_ += gap->bytes;
    if (budget_) budget_->used += size;
    while (entries_.size() > 1 && (bytes_ > limits_.bytes || entries_.size() > limits_.events)) drop_first();
    while (entries_.size() > 1 && budget_ && budget_->exceeded() && bytes_ > budget_->share()) drop_first();
    changed_.notify_all();
}

void OutputLog::close() {
    closed_ = true;
    changed_.notify_all();
}

OutputLog::Page OutputLog::read(std::uint64_t from, std::size_t max_events, std::size_t max_bytes) const {
    Page page;
    from = std::min(from, size());
    if (from < first_) {
        page.lost_events = first_ - from;
        // The exact sum is known from the beginning only; for a later start it is an upper bound.
        page.lost_bytes = entries_.empty() ? total_bytes_ : entries_.front().bytes_before;
        from = first_;
    }
    page.next = from;
    std::size_t bytes = 0;
    for (auto i = static_cast<std::size_t>(from - first_); i < entries_.size(); ++i) {
        auto const& kept = entries_[i];
        if (!page.entries.empty() && (page.entries.size() >= max_events || bytes + kept.bytes > max_bytes))
            break;
        bytes += kept.bytes;
        page.entries.push_back({first_ + i, kept.at, kept.output});
        page.next = first_ + i + 1;
    }
    page.end = closed_ && page.next == size();
    return page;
}

Task<bool> OutputLog::wait(std::uint64_t from, Clock& clock, Deadline deadline) {
    while (size() <= from && !closed_) {
        bool const told = co_await changed_.wait(clock, deadline);
        if (!told) break;
    }
    co_return size() > from || closed_;
}

}  // namespace execd::kernels
