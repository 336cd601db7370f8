"""Kernels that die, queue and flood: issue D; opensandbox.md 13.4; PEERS 6.1 (JUP rows)."""

import json
import os
import re

import pytest

from harness import frames


@pytest.fixture
def context(daemon):
    ident = daemon.call("POST", "/code/context", json={"language": "python"}).json()["id"]
    yield ident
    daemon.call("DELETE", f"/code/contexts/{ident}")


def run(daemon, ident, code):
    return daemon.events_of("/code", {"code": code, "context": {"id": ident, "language": "python"}})


@pytest.mark.parametrize("code", ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), 9)"])
def test_kernel_death_ends_the_run_at_once_with_its_cause(daemon, context, code):
    end = frames.terminal(run(daemon, context, "print('on', flush=True)\n" + code))
    assert end["type"] == "error"
    assert end["error"]["ename"] and end["error"]["evalue"]
    assert daemon.shell("echo ok") == "ok\n"


def test_runs_in_one_context_queue(daemon, context):
    from concurrent.futures import ThreadPoolExecutor

    run(daemon, context, "n = 0")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: run(daemon, context, "n += 1; print(n)"), range(16)))
    assert sorted(int(frames.joined(events)) for events in done) == list(range(1, 17))


def test_a_flood_of_prints_is_bounded_and_the_kernel_lives(daemon, context):
    events = run(daemon, context, "import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000)")
    assert events[-1]["type"] in frames.TERMINAL
    # A client that reads along is sent everything that was kept at the time; the rest is told where it was.
    told = sum(int(n) for n in re.findall(r"execd: (\d+) bytes of output were dropped", json.dumps(events)))
    said = frames.joined(events).count("x")
    assert told + said >= 200_000_000 and told > 0, (told, said)
    assert frames.joined(run(daemon, context, "print('alive')")) == "alive\n"


def test_subprocess_output_reaches_the_client(daemon, context):
    assert "sub\n" in frames.joined(run(daemon, context, "import subprocess; subprocess.run(['echo', 'sub'])"))


def test_fresh_contexts_lose_no_first_output(daemon):
    for number in range(10 if os.environ.get("EXECD_TEST_FULL") else 4):
        ident = daemon.call("POST", "/code/context", json={"language": "python"}).json()["id"]
        assert frames.joined(run(daemon, ident, f"print({number})")) == f"{number}\n"
        daemon.call("DELETE", f"/code/contexts/{ident}")
