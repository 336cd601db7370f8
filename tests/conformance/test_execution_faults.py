"""Executions where the machine or the client misbehaves: full and read-only disks, no descriptors, stalled and vanished
clients, escapes from the process tree. Whatever happens: the right error or verdict, and everything else still answers.
"""

import os
import random
import resource
import shutil
import signal
import time
import uuid

import pytest

from harness import frames, processes
from harness.daemon import Daemon
from harness.wire import build, query

ROOT = "/execd/v1/executions"


def in_own_mounts(script):
    """Runs the daemon in a mount namespace of its own, after `script` (with $TMPDIR)."""
    return ("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script + '; exec "$@"', "sh")


def still_works(daemon):
    assert daemon.call("GET", "/ping").status == 200
    assert daemon.shell("echo fine") == "fine\n"


def finished(daemon, **spec):
    answer = daemon.call("PUT", f"{ROOT}/{uuid.uuid4().hex}", json={"wait_ms": 20_000, **spec})
    assert answer.status == 201, answer
    return answer.json()


def all_of(daemon, view, stream="stdout"):
    """Every byte of a stream and the number of declared lost ones, asking again after each cut."""
    lost, got = 0, b""
    while lost + len(got) < view["streams"][stream]["written"]:
        answer = daemon.call("GET", f"{ROOT}/{view['id']}/output?offset={lost + len(got)}")
        assert answer.status == 200
        missing = int(answer.header("X-Execd-Lost", "0"))
        assert missing or answer.body, "neither bytes nor a gap"
        lost += missing
        got += answer.body
    return lost, got


@pytest.mark.parametrize("size", ["64k", "2m"])
def test_a_full_small_disk(fresh_daemon, size):
    """Output beyond what fits is a declared gap; nothing fails because of it. Big texts need no disk."""
    daemon = fresh_daemon(python=False, wrapper=in_own_mounts(
        f'mount -t tmpfs -o size={size} none "$TMPDIR" && (head -c 9000000 /dev/zero > "$TMPDIR/ballast" 2>/dev/null; true)'))
    view = finished(daemon, shell="yes 0123456789abcde | head -c 16000000")
    assert view["verdict"]["exit_code"] == 0 and view["streams"]["stdout"]["written"] == 16_000_000
    lost, got = all_of(daemon, view)
    assert lost + len(got) == 16_000_000 and got == (b"0123456789abcde\n" * 1_000_000)[lost:]
    assert daemon.shell("x=" + "y" * 300_000 + "; echo ${#x}") == "300000\n"
    still_works(daemon)


def test_a_read_only_temporary_directory(fresh_daemon):
    daemon = fresh_daemon(python=False, wrapper=in_own_mounts('mount -t tmpfs -o ro none "$TMPDIR"'))
    view = finished(daemon, shell="head -c 5000000 /dev/zero; exit 3")
    assert view["verdict"]["exit_code"] == 3
    lost, got = all_of(daemon, view)
    assert lost + len(got) == 5_000_000
    assert daemon.shell("x=" + "y" * 300_000 + "; echo ${#x}") == "300000\n"
    still_works(daemon)


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_no_descriptors_left(fresh_daemon):
    """A start without descriptors is an error that says so; what runs goes on; afterwards all is as before."""
    daemon = fresh_daemon(python=False, preexec=few_descriptors)
    with daemon.wire() as wire:
        started, refused = [], None
        for i in range(60):
            answer = wire.request("PUT", f"{ROOT}/fd-{i}", body=b'{"shell":"read x; exit 5","stdin":"pipe"}')
            if answer.status != 201:
                refused = answer
                break
            started.append(i)
        assert refused is not None and refused.status in (429, 500, 503), refused
        assert len(started) > 5
        assert wire.request("GET", "/ping").status == 200
        for i in started:
            assert wire.request("POST", f"{ROOT}/fd-{i}/input?eof=true").status == 200
        for i in started:
            view = wire.request("GET", f"{ROOT}/fd-{i}?wait_ms=9000").json()
            assert view["verdict"]["exit_code"] == 5, view
    still_works(daemon)


def test_a_stalled_client_holds_up_nobody(fresh_daemon):
    """It reads nothing at all: the command ends all the same, its output waits, and then is all there."""
    daemon = fresh_daemon(python=False)
    with daemon.wire() as wire:
        # More than all the buffers on the way hold, in lines that are quickly read back.
        command = b'{"command":"seq -f %0400.0f 1 60000; echo done > marker"}'
        wire.send(build("POST", "/command", [], command, wire.host))
        processes.eventually(lambda: (daemon.work / "marker").exists(), seconds=30, what="the command's end")
        still_works(daemon)
        answer = wire.response()
        events = frames.split(answer.body)
    assert frames.exit_of(events) == 0
    assert frames.joined(events) == "".join(f"{i:0400d}\n" for i in range(1, 60_001))


def test_a_client_that_vanishes_at_any_byte(daemon):
    """Of the request, or of the answer: no process, no descriptor stays behind."""
    request = build("POST", "/command", [], b'{"command":"seq 1 20000; sleep 0.05; echo end"}', "x")
    still_works(daemon)  # what the first start opens for good
    fds = processes.open_fds(daemon.pid)
    chance = random.Random(3)
    for cut in [*range(0, len(request), 7), len(request)]:
        with daemon.wire() as wire:
            wire.send(request[:cut])
            if cut == len(request):
                continue
    for _ in range(40):
        with daemon.wire() as wire:
            wire.send(request)
            wire.exactly(chance.randrange(1, 200_000))
    still_works(daemon)
    processes.eventually(lambda: not processes.commands(daemon.pid), what="no command left")
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= fds, what="descriptors as before")


ESCAPES = {
    "double fork": "(sleep {mark} &) ; sleep {mark}",
    "setsid": "setsid sleep {mark} & sleep {mark}",
    "setsid, double fork": "(setsid sh -c 'sleep {mark} & exec sleep {mark}' &); sleep {mark}",
    "ignores TERM": "trap '' TERM INT HUP; setsid sleep {mark} & while :; do sleep {mark}; done",
    "stopped": "setsid sh -c 'kill -STOP $$; sleep {mark}' & sleep {mark}",
    "ignores TERM in the leader's group, clean environment":
        "env -i /bin/sh -c 'trap \"\" TERM; exec /bin/sleep {mark}' & wait",
    "no output held": "setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep {mark}",
}


@pytest.fixture(scope="module")
def without_groups():
    """The walk over the processes alone has to do."""
    one = Daemon(args=["--cgroups", "off"], python=False).listening()
    yield one
    one.stop()


@pytest.mark.parametrize("kind", ESCAPES)
@pytest.mark.parametrize("groups", ["as it is", "off"])
def test_nothing_escapes_the_end_of_its_tree(daemon, without_groups, kind, groups):
    daemon = without_groups if groups == "off" else daemon
    mark = str(random.randrange(10**7, 10**8))
    id_ = uuid.uuid4().hex
    daemon.call("PUT", f"{ROOT}/{id_}", json={"shell": ESCAPES[kind].replace("{mark}", mark)})
    processes.eventually(lambda: of_mark(mark), what="a sleeper")
    view = daemon.call("DELETE", query(f"{ROOT}/{id_}", grace_ms=200)).json()
    assert view["verdict"]["kind"] == "cancelled"
    processes.eventually(lambda: not of_mark(mark), what=f"no survivor of {kind}")


def of_mark(mark):
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and processes.alive(int(pid)) and
            mark in processes.read(f"/proc/{pid}/cmdline") and "pytest" not in processes.read(f"/proc/{pid}/cmdline")]


def test_a_killed_shell_is_a_signal_and_its_servers_live(daemon):
    """kill -9 of the leader: the verdict says so, at once, and what it started is not ours to end."""
    id_ = uuid.uuid4().hex
    mark = str(random.randrange(10**7, 10**8))
    view = daemon.call("PUT", f"{ROOT}/{id_}", json={"shell": f"sleep {mark} & echo up; wait"}).json()
    sleepers = lambda: [pid for pid in of_mark(mark) if processes.read(f"/proc/{pid}/comm").strip() == "sleep"]  # noqa: E731
    processes.eventually(sleepers, what="the sleeper")  # the shell too has the mark in its command line
    begun = time.monotonic()
    os.kill(view["pid"], signal.SIGKILL)
    view = daemon.call("GET", f"{ROOT}/{id_}?wait_ms=5000").json()
    assert view["verdict"]["kind"] == "signaled" and view["verdict"]["signal"] == 9
    assert view["verdict"]["output_open"] is True and time.monotonic() - begun < 5
    left = sleepers()
    assert left
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)


def test_only_sh_is_there(fresh_daemon):
    """No bash on PATH: sh, also for a text beyond one argument."""
    daemon = fresh_daemon(python=False)
    (daemon.work / "bin").mkdir()
    for name in ("sh", "cat", "seq"):
        os.symlink(os.path.realpath(shutil.which(name)), daemon.work / "bin" / name)
    path = {"PATH": str(daemon.work / "bin")}
    assert daemon.shell("echo ${BASH_VERSION:-none}", envs=path) == "none\n"
    assert daemon.shell("x=" + "y" * 200_000 + "; echo ${#x}", envs=path) == "200000\n"
    view = finished(daemon, shell="echo ${BASH_VERSION:-none}", envs=path)
    assert all_of(daemon, view)[1] == b"none\n"


def test_spill_directories_of_dead_daemons_are_removed(fresh_daemon, tmp_path):
    """After a crash nothing but an empty private directory can be left, and the next daemon takes it away."""
    shared = {"TMPDIR": str(tmp_path)}
    first = fresh_daemon(python=False, env=shared)
    finished(first, shell="head -c 9000000 /dev/zero")
    for folder in tmp_path.glob("execd-journal-*"):
        assert folder.stat().st_mode & 0o777 == 0o700 and not list(folder.iterdir())
    first.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    second = fresh_daemon(python=False, env=shared)
    still_works(second)
    assert len(list(tmp_path.glob("execd-journal-*"))) <= 1
    second.stop()
    assert not list(tmp_path.glob("execd-journal-*"))
