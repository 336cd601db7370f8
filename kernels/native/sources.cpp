// EXECD_WORKERS is the folder of the sources (kernels/CMakeLists.txt, which also makes this file depend on
// them).
#include "kernels/native/sources.hpp"

#define EXECD_FILE(file) ".incbin \"" EXECD_WORKERS "/" file "\"\n"
// `files`: one or more EXECD_FILE, one after the other.
#define EXECD_EMBED(symbol, files)                                                          \
    __asm__(".section .rodata." #symbol                                                     \
            ",\"a\"\n"                                                                      \
            ".global " #symbol "\n" #symbol ":\n" files ".global " #symbol "_end\n" #symbol \
            "_end:\n.byte 0\n.previous\n");                                                 \
    extern "C" char const symbol[];                                                         \
    extern "C" char const symbol##_end[];

EXECD_EMBED(execd_worker_bash, EXECD_FILE("bash.sh"))
EXECD_EMBED(execd_worker_python,
            EXECD_FILE("python.py") EXECD_FILE("python_show.py") EXECD_FILE("python_cells.py"))
EXECD_EMBED(execd_worker_node,
            EXECD_FILE("node_again.js") EXECD_FILE("node.js") EXECD_FILE("node_text.js") ".ascii \")\"\n")

namespace execd::kernels::native {

namespace {
std::string_view between(char const* from, char const* to) {
    return {from, static_cast<std::size_t>(to - from)};
}
}  // namespace

std::string_view bash_source() { return between(execd_worker_bash, execd_worker_bash_end); }
std::string_view python_source() { return between(execd_worker_python, execd_worker_python_end); }
std::string_view node_source() { return between(execd_worker_node, execd_worker_node_end); }

}  // namespace execd::kernels::native
