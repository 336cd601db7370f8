// Every corpus file through its target, in builds without libFuzzer. A file that once broke something stays
// in the corpus and is a regression test from then on.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/target.hpp"

namespace execd::fuzz {
namespace {

std::string read_all(std::filesystem::path const& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(FuzzCorpus, EveryTargetTakesItsCorpus) {
    std::filesystem::path const corpus = EXECD_FUZZ_CORPUS;
    ASSERT_FALSE(Target::all().empty());
    for (auto const* const target : Target::all()) {
        SCOPED_TRACE(target->name());
        auto const folder = corpus / target->name();
        ASSERT_TRUE(std::filesystem::is_directory(folder)) << "a target without seeds: " << folder;
        std::size_t files = 0;
        for (auto const& entry : std::filesystem::directory_iterator(folder)) {
            std::string const input = read_all(entry.path());
            target->run(input);
            // Truncations reach the "not yet" and "too early" paths of every parser.
            for (std::size_t size = 0; size < std::min<std::size_t>(input.size(), 64); ++size)
                target->run(std::string_view(input).substr(0, input.size() - size - 1));
            ++files;
        }
        EXPECT_GT(files, 0U);
    }
}

}  // namespace
}  // namespace execd::fuzz
