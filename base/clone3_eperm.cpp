// Container runtimes older than clone3 refuse it with EPERM. glibc's pthread_create goes back to clone after
// ENOSYS only, so that no thread could be made there. Linked with --wrap=__clone3 (cmake/libraries.cmake), in
// the static build alone.
#include <cerrno>
#include <cstddef>

extern "C" {
struct clone_args;
int __real___clone3(clone_args* args, std::size_t size, int (*run)(void*), void* argument);

// The child runs on a stack of its own and never comes back here.
int __wrap___clone3(clone_args* args, std::size_t size, int (*run)(void*), void* argument) {
    int const result = __real___clone3(args, size, run, argument);
    if (result == -1 && errno == EPERM) errno = ENOSYS;
    return result;
}
}
