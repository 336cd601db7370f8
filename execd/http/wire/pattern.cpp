#include "execd/http/wire/pattern.hpp"

#include <re2/re2.h>

#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/check.hpp"

namespace execd::wire {

bool matches(char const* pattern, std::string_view text) {
    static std::mutex mutex;
    static auto& compiled = *new std::unordered_map<char const*, std::unique_ptr<re2::RE2 const>>;
    re2::RE2 const* regex = nullptr;
    {
        std::scoped_lock const lock(mutex);
        auto& slot = compiled[pattern];
        if (slot == nullptr) slot = std::make_unique<re2::RE2 const>(pattern, re2::RE2::Quiet);
        regex = slot.get();
    }
    EXECD_REQUIRE(regex->ok());
    return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *regex);
}

}  // namespace execd::wire
