// The entry that libFuzzer calls: one target is linked into each program.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const input(reinterpret_cast<char const*>(data), size);
    for (auto const* const target : execd::fuzz::Target::all()) target->run(input);
    return 0;
}
