// A directory of a target's own, for what is only there as a file. Removed with the process.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "tests/fuzz/target.hpp"

namespace execd::fuzz {

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/execd-fuzz-XXXXXX";
        EXECD_REQUIRE(::mkdtemp(name) != nullptr);
        path = name;
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    Folder(Folder const&) = delete;
    Folder& operator=(Folder const&) = delete;
};

}  // namespace execd::fuzz
