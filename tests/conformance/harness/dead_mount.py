"""A file system whose server stops answering: a FUSE mount served just far enough to look up and open its one file.

Reading, writing and everything else is never answered, until the mount is taken away.
"""

import ctypes
import os
import struct
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
LOOKUP, GETATTR, OPEN, STATFS, RELEASE, FORGET, INIT, OPENDIR = 1, 3, 14, 17, 18, 2, 26, 27
HEAD = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
SIZE = 64 << 20


def attributes(node):
    mode, size = (0o040755, 4096) if node == 1 else (0o100644, SIZE)
    return struct.pack("<6Q10I", node, size, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class DeadMount:
    """`folder` shows one file, `file`, of 64 MiB. Needs root. Use as a context manager."""

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        data = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if LIBC.mount(b"dead", os.fsencode(self.folder), b"fuse.dead", 0, data.encode()) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise OSError(error, os.strerror(error))
        self.waiting = 0  # requests that get no answer
        self.server = threading.Thread(target=self.serve, daemon=True)
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIBC.umount2(os.fsencode(self.folder), 1)  # MNT_FORCE: what waits gets its error
        LIBC.umount2(os.fsencode(self.folder), 2)  # MNT_DETACH
        self.server.join(10)
        os.close(self.device)
        os.rmdir(self.folder)

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 256 << 10)
            except OSError:
                return
            _, opcode, unique, node, *_ = HEAD.unpack_from(request)
            answer = self.answer(opcode, node, request[HEAD.size:])
            if answer is not None:
                os.write(self.device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
            elif opcode not in (FORGET, RELEASE):
                self.waiting += 1

    def answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<4IHHIIHH8I", 7, 19, 128 << 10, 0, 12, 9, 128 << 10, 0, 0, 0, *[0] * 8)[:24]
        if opcode == LOOKUP and body == b"file\0":
            return struct.pack("<4Q2I", 2, 0, 3600, 3600, 0, 0) + attributes(2)
        if opcode == GETATTR:
            return struct.pack("<Q2I", 3600, 0, 0) + attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<Q2I", 1, 0, 0)
        return None
