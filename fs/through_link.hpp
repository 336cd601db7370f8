// A walk (fs/walk.hpp) never follows links, its root among them, but for a root that is spelled with a slash
// at its end: then what the link points to is walked, be it a directory or a file, below the name of the
// link.
#pragma once
#include <string>

namespace execd::fs {

/// `path` (absolute, clean) as the root of a walk that follows it.
[[nodiscard]] inline std::string through_link(std::string path) {
    if (!path.ends_with('/')) path += '/';
    return path;
}

}  // namespace execd::fs
