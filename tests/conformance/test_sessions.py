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


def test_delete_ends_what_the_shells_before_left_running(daemon):
    ident = daemon.call("POST", "/session").json()["session_id"]
    ask = lambda text: daemon.events_of(f"/session/{ident}/run", {"command": text})  # noqa: E731
    pids = [int(frames.joined(ask("setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 3"))) for _ in range(3)]
    assert out(ask("echo on")) == "on\n" and all(map(processes.alive, pids))
    assert daemon.call("DELETE", f"/session/{ident}").status == 200
    processes.eventually(lambda: not any(map(processes.alive, pids)), what="no server left")


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


def run_of(daemon, body=None):
    ident = daemon.call("POST", "/session", json=body or {}).json()["session_id"]
    return ident, f"/session/{ident}/run"


def test_a_timeout_says_so_and_keeps_the_state(session):
    session("v=kept; f() { echo f; }")
    end = frames.terminal(session("sleep 311", timeout=300))
    assert end["error"] == {"ename": "RuntimeError", "evalue": "timeout after 300ms",
                            "traceback": ["error running in session. timeout after 300ms"]}
    assert out(session("echo $v; f")) == "kept\nf\n"


def test_a_busy_session_is_a_proper_error_event(daemon):
    ident, run = run_of(daemon)
    with daemon.stream(run, {"command": "echo on; sleep 312"}) as stream:
        stream.until("stdout", "on")
        events = daemon.events_of(run, {"command": "true"})
        assert frames.kinds(events) == ["init", "error"]
        assert events[0]["text"] == ident
        assert events[-1]["error"]["ename"] == "RuntimeError"
        assert events[-1]["error"]["evalue"] == "session is busy"
        assert daemon.call("DELETE", f"/session/{ident}").status == 200


def test_a_client_that_goes_away_frees_the_session(daemon):
    ident, run = run_of(daemon)
    daemon.events_of(run, {"command": "v=kept"})
    with daemon.stream(run, {"command": "echo $$; sleep 313"}) as stream:
        stream.until("stdout")
        stream.wire.reset()
    answer = processes.eventually(lambda: (e := daemon.events_of(run, {"command": "echo $v"}))
                                  and frames.exit_of(e) == 0 and frames.joined(e))
    assert answer == "kept\n"
    daemon.call("DELETE", f"/session/{ident}")


def test_delete_command_ends_a_session(daemon):
    ident, run = run_of(daemon)
    pid = int(frames.joined(daemon.events_of(run, {"command": "echo $$"})))
    answer = daemon.call("DELETE", f"/command?id={ident}")
    assert (answer.status, answer.body) == (200, b"")
    assert processes.wait_gone(pid)
    assert daemon.call("DELETE", f"/session/{ident}").status == 404


def test_set_env_reaches_open_sessions(daemon, sync_sdk, session):
    session("export OWN=1")
    sync_sdk.commands.set_env("SESSION_SEES", "it's\nnew")
    assert out(session('printf "%s|%s" "$SESSION_SEES" "$OWN"')) == "it's\nnew|1"
    session("export SESSION_SEES=own")
    assert out(session("echo $SESSION_SEES")) == "own\n"


def test_tracing_shows_the_commands_only(session):
    session("set -x")
    assert out(session("echo a")) == "+++ echo a\na\n"


def test_lines_keep_their_terminators_and_old_sdks_get_them_without(daemon):
    ident, run = run_of(daemon)
    body = {"command": "printf 'a\\n\\nb\\r\\nc\\rd'"}
    assert frames.texts(daemon.events_of(run, body)) == ["a\n", "\n", "b\r\n", "c\r", "d"]
    old = [("User-Agent", "OpenSandbox-Python-SDK/0.1.11")]
    assert frames.texts(daemon.events_of(run, body, headers=old)) == ["a", "\n", "b", "c", "d"]
    daemon.call("DELETE", f"/session/{ident}")


@pytest.mark.parametrize(("body", "message"), [
    ({}, "invalid request. Key: 'RunInSessionRequest.Command' Error:Field validation for 'Command' failed on the "
         "'required' tag"),
    ({"command": ""}, "invalid request. Key: 'RunInSessionRequest.Command' Error:Field validation for 'Command' "
                      "failed on the 'required' tag"),
    ({"command": "true", "timeout": -1}, "invalid request. Key: 'RunInSessionRequest.Timeout' Error:Field validation "
                                         "for 'Timeout' failed on the 'gte' tag"),
    ({"command": "true", "timeout": 1.5}, None), ({"command": 7}, None), ({"command": "a\0b"}, None),
    ({"command": "true", "cwd": "/tmp\0x"}, None), ({"command": "true", "envs": {"A": "x\0y"}}, None),
    ({"command": "true", "envs": {"A B": "x"}}, None), ({"command": "true", "envs": []}, None),
    ({"command": "true", "cwd": "/etc/passwd"},
     "invalid request. working directory path is not a directory: /etc/passwd"),
])
def test_bad_runs_are_400_and_harm_nothing(daemon, body, message):
    ident, run = run_of(daemon)
    answer = daemon.call("POST", run, json=body)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_REQUEST_BODY"), answer
    assert message is None or answer.json()["message"] == message
    assert frames.joined(daemon.events_of(run, {"command": "echo on"})) == "on\n"
    daemon.call("DELETE", f"/session/{ident}")


def test_a_session_whose_directory_cannot_be_made(daemon, work):
    (work / "file").write_text("")
    answer = daemon.call("POST", "/session", json={"cwd": f"{work}/file/below"})
    assert answer.status == 500
    assert answer.json()["message"].startswith("error creating session. ")


def test_large_texts_and_outputs(daemon):
    ident, run = run_of(daemon)
    body = {"command": "# " + "x" * 300_000 + "\nseq 1 20000"}
    assert frames.joined(daemon.events_of(run, body)).split() == [str(n) for n in range(1, 20_001)]
    daemon.call("DELETE", f"/session/{ident}")


def test_sessions_leave_no_descriptors_behind(daemon):
    before = processes.open_fds(daemon.pid)
    for _ in range(20):
        ident, run = run_of(daemon)
        daemon.events_of(run, {"command": "exit 3"})
        daemon.events_of(run, {"command": "echo on"})
        daemon.call("DELETE", f"/session/{ident}")
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before + 2)


def test_sdk_sessions(sync_sdk, work):
    commands = sync_sdk.commands
    ident = commands.create_session(working_directory=f"{work}/sdk")
    assert commands.run_in_session(ident, "pwd; export A=1").exit_code == 0
    done = commands.run_in_session(ident, "echo $A; pwd; exit 3")
    assert (done.text, done.exit_code) == (f"1\n{work}/sdk", 3)
    import datetime
    late = commands.run_in_session(ident, "sleep 314", timeout=datetime.timedelta(milliseconds=300))
    assert late.error is not None and late.error.value == "timeout after 300ms"
    commands.delete_session(ident)
