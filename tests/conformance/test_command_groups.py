"""Cgroups, children and descriptors behind commands: issue C 3; what peers got wrong there (PEERS.md 6.1)."""

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from harness import frames, processes
from harness.daemon import Daemon, run_once

TREE = Path("/sys/fs/cgroup")


def groups_of(pid):
    """Directories that the daemon `pid` (as it sees its own number) made anywhere in the cgroup tree."""
    return [path for path, folders, _ in os.walk(TREE) if os.path.basename(path).startswith("execd-")
            and os.path.basename(path).endswith(f"-{pid}")]


@pytest.fixture
def own_groups(fresh_daemon):
    one = fresh_daemon()
    if not groups_of(one.pid):
        pytest.skip("no cgroup can be made here")
    return one


def test_its_groups_go_with_the_daemon(own_groups):
    pid = own_groups.pid
    own_groups.stop()
    assert groups_of(pid) == []


def test_groups_of_a_killed_daemon_go_with_the_next_one(own_groups, fresh_daemon):
    pid = own_groups.pid
    own_groups.proc.kill()
    own_groups.proc.wait()
    shutil.rmtree(own_groups.tmp)  # its journals: the next daemon of this TMPDIR removes those
    own_groups.tmp.mkdir()
    own_groups.stop(expect=-9)
    assert groups_of(pid)
    fresh_daemon()
    assert groups_of(pid) == []


def test_cgroups_can_be_switched_off(fresh_daemon):
    one = fresh_daemon(args=["--cgroups", "off"])
    assert groups_of(one.pid) == []
    assert one.shell("echo on") == "on\n"
    assert run_once("--cgroups", "maybe").returncode == 2


def limits_line(*args):
    done = run_once("doctor", *args)
    return next(line for line in done.stdout.splitlines() if line.split()[1] == "limits")


def test_doctor_says_which_back_end_and_what_escapes():
    assert "cgroup " in limits_line() or "none" in limits_line()
    assert "survives a kill" in limits_line("--cgroups", "off")


def of_mark(mark):
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and processes.alive(int(pid)) and
            mark in processes.read(f"/proc/{pid}/cmdline") and "pytest" not in processes.read(f"/proc/{pid}/cmdline")]


def test_where_kills_are_complete_nothing_at_all_escapes(daemon):
    """Its own session, a clean environment, no parent left: what `execd doctor` calls complete."""
    if "survives a kill" in limits_line():
        pytest.skip("no cgroup.kill here")
    root, mark = "/execd/v1/executions", str(random.randrange(10**7, 10**8))
    escape = f"(setsid env -i /bin/sleep {mark} >/dev/null 2>&1 </dev/null &); "
    daemon.call("PUT", f"{root}/{mark}-a", json={"shell": escape + "sleep 1000"})
    daemon.call("PUT", f"{root}/{mark}-b", json={"shell": escape + "sleep 1000", "timeout_ms": 300})
    session = daemon.call("POST", "/session").json()["session_id"]
    daemon.events_of(f"/session/{session}/run", {"command": escape})
    processes.eventually(lambda: len(of_mark(mark)) >= 3 or daemon.call("GET", f"{root}/{mark}-b").json()[
        "state"] == "ended", what="the escapes")
    for method, path in [("DELETE", f"{root}/{mark}-a?grace_ms=0"), ("GET", f"{root}/{mark}-b?wait_ms=9000"),
                         ("DELETE", f"/session/{session}")]:
        assert daemon.call(method, path).status == 200
    processes.eventually(lambda: not of_mark(mark), what="no survivor")


def test_descriptors_that_the_daemon_was_started_with_reach_no_child():
    one = Daemon(wrapper=["sh", "-c", 'exec "$@" 41</dev/null 6</dev/null', "sh"]).listening()
    try:
        assert one.shell("ls -l /proc/self/fd | grep -c null") == "1\n"  # stdin
        ident = one.call("POST", "/session").json()["session_id"]
        events = one.events_of(f"/session/{ident}/run", {"command": "ls /proc/self/fd"})
        assert not {"6", "41"} & set(frames.joined(events).split())
        one.call("DELETE", f"/session/{ident}")
    finally:
        one.stop()


def test_as_pid_1_eight_waiters_lose_no_status():
    """DAY childreap, OSB #1041; 100,000 of them with EXECD_TEST_FULL."""
    rounds = 12_500 if os.environ.get("EXECD_TEST_FULL") else 60
    one = Daemon(wrapper=["unshare", "-pf", "--mount-proc"], python=False).listening()
    wrong = []

    def waiter(seed):
        with one.wire() as wire:
            for number in range(rounds):
                code = (seed * 31 + number) % 256
                body = b'{"command":"sleep 0 & exit %d"}' % code
                seen = frames.exit_of(frames.split(wire.request("POST", "/command", body=body).body))
                if seen != code:
                    wrong.append((code, seen))

    threads = [threading.Thread(target=waiter, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    processes.eventually(lambda: not processes.children(one.pid), what="no zombie left")
    one.stop(pid=one.pid)


def test_streams_cut_at_random_never_end_a_command_that_runs(daemon, work):
    """CF #873: whatever happens to the transport, `running: false` means that the process is gone."""
    dice = random.Random(7)
    for number in range(1000 if os.environ.get("EXECD_TEST_FULL") else 25):
        pid_file = work / f"pid{number}"
        script = f"echo $$ > {pid_file}; echo on; sleep 0.0{dice.randrange(10)}; seq 1 {dice.randrange(3000)}"
        with daemon.stream("/command", {"command": script}) as stream:
            ident = stream.until("init")["text"]
            for _ in range(dice.randrange(4)):
                if not stream.next():
                    break
            stream.wire.reset()
        status = processes.eventually(lambda: not (s := daemon.call("GET", f"/command/status/{ident}").json())[
            "running"] and s)
        assert status["exit_code"] == 0
        assert not processes.alive(int(pid_file.read_text()))
