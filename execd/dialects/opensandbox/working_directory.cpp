#include "execd/dialects/opensandbox/working_directory.hpp"

#include <sys/stat.h>

#include "execd/dialects/opensandbox/parts.hpp"
#include "fs/executor.hpp"
#include "fs/ops.hpp"

namespace execd::opensandbox {

Task<WorkingDirectory> existing_directory(Services& services, std::string text,
                                          shell::Environment const& environment) {
    WorkingDirectory out;
    auto path = expand(services, text, environment);
    if (!path) {
        out.refused = "cannot resolve working directory " + text + ": " + path.error().detail;
        co_return out;
    }
    out.path = *path;
    struct stat st {};
    auto const look = [&st, &path] { return ::stat(path->c_str(), &st) == 0 ? 0 : errno; };
    int const err = co_await services.loop.pool().run(Lane::metadata, look);
    if (err != 0)
        out.refused = "working directory does not exist: " + *path + ": stat " + *path + ": " + go_errno(err);
    else if (!S_ISDIR(st.st_mode))
        out.refused = "working directory path is not a directory: " + *path;
    co_return out;
}

Task<WorkingDirectory> made_directory(Services& services, std::string text,
                                      shell::Environment const& environment) {
    WorkingDirectory out;
    auto path = expand(services, text, environment);
    if (!path) {
        out.refused = path.error().detail;
        co_return out;
    }
    out.path = *path;
    fs::MakeDirectory make(*path);
    auto made = co_await services.files->run(std::move(make));
    if (!made) out.refused = made.error().message();
    co_return out;
}

}  // namespace execd::opensandbox
