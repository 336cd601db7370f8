#include "base/check.hpp"
#include "fs/archive.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

// The first byte: how much is allowed. The rest: an archive.
void run(std::string_view input) {
    UnpackOptions options;
    options.max_bytes = 1U << (8 + fuzz::take_byte(input) % 14);
    options.max_entries = 200;
    auto const found = examine_archive(input, options);
    if (found) {
        EXECD_REQUIRE(found->bytes <= options.max_bytes);
        EXECD_REQUIRE(found->files + found->directories + found->links + found->skipped <=
                      options.max_entries);
    } else {
        EXECD_REQUIRE(found.error().code == Code::decode || found.error().code == Code::too_large ||
                      found.error().code == Code::invalid_argument);
    }
    if (auto const name = member_name(input.substr(0, 300))) {
        EXECD_REQUIRE(!name->starts_with('/') && *name != ".." && !name->starts_with("../"));
        EXECD_REQUIRE(name->find("/../") == std::string::npos && !name->ends_with("/.."));
        EXECD_REQUIRE(member_name(*name) == name);
    }
}

fuzz::Target const kTarget("archive", run);

}  // namespace
}  // namespace execd::fs
