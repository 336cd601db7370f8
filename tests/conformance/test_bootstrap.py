"""deploy/bootstrap.sh in the shells that images have, with a stand-in for execd that writes down what happens to it
(contracts/opensandbox.md §3.6, opensandbox-1.1.md §9)."""

import os
import shutil
import signal
import subprocess
import threading

import pytest

from harness import processes
from harness.daemon import REPO

SHELLS = [["dash"], ["busybox", "sh"], ["bash", "--posix"]]
SCRIPT = str(REPO / "deploy" / "bootstrap.sh")
STAND_IN = """#!/bin/sh
trap 'echo "told $$" >>{book}; kill $!; exit 0' TERM
echo "begun $$ $*" >>{book}
while :; do sleep 60 >/dev/null 2>&1 & wait $!; done
"""


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def box(request, tmp_path):
    assert shutil.which(request.param[0]), f"{request.param[0]} is missing: scripts/deps --test"
    return Box(request.param, tmp_path)


class Box:
    def __init__(self, shell, room):
        self.shell, self.room, self.book = shell, room, room / "book"
        self.book.touch()
        stand_in = room / "execd"
        stand_in.write_text(STAND_IN.format(book=self.book))
        stand_in.chmod(0o755)
        self.env = {"PATH": os.environ["PATH"], "EXECD": f"{stand_in} --log-level 3", "EXECD_ENVS": str(room / "made" / "env")}

    def start(self, *args, **env):
        return subprocess.Popen([*self.shell, SCRIPT, *args], env={**self.env, **env}, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def lines(self):
        return self.book.read_text().splitlines()

    def daemons(self):
        return [int(line.split()[1]) for line in self.lines() if line.startswith("begun")]

    def run(self, *args, given="", **env):
        one = self.start(*args, **env)
        late = threading.Timer(30, os.killpg, (one.pid, signal.SIGKILL))
        late.start()
        out, err = one.communicate(given)
        late.cancel()
        return one.returncode, out, err

    def nothing_left(self):
        processes.eventually(lambda: not any(processes.alive(pid) for pid in self.daemons()), what="no daemon left")


def test_the_programs_status_and_streams_are_its_own(box):
    status, out, err = box.run("sh", "-c", 'read -r line; echo "got $line"; echo wrong >&2; exit 7', given="hello\n")
    assert (status, out) == (7, "got hello\n") and "wrong" in err
    assert (box.room / "made" / "env").read_text() == ""
    box.nothing_left()


def test_text_instead_of_a_program(box):
    assert box.run("-c", 'echo "$0 $1"; exit 3', "zero", "one")[:2] == (3, "zero one\n")
    assert box.run(BOOTSTRAP_CMD="echo by variable; exit 4")[:2] == (4, "by variable\n")
    assert box.run(BOOTSTRAP_SHELL="sh", given="echo a shell; exit 5\n")[:2] == (5, "a shell\n")
    before = box.room / "before"
    before.write_text("export GIVEN=beforehand\n")
    assert box.run("-c", 'echo "$GIVEN $EXECD_ENVS"', EXECD_BOOTSTRAP_PRE_SCRIPT=str(before))[1] == \
        f"beforehand {box.env['EXECD_ENVS']}\n"
    assert box.run("/no/such/program")[0] == 127
    box.nothing_left()


def test_a_daemon_that_ends_is_started_again(box):
    one = box.start("sh", "-c", "read -r line")
    processes.eventually(lambda: len(box.daemons()) == 1, what="the daemon")
    assert box.lines()[0].endswith("--log-level 3 --port 44772")
    os.kill(box.daemons()[0], signal.SIGKILL)
    processes.eventually(lambda: len(box.daemons()) == 2, what="another daemon")
    out, err = one.communicate("go\n", timeout=30)
    assert one.returncode == 0 and "execd ended with status 137; starting it again in 0 s" in err
    assert f"told {box.daemons()[1]}" in box.lines()
    box.nothing_left()


def test_term_goes_to_both(box):
    one = box.start("sh", "-c", "trap 'echo told; kill $!; exit 9' TERM; echo ready; while :; do sleep 60 >/dev/null 2>&1 & wait $!; done")
    processes.eventually(lambda: len(box.daemons()) == 1, what="the daemon")
    assert one.stdout.readline() == "ready\n"
    one.terminate()
    out, _ = one.communicate(timeout=30)
    assert (one.returncode, out) == (0, "told\n")
    assert f"told {box.daemons()[0]}" in box.lines()
    box.nothing_left()
