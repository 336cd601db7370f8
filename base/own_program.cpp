#include "base/own_program.hpp"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace execd {

Result<UniqueFd> open_own_program() {
    UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    if (file) return file;
    auto const* given = reinterpret_cast<char const*>(::getauxval(AT_EXECFN));
    if (given == nullptr) return fail(Code::unavailable, "own program", "/proc is not mounted");
    file.reset(::open(given, O_RDONLY | O_CLOEXEC));
    if (!file) return fail_errno("own program", errno, given);
    return file;
}

void forget_start_pages() {
    auto const forget = [](dl_phdr_info* program, std::size_t, void*) {
        auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        for (int i = 0; i < program->dlpi_phnum; ++i) {
            auto const& part = program->dlpi_phdr[i];
            // What may be written is not the file's any more.
            if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
            std::uintptr_t const begin = (program->dlpi_addr + part.p_vaddr) / page * page;
            std::uintptr_t const end = program->dlpi_addr + part.p_vaddr + part.p_memsz;
            ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
        }
        return 1;  // the first is the program itself
    };
    ::dl_iterate_phdr(forget, nullptr);
}

}  // namespace execd
