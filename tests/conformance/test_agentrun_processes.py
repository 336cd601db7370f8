"""AgentRun's commands and processes by its published SDK: agentrun.md 5.4, 11.8 to 11.10, 13."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness import agentrun, processes


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


@pytest.fixture
def sb(daemon):
    return agentrun.sandbox(daemon)


def test_cmd_answers_both_shapes(sb, call, work):
    answer = call(sb.process, "cmd", command="echo out; echo err >&2; pwd | tr a-z A-Z; exit 3", cwd=str(work))
    assert answer["exitCode"] == 3 and answer["status"] == "failed" and answer["executionId"]
    assert answer["stdout"] == f"out\n{str(work).upper()}\n" and answer["stderr"] == "err\n" and answer["cwd"] == str(work)
    assert {k: answer["result"][k] for k in ("exitCode", "stdout", "stderr", "cwd")} == {
        k: answer[k] for k in ("exitCode", "stdout", "stderr", "cwd")}
    assert answer["executionTimeMs"] == answer["result"]["executionTimeMs"] >= 0
    good = call(sb.process, "cmd", command="true", cwd="/", timeout=None)
    assert good["status"] == "completed" and good["exitCode"] == 0 and "error" not in good


@pytest.mark.parametrize("timeout", [10**18, "7", 300000, 0])
def test_any_timeout_is_accepted(sb, timeout):
    assert sb.process.cmd(command="echo $((1+1))", cwd="/", timeout=timeout)["stdout"] == "2\n"


def test_a_timeout_kills_the_whole_tree_and_keeps_the_output(sb, call, work):
    command = f"echo partial; (setsid sleep 4711 & echo $! > {work}/a); sleep 4711 & echo $! > {work}/b; wait"
    begun = time.monotonic()
    answer = call(sb.process, "cmd", command=command, cwd="/", timeout=1)
    assert time.monotonic() - begun < 30
    assert answer["timedOut"] is True and answer["status"] == "failed" and answer["exitCode"] == 137
    assert answer["stdout"] == "partial\n" and answer["error"] == "timed out"
    for name in ("a", "b"):
        pid = int((work / name).read_text())
        processes.eventually(lambda: not os.path.exists(f"/proc/{pid}"), what=f"{name} has ended")


def test_background_children_do_not_hold_the_answer(sb, work):
    begun = time.monotonic()
    answer = sb.process.cmd(command=f"sleep 600 & echo $! > {work}/pid; echo started", cwd="/")
    assert answer["stdout"] == "started\n" and time.monotonic() - begun < 20
    pid = (work / "pid").read_text().strip()
    assert sb.process.get(pid=pid)["name"] == "sleep"
    assert sb.process.kill(pid=pid)["stopped"] is True


def test_stdin_is_empty_and_signals_are_default(sb):
    assert sb.process.cmd(command="cat; echo end", cwd="/")["stdout"] == "end\n"
    status = sb.process.cmd(command="grep -E '^Sig(Blk|Ign)' /proc/self/status", cwd="/")["stdout"]
    assert [line.split()[1].strip("0") for line in status.splitlines()] == ["", ""], status


def test_output_that_is_no_text_and_much_of_it(sb):
    answer = sb.process.cmd(command="printf 'a\\377b'; head -c 5000000 /dev/zero | tr '\\0' x", cwd="/")
    assert answer["stdout"] == "a\ufffdb" + "x" * 5_000_000 and "droppedBytes" not in answer


def test_a_client_that_leaves_ends_its_command(daemon, work):
    with daemon.wire() as wire:
        body = json.dumps({"command": f"echo $$ > {work}/pid; sleep 4711", "cwd": "/"}).encode()
        wire.send(f"POST /processes/cmd HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        processes.eventually(lambda: (work / "pid").exists() and (work / "pid").read_text(), what="it runs")
    pid = int((work / "pid").read_text())
    processes.eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="it has ended")


def test_every_process_is_listed(daemon, sb, call):
    with subprocess.Popen(["sleep", "4711"]) as foreign:
        try:
            listed = call(sb.process, "list")
            assert isinstance(listed, list)
            one = next(p for p in listed if p["pid"] == foreign.pid)
            assert one["processId"] == foreign.pid and one["name"] == "sleep" and one["command"] == "sleep 4711"
            assert one["status"] == "running" and one["tag"] == "" and one["createdAt"]
            assert one["resourceUsage"]["memoryMb"] > 0
            assert any(p["pid"] == daemon.pid for p in listed)
            page = call(sb.data_api, "get", "/processes", query={"format": "official"})
            assert page["total"] == len(page["items"]) > 1
        finally:
            foreign.kill()


def test_any_process_can_be_looked_at(sb, call, work):
    with subprocess.Popen(["sleep", "4711"], cwd=work, env={"MINE": "yes", "EXECD_ACCESS_TOKEN": "secret",
                                                            "EXECD_AGENTRUN_ACCESS_KEY_SECRET": "secret"}) as foreign:
        try:
            one = call(sb.process, "get", pid=str(foreign.pid))
            assert one["pid"] == foreign.pid and one["working_dir"] == str(work)
            assert one["environment"] == {"MINE": "yes"}, "credentials are never shown"
        finally:
            foreign.kill()
    assert call(sb.process, "get", pid="1")["pid"] == 1


def test_any_process_can_be_killed(sb, call):
    for ignores in (False, True) if call.mode == "sync" else (False,):  # two seconds of grace once are enough
        script = "import signal, time\n" + ("signal.signal(15, signal.SIG_IGN)\n" if ignores else "")
        script += "print('ready', flush=True)\ntime.sleep(4711)"
        with subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE) as foreign:
            assert foreign.stdout.readline() == b"ready\n"
            answer = call(sb.process, "kill", pid=str(foreign.pid))
            assert answer["pid"] == foreign.pid and answer["stopped"] is True
            assert answer["stopped_at"] and answer["message"]
            assert foreign.wait() == -(signal.SIGKILL if ignores else signal.SIGTERM)


def test_the_daemon_itself_is_not_killed(daemon, sb):
    from agentrun.utils.exception import ClientError
    with pytest.raises(ClientError) as caught:
        sb.process.kill(pid=str(daemon.pid))
    assert (caught.value.status_code, caught.value.error_code) == (403, "ERR_FORBIDDEN")
