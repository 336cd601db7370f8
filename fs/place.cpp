#include "fs/place.hpp"

#include <sys/stat.h>

#include "fs/path.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

Result<Place> Locate::run() const {
    Place out;
    out.key = path;
    if (!check_path(path)) return out;
    auto const target = resolve_links(path);
    if (!target) return out;
    struct ::stat parent {};
    if (::stat(std::string(parent_of(*target)).c_str(), &parent) != 0) return out;
    out.key = std::to_string(parent.st_dev) + ":" + std::to_string(parent.st_ino) + ":" +
              std::string(base_name(*target));
    return out;
}

}  // namespace execd::fs
