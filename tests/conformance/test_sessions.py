"""Shell sessions: opensandbox.md 1.7, 10, 13.2, 13.9."""

import os
import uuid

import pytest

from harness import frames, processes


@pytest.fixture
def session(daemon):
    answer = daemon.call("POST", "/session")
    assert answer.status == 200, answer
    ident = answer.json()["session_id"]
    assert str(uuid.UUID(ident)) == ident
    yield lambda command, **fields: daemon.events_of(f"/session/{ident}/run", {"command": command, **fields})
    daemon.call("DELETE", f"/session/{ident}")


def out(events):
    assert frames.exit_of(events) == 0, events
    return frames.joined(events)


def test_state_persists(session, work):
    session("export A=1; b='x y'; f() { echo f $1; }; alias g='echo g'; shopt -s expand_aliases; cd " + str(work))
    assert out(session("echo $A; echo \"$b\"; f 2; pwd")) == f"1\nx y\nf 2\n{work}\n"
    session("unset A")
    assert out(session("echo ${A-none}")) == "none\n"


def test_order_of_events_and_merged_stderr(session):
    events = session("echo out; echo err >&2")
    assert frames.kinds(events) == ["init", "stdout", "execution_complete"]
    assert frames.joined(events) == "out\nerr\n"


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("(exit 4)", 4), ("false", 1), ("exec sh -c 'exit 5'", 5),
                                               ("set -e; false; echo no", 1), ("kill -9 $$", -1)])
def test_every_end_leaves_the_session_usable(session, work, command, code):
    session(f"cd {work}; export KEPT=yes")
    assert frames.exit_of(session(command)) == code
    assert out(session("pwd; echo $KEPT")) == f"{work}\nyes\n"


@pytest.mark.parametrize("value", ["$x `y` \\z", "two\nlines", "quote'\"", "é\u2028", "  spaces  ", "x" * 20_000])
def test_exported_values_survive_any_number_of_runs(session, value):
    quoted = "'" + value.replace("'", "'\\''") + "'"
    session(f"export V={quoted}")
    for _ in range(3):
        session("true")
    assert out(session('printf %s "$V"')) == value


def test_heredocs_no_newline_and_marker_like_output(session):
    assert out(session("cat <<'E'\n__EXIT_CODE__:5\n__PWD__:/x\nE\nprintf tail")) == "__EXIT_CODE__:5\n__PWD__:/x\ntail"


def test_cwd_of_create_and_of_a_run(daemon, work):
    ident = daemon.call("POST", "/session", json={"cwd": f"{work}/made"}).json()["session_id"]
    run = f"/session/{ident}/run"
    assert frames.joined(daemon.events_of(run, {"command": "pwd"})) == f"{work}/made\n"
    assert frames.joined(daemon.events_of(run, {"command": "pwd", "cwd": "/"})) == "/\n"
    assert daemon.call("POST", run, json={"command": "pwd", "cwd": f"{work}/gone"}).status == 400
    assert daemon.call("DELETE", f"/session/{ident}").status == 200


def test_envs_of_a_run(session):
    assert out(session("echo $ONLY", envs={"ONLY": "here"})) == "here\n"


def test_timeout_is_a_proper_error_event_and_ends_the_children(session, work):
    events = session(f"sleep 307 & echo $! > {work}/pid; wait", timeout=300)
    assert frames.terminal(events)["type"] == "error"
    assert processes.wait_gone(int((work / "pid").read_text()))
    assert out(session("echo alive")) == "alive\n"


def test_delete_while_running_kills(daemon):
    ident = daemon.call("POST", "/session").json()["session_id"]
    with daemon.stream(f"/session/{ident}/run", {"command": "echo $$; sleep 308"}) as stream:
        pid = int(stream.until("stdout")["text"])
        answer = daemon.call("DELETE", f"/session/{ident}")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
        assert frames.terminal(stream.rest())["type"] == "error"
    assert processes.wait_gone(pid)


def test_refusals(daemon):
    ident = str(uuid.uuid4())
    answer = daemon.call("DELETE", f"/session/{ident}")
    assert (answer.status, answer.json()) == (
        404, {"code": "CONTEXT_NOT_FOUND", "message": f"session {ident} not found"})
    answer = daemon.call("POST", f"/session/{ident}/run", json={"command": "true"})
    assert (answer.status, answer.json()["message"]) == (500, "error running in session. context not found")
    answer = daemon.call("POST", "/session", body=b"x")
    assert answer.json()["message"].startswith("error parsing request. ")


def test_a_background_job_holding_the_output_does_not_hold_the_answer(session):
    pid = int(out(session("sleep 309 & echo $!")))
    assert processes.alive(pid)
    os.kill(pid, 9)
