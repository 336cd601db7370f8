"""System calls of the running daemon fail (strace's injection, in its own threads only): it answers, and goes on.

Which operation fails when is another test's business (test_faults.py, in debug builds); here the release program meets
what a kernel in trouble says, at any place where it asks for that.
"""

import os
import subprocess

import pytest

from harness import processes
from harness.daemon import Daemon
from harness.wire import Wire, query

CALLS = [
    ("accept4", "EMFILE"), ("accept4", "ECONNABORTED"), ("openat", "EMFILE"), ("openat", "EIO"), ("pipe2", "EMFILE"),
    ("clone", "EAGAIN"), ("clone3", "EAGAIN"), ("sendmsg", "ENOBUFS"), ("sendmsg", "ECONNRESET"),
    ("recvmsg,recvfrom,readv", "ECONNRESET"), ("recvmsg,recvfrom,readv", "EINTR"), ("pread64", "EIO"),
    ("newfstatat,fstat,statx", "EIO"), ("rename,renameat,renameat2", "EIO"), ("ftruncate,fallocate", "ENOSPC"),
    ("pidfd_open", "EMFILE"), ("memfd_create", "EMFILE"), ("socketpair,socket", "EMFILE"),
    ("getdents64", "EIO"), ("unlink,unlinkat", "EIO"), ("fsync,fdatasync", "EIO"), ("poll,ppoll", "EINTR"),
]


EXPECTED = [200] * 7 + [201, 200]


def attempt(one, method, target, headers=(), body=b""):
    """A status, or None when the connection was cut; never a wait without end."""
    try:
        with Wire(one.port, timeout=20) as wire:
            return wire.request(method, target, headers, body).status
    except (AssertionError, ConnectionError):
        return None


def work(one):
    """Pieces of everything that asks the kernel for much."""
    form = [("Content-Type", "multipart/form-data; boundary=b")]
    upload = (b'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{"path":"' +
              f"{one.work}/up".encode() + b'"}\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' +
              b"x" * 300_000 + b"\r\n--b--\r\n")
    return [
        attempt(one, "GET", "/ping"),
        attempt(one, "POST", "/command", [], b'{"command":"echo hi; seq 1 2000"}'),
        attempt(one, "POST", "/command", [], b'{"command":"cat","envs":{"A":"b"}}'),
        attempt(one, "POST", "/files/upload", form, upload),
        attempt(one, "GET", query("/files/download", path=f"{one.work}/up")),
        attempt(one, "GET", query("/files/search", path=str(one.work), pattern="*")),
        attempt(one, "GET", query("/directories/list", path=str(one.work), depth="2")),
        attempt(one, "POST", "/execd/v1/executions", [], b'{"shell":"true","pty":{"columns":80,"rows":24},"wait_ms":15000}'),
        attempt(one, "GET", "/metrics"),
    ]


class Injection:
    """While it lasts the calls of the daemon's threads fail: the second of each thread, and then every third."""

    def __init__(self, one, calls, error):
        self.pid = one.pid
        threads = os.listdir(f"/proc/{self.pid}/task")
        pids = [word for thread in threads for word in ("-p", thread)]
        self.tracer = subprocess.Popen(["strace", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e",
                                        f"inject={calls}:error={error}:when=2+3", *pids], stderr=subprocess.PIPE)
        processes.eventually(lambda: all(self.traced(thread) for thread in threads), what="the tracer holds every thread")

    def traced(self, thread):
        assert self.tracer.poll() is None, self.tracer.stderr.read()
        status = processes.read(f"/proc/{self.pid}/task/{thread}/status")
        return "\nTracerPid:\t0" not in status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tracer.terminate()
        self.tracer.communicate(timeout=20)


@pytest.fixture(scope="module")
def shared():
    one = Daemon().listening()
    one.shared = True
    assert work(one) == EXPECTED
    yield one
    one.stop()


@pytest.mark.parametrize("calls, error", CALLS, ids=[f"{calls.split(',')[0]} {error}" for calls, error in CALLS])
def test_the_kernel_refuses(shared, calls, error):
    one = shared
    before = processes.open_fds(one.pid)
    with Injection(one, calls, error):
        statuses = work(one)
    # A failure is told or the connection is cut; what was said to have worked has worked.
    assert all(status is None or status in (200, 201) or 400 <= status < 600 for status in statuses), statuses
    assert work(one) == EXPECTED, "everything works again"
    processes.eventually(lambda: processes.open_fds(one.pid) <= before + 2, what="descriptors are given back")
    processes.eventually(lambda: not [pid for pid in processes.children(one.pid)
                                      if "zombie" in processes.read(f"/proc/{pid}/status")], what="no zombie stays")
