"""What the kernel says about processes: read from /proc, never through the daemon under test."""

import contextlib
import os
import select
import threading
import time
from pathlib import Path


def read(path):
    """The text of a /proc file, or "" when the process is gone."""
    try:
        return Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def alive(pid):
    """True while `pid` runs; a zombie does not."""
    stat = read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rsplit(")", 1)[1].split()[0] not in ("Z", "X")


def children(pid):
    found = []
    with contextlib.suppress(FileNotFoundError):  # it ended while we looked
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(word) for word in read(f"/proc/{pid}/task/{task}/children").split()]
    return found


def commands(pid):
    """Children that are shells or what shells became: not the daemon's zygote, kernels and file workers."""
    own = ("python", "fs-worker", "\0kernel\0")
    return [child for child in children(pid) if not any(name in read(f"/proc/{child}/cmdline") for name in own)]


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        kids = children(todo.pop())
        found += kids
        todo += kids
    return found


def marked(name, value):
    """Pids of live processes whose environment at exec had name=value."""
    needle = f"{name}={value}"
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and needle in read(f"/proc/{entry}/environ").split("\0") and alive(int(entry)):
            found.append(int(entry))
    return found


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_kib(pid, field="Pss"):
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field} for pid {pid}")


def wait_gone(pid, seconds=10.0):
    """Waits for the end of any process (not only of our children) by its pidfd."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def eventually(predicate, seconds=10.0, what="the condition"):
    """For what the kernel reports by no event (fd counts, /proc tables): asks again until it holds.

    Returns the first true value; fails with the last one seen when the deadline passes.
    """
    pause = threading.Event()
    end = time.monotonic() + seconds
    while True:
        seen = predicate()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not hold within {seconds} s, last seen: {seen!r}")
        pause.wait(0.01)
