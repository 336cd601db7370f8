// kernel.json and connection files as strangers' packages write them; foreign JSON with a member cut out.
#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

#include "base/check.hpp"
#include "base/unique_fd.hpp"
#include "base/utf8.hpp"
#include "kernels/connection.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::kernels::native {
Connection read_connection(std::string const& file);  // its header needs Xeus
}

namespace execd::kernels {
namespace {

void spec(std::string_view input) {
    auto const made = parse_kernelspec("fuzz", "/p/share/jupyter/kernels/fuzz", input);
    if (!made) {
        EXECD_REQUIRE(!made.error().message().empty());
        return;
    }
    EXECD_REQUIRE(!made->argv.empty());
    EXECD_REQUIRE(render_argv(*made, "/run/c.json").size() == made->argv.size());
    Env const base{{"HOME", "/root"}, {"A", "$A"}};
    auto const env = render_env(*made, base);
    for (auto const& [name, value] : base) EXECD_REQUIRE(made->env.contains(name) || env.at(name) == value);
    KernelSpecs const all({*made});
    EXECD_REQUIRE(all.by_name("fuzz") != nullptr && all.find("fuzz").has_value());
    (void)all.find(made->language);
    auto const language = canonical_language(input.substr(0, 40));
    EXECD_REQUIRE(canonical_language(language) == language);
}

void connection(std::string_view input) {
    UniqueFd const fd(::memfd_create("fuzz", MFD_CLOEXEC));
    if (!fd || ::write(fd.get(), input.data(), input.size()) < 0) return;
    try {
        auto const read = native::read_connection("/proc/self/fd/" + std::to_string(fd.get()));
        EXECD_REQUIRE(!read.key.empty());
        for (auto const channel : {Channel::shell, Channel::iopub, Channel::heartbeat})
            EXECD_REQUIRE(!read.endpoint(channel).empty());
        EXECD_REQUIRE(parse_json(read.json("fuzz")).has_value());
    } catch (std::runtime_error const&) {  // refused, and said why
    }
}

void member(std::string_view input) {
    auto const key = fuzz::take_line(input);
    std::size_t const most = 1 + key.size() * 3;
    if (auto const end = string_member(input, key, most)) {
        EXECD_REQUIRE(is_utf8(end->text) && end->dropped <= input.size());
        EXECD_REQUIRE(end->text.size() <= 3 * (most + 16));  // a byte that is no UTF-8 becomes three
    }
    if (auto const value = parse_json(input)) EXECD_REQUIRE(parse_json(dump_json(*value)).has_value());
}

void run(std::string_view input) {
    switch (fuzz::take_byte(input) % 3) {
        case 0: return spec(input);
        case 1: return connection(input);
        default: return member(input);
    }
}

fuzz::Target const kTarget("kernelspec", run);

}  // namespace
}  // namespace execd::kernels
