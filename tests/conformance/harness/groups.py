"""Control groups around a daemon, as a container's are: made for a test where this machine lets us."""

import contextlib
import os
from pathlib import Path

import pytest

from . import processes

TREE = Path("/sys/fs/cgroup")
FILES = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}


# As in an ordinary container: /sys/fs/cgroup may be read only.
READ_ONLY_GROUPS = ["unshare", "-m", "sh", "-ec",
                    "while read -r _ place _; do case $place in /sys/fs/cgroup*) mount -o remount,bind,ro $place ;; esac; "
                    'done </proc/self/mounts; exec "$@"', "sh"]


def own_group(controller):
    """(directory, whether version 2) of the group that we are in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if controller in names.split(","):
            return TREE / controller / path.lstrip("/"), False
        if number == "0" and (TREE / "cgroup.controllers").exists():
            return TREE / path.lstrip("/"), True
    return None


@contextlib.contextmanager
def limited(**limits):
    """The words in front of a program that make it and all it starts live within `limits` (memory=BYTES, pids=N). Skips the
    test where no such group can be made."""
    made = []
    try:
        for controller, limit in limits.items():
            try:
                parent, second = own_group(controller)
                group = parent / f"execd-tests-{os.getpid()}-{len(made)}"
                group.mkdir()
                made.append(group)
                (group / FILES[controller][second]).write_text(str(limit))
            except (TypeError, OSError):
                pytest.skip(f"no {controller} controller that may be written")
        joins = "".join(f"echo $$ >{group}/cgroup.procs; " for group in made)
        yield ["sh", "-ec", joins + 'exec "$@"', "sh"]
    finally:
        for group in made:
            processes.eventually(lambda group=group: removed(group), what="an empty group")


def removed(group):
    try:
        for below in group.glob("**/"):
            if below != group:
                below.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True
