#include "execd/browser/viewer.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "execd/browser/sockets.hpp"
#include "execd/browser/viewer_text.hpp"
#include "shell/environment.hpp"

namespace execd::browser {

using http::Answer;
using http::Call;

namespace {

constexpr char const* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' ws: wss:; worker-src 'self' blob:; base-uri 'self'; form-action 'none'";

std::vector<std::string> data_directories(Services const& services) {
    std::string_view list;
    if (services.environment != nullptr)
        list = services.environment->daemon().get("XDG_DATA_DIRS").value_or(std::string_view());
    if (list.empty()) list = "/usr/local/share:/usr/share";
    std::vector<std::string> out;
    while (!list.empty() && out.size() < 16) {
        auto const colon = list.find(':');
        std::string_view const one = list.substr(0, colon);
        if (one.starts_with('/')) out.push_back(std::string(one) + "/novnc/");
        list = colon == std::string_view::npos ? std::string_view() : list.substr(colon + 1);
    }
    return out;
}

/// A script of noVNC's modules and nothing else: "core/util/logging.js".
bool is_module(std::string_view path) {
    if (path.size() > 200 || !path.ends_with(".js")) return false;
    if (!path.starts_with("core/") && !path.starts_with("vendor/")) return false;
    while (!path.empty()) {
        auto const slash = path.find('/');
        std::string_view const part = path.substr(0, slash);
        bool const plain =
            !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '.';
            });
        if (!plain) return false;
        path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    }
    return true;
}

struct Module {
    UniqueFd fd;
    std::uint64_t size = 0;
    bool installed = false;  // noVNC is there at all
};

// Blocks: on the pool.
Module find_module(std::vector<std::string> const& directories, std::string const& path) {
    Module out;
    for (auto const& directory : directories) {
        struct stat info {};
        if (::stat((directory + "core/rfb.js").c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
        out.installed = true;
        UniqueFd fd(::open((directory + path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return out;
        out.fd = std::move(fd);
        out.size = static_cast<std::uint64_t>(info.st_size);
        return out;
    }
    return out;
}

Answer text_answer(char const* type, std::string body) {
    Answer answer = Answer::bytes(200, type, std::move(body));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Content-Type-Options", "nosniff");
    answer.headers.set("Referrer-Policy", "no-referrer");
    return answer;
}

// Its files lie beside it, but for ".../vnc" without a slash at its end: there they lie below.
std::string page_for(std::string_view path) {
    std::string out(kPage);
    constexpr std::string_view kPlace = "{{beside}}";
    auto const at = out.find(kPlace);
    return out.replace(at, kPlace.size(), path.ends_with("/vnc") ? "vnc/" : "");
}

}  // namespace

Task<Result<Answer>> viewer_file(Services& services, Call& call, std::string file) {
    constexpr std::string_view kModules = "novnc/";
    bool const page = file.empty() || file == "vnc.html";
    bool const module =
        file.starts_with(kModules) && is_module(std::string_view(file).substr(kModules.size()));
    if (file == "viewer.js") co_return text_answer("text/javascript; charset=utf-8", std::string(kScript));
    if (!page && !module) co_return fail(Code::not_found, "", "there is no " + file);
    if (page)
        if (auto supervisor = supervisor_of(services); !supervisor) co_return Failure(supervisor.error());
    std::string const path = page ? "core/rfb.js" : file.substr(kModules.size());
    auto look = [directories = data_directories(services), path] { return find_module(directories, path); };
    Module found = co_await services.loop.pool().run(Lane::metadata, look);
    if (!found.installed)
        co_return fail(Code::unavailable, "vnc page",
                       "noVNC is not installed here: novnc/core/rfb.js in /usr/share or another directory of "
                       "XDG_DATA_DIRS (npm package @novnc/novnc, Debian package novnc)");
    if (!found.fd) co_return fail(Code::not_found, "", "there is no " + file);
    if (page) {
        Answer answer = text_answer("text/html; charset=utf-8", page_for(call.path));
        answer.headers.set("Content-Security-Policy", kPolicy);
        co_return answer;
    }
    Answer answer = text_answer("text/javascript; charset=utf-8", {});
    answer.headers.set("Cache-Control", "max-age=3600");
    http::FilePart part;
    part.length = found.size;
    part.fd = std::move(found.fd);
    answer.body = std::move(part);
    co_return answer;
}

}  // namespace execd::browser
