#include "execd/http/wire/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/check.hpp"

namespace execd::wire {

namespace {

// Some milliseconds at worst; the patterns are ours, the texts are not.
constexpr std::uint32_t kMatchLimit = 100'000;

struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, Free>;

Code compile(std::string_view pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    std::uint32_t const options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY;
    return Code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error,
                              &at, nullptr));
}

}  // namespace

bool matches(char const* pattern, std::string_view text) {
    static std::mutex mutex;
    static auto& compiled = *new std::unordered_map<char const*, Code>;
    pcre2_code const* code = nullptr;
    {
        std::scoped_lock const lock(mutex);
        auto& slot = compiled[pattern];
        if (slot == nullptr) slot = compile(pattern);
        code = slot.get();
    }
    EXECD_REQUIRE(code != nullptr);
    std::unique_ptr<pcre2_match_data, Free> const data(pcre2_match_data_create(1, nullptr));
    std::unique_ptr<pcre2_match_context, Free> const context(pcre2_match_context_create(nullptr));
    EXECD_REQUIRE(data != nullptr && context != nullptr);
    pcre2_set_match_limit(context.get(), kMatchLimit);
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data.get(),
                       context.get()) >= 0;
}

}  // namespace execd::wire
