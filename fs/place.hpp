// Which file a path names, whatever links lead there: what changes of one file exclude each other by.
#pragma once
#include <string>

#include "base/error.hpp"
#include "base/work_pool.hpp"

namespace execd::fs {

struct Place {
    std::string key{};
    template <class A>
    void visit(A& a) {
        a(key);
    }
};

/// Device and inode of the directory, and the name in it, links followed. Never an error of its own: where
/// the directory is not to be had the path stands for itself, and the operation says what is wrong.
struct Locate {
    using Answer = Place;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};

    explicit Locate(std::string path_ = {}) : path(std::move(path_)) {}
    [[nodiscard]] Result<Place> run() const;
    template <class A>
    void visit(A& a) {
        a(path);
    }
};

}  // namespace execd::fs
