"""A container runtime that knows some system calls not: a seccomp filter in front of a program.

    python refuse.py EPERM clone3,pidfd_open PROGRAM ARGUMENT...

The filter goes with every exec and to every child. `pidfd` besides the calls of that name refuses clone's CLONE_PIDFD.
"""

import ctypes
import errno
import os
import struct
import sys

CALLS = {  # x86-64
    "clone": 56, "vfork": 58, "inotify_init": 253, "inotify_init1": 294, "memfd_create": 319, "execveat": 322,
    "copy_file_range": 326, "statx": 332, "pidfd_send_signal": 424, "pidfd_open": 434, "clone3": 435, "close_range": 436,
    "openat2": 437,
}
GROUPS = {"pidfd": ["pidfd_open", "pidfd_send_signal"], "inotify": ["inotify_init", "inotify_init1"]}
CLONE_PIDFD = 0x1000
LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER, FIRST = 0, 16  # offsets in struct seccomp_data: the call's number, the low half of its first argument


def program(names, error):
    """The filter's instructions: each of these calls fails with `error`, the rest goes through."""
    out = [(LOAD, 0, 0, NUMBER)]
    for name in names:
        for call in GROUPS.get(name, [name]):
            out += [(EQUAL, 0, 1, CALLS[call]), (RETURN, 0, 0, FAIL | error)]
    if "pidfd" in names:
        out += [(EQUAL, 0, 3, CALLS["clone"]), (LOAD, 0, 0, FIRST), (ANY, 0, 1, CLONE_PIDFD), (RETURN, 0, 0, FAIL | error)]
    return [*out, (RETURN, 0, 0, ALLOW)]


def install(names, error):
    code = program(names, error)
    filters = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *each) for each in code))
    head = struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privs, set_seccomp, mode_filter = 38, 22, 2
    for call in ((no_new_privs, 1, 0, 0, 0), (set_seccomp, mode_filter, head, 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {call[0]}")


def wrapper(names, error):
    """The words in front of a program."""
    return [sys.executable, __file__, error, ",".join(names)]


if __name__ == "__main__":
    install(sys.argv[2].split(","), getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[3], sys.argv[3:])
