"""AgentRun's health by its published SDK (agentrun.md 6): "ok" is what it waits for, and it must come."""

import os
import sys

import pytest

from harness import agentrun, processes
from harness.daemon import write_kernelspec


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


def with_python(fresh_daemon, folder, script):
    """A daemon that makes a kernel ready at its start, by an interpreter that is a shell script."""
    python = folder / "python-of-the-test"
    python.write_text("#!/bin/sh\n" + script)
    python.chmod(0o755)
    return fresh_daemon(env={"EXECD_PREWARM": "python", "JUPYTER_PATH": str(write_kernelspec(folder, python))})


def test_starting_until_the_kernel_is_ready(fresh_daemon, tmp_path, call):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDWR)
    one = with_python(fresh_daemon, tmp_path, f'read x < {gate}\nexec {sys.executable} "$@"\n')
    sb = agentrun.sandbox(one)
    body = call(sb, "check_health")
    assert body["status"] == "starting" and "python" in body["message"], body
    assert one.call("GET", "/execd/v1/ready").status == 503
    assert call(sb.process, "cmd", command="echo works", cwd="/")["stdout"] == "works\n", "starting is not down"
    os.write(held, b"go\n" * 8)
    processes.eventually(lambda: call(sb, "check_health")["status"] == "ok", 20, what="status ok")
    assert call(sb, "check_health")["message"] == "ready" and one.call("GET", "/execd/v1/ready").status == 200
    os.close(held)


def test_a_kernel_that_never_comes_is_not_waited_for(fresh_daemon, tmp_path, call):
    one = with_python(fresh_daemon, tmp_path, "exit 3\n")
    one.wait_event("prewarm.failed")
    sb = agentrun.sandbox(one)
    processes.eventually(lambda: call(sb, "check_health")["status"] == "ok", what="status ok")
    assert "python" in call(sb, "check_health")["message"]
    ready = one.call("GET", "/execd/v1/ready")
    assert ready.status == 503 and "python" in ready.json()["missing"][0], "readiness is strict: it was configured"
    if call.mode == "sync":
        with sb:  # waits until the status is "ok"
            assert sb.process.cmd(command="echo works", cwd="/")["stdout"] == "works\n"
