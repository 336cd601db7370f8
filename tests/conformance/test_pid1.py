"""execd as the first process of a container that has limits (issue I 6): what goes wrong there goes wrong for a child.
Orphans, lost statuses and SIGTERM as PID 1: test_process.py; the user's program below it: test_bootstrap.py."""

import os
import statistics
import time

import pytest
from test_files_upload import form, metadata, part, upload
from test_own_executions import new_id, output, put, run

from harness import frames, processes
from harness.daemon import BINARY, Daemon
from harness.groups import READ_ONLY_GROUPS, limited
from harness.wire import query

NAMESPACE = ["unshare", "-pf", "--mount-proc", "--kill-child"]
EATER = "head -c 300000000 /dev/zero | tail -c 250000000 >/dev/null"


def contained(wrapper, **options):
    return Daemon(python=False, wrapper=[*wrapper, *NAMESPACE], **options).listening()


@pytest.mark.parametrize("groups", [[], READ_ONLY_GROUPS], ids=["writable", "read-only"])
def test_a_child_that_eats_the_containers_memory(groups):
    with limited(memory=128 << 20) as wrapper:
        one = contained([*wrapper, *groups])
        try:
            view = run(one, argv=["bash", "-c", "exec tail -c 250000000 < <(head -c 300000000 /dev/zero) >/dev/null"])
            assert view["verdict"]["kind"] == "oom_killed", view
            assert one.call("GET", "/health").status == 200
            assert one.shell("echo on") == "on\n"
            ident = one.call("POST", "/session").json()["session_id"]
            events = one.events_of(f"/session/{ident}/run", {"command": EATER + "; echo after"})
            assert frames.joined(events) in ("after\n", ""), "the shell or its child was killed; either way it is told"
            assert one.call("GET", "/health").status == 200
        finally:
            one.stop(pid=one.pid)


def test_a_full_disk(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    one = Daemon(python=False, env={"TMPDIR": str(small)},
                 wrapper=["unshare", "-m", "sh", "-ec", f'mount -t tmpfs -o size=4m none {small}; exec "$@"', "sh"]).listening()
    try:
        events = one.command(f"head -c 10000000 /dev/zero >{small}/filler; echo $?")
        assert frames.joined(events) == "1\n" and "No space left" in frames.joined(events, "stderr")
        assert one.call("GET", "/health").status == 200
        answer = upload(one, form(metadata(f"{small}/more"), part("file", b"x" * 100_000)))
        assert answer.status == 507 and "no space left" in answer.json()["message"], answer
        # Sessions, output and terminals need no room there.
        ident = one.call("POST", "/session").json()["session_id"]
        assert frames.joined(one.events_of(f"/session/{ident}/run", {"command": "echo on"})) == "on\n"
        answer = one.call("POST", "/command", json={"command": "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 1000"})
        assert answer.status == 200 and len(answer.body) > 20_000_000
        assert one.shell(f"rm {small}/filler; echo mended") == "mended\n"
        assert upload(one, form(metadata(f"{small}/more"), part("file", b"x"))).status == 200
    finally:
        one.stop()


@pytest.mark.alone
def test_a_fork_bomb_inside_the_containers_limit(figure):
    with limited(pids=200) as wrapper:
        one = contained(wrapper)
        try:
            bomb = new_id()
            put(one, bomb, argv=["bash", "-c", "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000"])
            processes.eventually(lambda: len(processes.descendants(one.pid)) > 150, what="a container full of processes")
            taken = []
            with one.wire() as wire:
                for _ in range(200):
                    begun = time.perf_counter()
                    assert wire.request("GET", "/health").status == 200
                    taken.append(1000 * (time.perf_counter() - begun))
            figure(f"/health beside a fork bomb: {statistics.median(taken):.1f} ms median, "
                   f"{sorted(taken)[-3]:.1f} ms p99 of 200 (limit 50 ms)")
            assert statistics.median(taken) < 50 or BINARY.stat().st_size > 100e6
            # What cannot be started now says why, at once; what was started has a hundredth of a processor.
            answer = one.call("POST", "/execd/v1/executions", json={"argv": ["/bin/true"]})
            started = answer.json().get("id")
            assert started or b"esource temporarily unavailable" in answer.body, answer
            killed = one.call("DELETE", query(f"/execd/v1/executions/{bomb}", grace_ms=0))
            assert killed.json()["verdict"]["kind"] == "cancelled", killed
            processes.eventually(lambda: len(processes.commands(one.pid)) == 0, what="nothing left of it")
            assert one.shell("echo alive") == "alive\n"
            if started:
                verdict = one.call("GET", f"/execd/v1/executions/{started}?wait_ms=5000").json()["verdict"]
                refused = verdict["kind"] == "failed_to_start" and "esource temporarily unavailable" in str(verdict)
                assert refused or (verdict["kind"], verdict["exit_code"]) == ("exited", 0), verdict
        finally:
            one.stop(pid=one.pid)


def test_hundreds_of_orphans_leave_nothing():
    one = contained([])
    try:
        one.shell("for i in $(seq 1 300); do (sleep 0 &) & (true &); done; wait")
        processes.eventually(lambda: not processes.children(one.pid), what="no child and no zombie")
        assert os.path.exists(f"/proc/{one.pid}")
        assert output(one, run(one, argv=["/bin/echo", "on"])["id"]) == b"on\n"
    finally:
        one.stop(pid=one.pid)
