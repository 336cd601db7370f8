// A fuzz target is a function over bytes that a file *_fuzz.cpp here registers under its own name. The fuzz
// preset makes one libFuzzer program of each file (fuzz_main.cpp); every other build replays
// tests/fuzz/corpus/<name>/ through the same functions in a GoogleTest (replay_test.cpp). A broken property
// ends the process: use EXECD_REQUIRE.
#pragma once
#include <string_view>
#include <vector>

namespace execd::fuzz {

using Entry = void (*)(std::string_view input);

class Target {
  public:
    Target(std::string_view name, Entry entry) : name_(name), entry_(entry) { all().push_back(this); }
    Target(Target const&) = delete;
    Target& operator=(Target const&) = delete;

    [[nodiscard]] std::string_view name() const { return name_; }
    void run(std::string_view input) const { entry_(input); }

    static std::vector<Target const*>& all() {
        static std::vector<Target const*> targets;
        return targets;
    }

  private:
    std::string_view name_;
    Entry entry_;
};

/// Takes a number off the front of the input; 0 when it is used up.
[[nodiscard]] inline unsigned take_byte(std::string_view& input) {
    if (input.empty()) return 0;
    auto const byte = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    return byte;
}

/// Takes everything up to the next LF (or all).
[[nodiscard]] inline std::string_view take_line(std::string_view& input) {
    std::size_t const end = input.find('\n');
    std::string_view const line = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    return line;
}

}  // namespace execd::fuzz
