"""Contexts in each language of the native kernels, over HTTP: what test_own_contexts.py says of Python (issue J)."""

import pytest

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_own_contexts import Events, ask, finished, press_until_ended, text

CODE = {
    "python": {"set": "x = 41", "get": "print(x + 1)", "error": ("1 / 0", "ZeroDivisionError"),
               "loop": "print('on', flush=True)\nwhile True: pass",
               "wait": "import time\nprint('on', flush=True)\ntime.sleep(60)", "ask": "print('<' + input('n? ') + '>')"},
    "bash": {"set": "x=41", "get": "echo $((x + 1))", "error": ("(exit 3)", "ExitStatus"),
             "loop": "echo on; while :; do :; done", "wait": "echo on; sleep 60",
             "ask": "read -p 'n? ' who; echo \"<$who>\""},
    "javascript": {"set": "let x = 41", "get": "console.log(x + 1)", "error": ("throw new TypeError('no')", "TypeError"),
                   "loop": "console.log('on'); for (;;);",
                   "wait": "console.log('on'); await new Promise(done => setTimeout(done, 60000))"},
}


@pytest.fixture(params=CODE)
def code(request):
    return {**CODE[request.param], "language": request.param}


@pytest.fixture
def context(daemon, code):  # noqa: F811
    ident = ask(daemon, "POST", "/contexts", 201, json={"language": code["language"]})["id"]
    yield ident
    daemon.call("DELETE", f"/execd/v1/contexts/{ident}")


def test_state_isolation_and_errors(daemon, context, code):  # noqa: F811
    finished(daemon, context, code["set"])
    assert text(daemon, finished(daemon, context, code["get"])) == "42\n"
    other = ask(daemon, "POST", "/contexts", 201, json={"language": code["language"]})["id"]
    assert "42" not in text(daemon, finished(daemon, other, code["get"]))
    daemon.call("DELETE", f"/execd/v1/contexts/{other}")
    source, name = code["error"]
    outcome = finished(daemon, context, source)["outcome"]
    assert (outcome["kind"], outcome["error"]["name"]) == ("error", name), outcome
    assert text(daemon, finished(daemon, context, code["get"])) == "42\n"


@pytest.mark.parametrize("busy", ["loop", "wait"])
def test_the_queue_is_seen_cancelled_and_interrupted(daemon, context, code, busy):  # noqa: F811
    finished(daemon, context, code["set"])
    first = ask(daemon, "POST", "/runs", 201, json={"context": context, "code": code[busy]})
    with Events(daemon, "GET", f"/runs/{first['id']}/outputs") as events:
        events.until("stream")
    second, third = [ask(daemon, "POST", "/runs", 201, json={"context": context, "code": code["get"]}) for _ in range(2)]
    assert ask(daemon, "GET", f"/runs/{second['id']}", 200)["state"] == "queued"
    with Events(daemon, "GET", f"/runs/{third['id']}/outputs") as events:
        events.until("run")
        assert ask(daemon, "DELETE", f"/runs/{second['id']}", 202)["outcome"]["kind"] == "cancelled"
        assert events.until("queue")["position"] == 1
        press_until_ended(daemon, context, first["id"])
        assert events.until("end")["run"]["outcome"]["kind"] == "ok"
    assert ask(daemon, "GET", f"/runs/{first['id']}", 200)["outcome"]["kind"] == "cancelled"
    assert text(daemon, third) == "42\n"


def test_a_deadline_and_a_restart(daemon, context, code):  # noqa: F811
    finished(daemon, context, code["set"])
    assert finished(daemon, context, code["wait"], timeout_ms=300)["outcome"]["kind"] == "timed_out"
    assert text(daemon, finished(daemon, context, code["get"])) == "42\n"
    assert ask(daemon, "POST", f"/contexts/{context}/restart", 200)["generation"] == 2
    assert "42" not in text(daemon, finished(daemon, context, code["get"]))


def test_input_is_asked_for_and_given(daemon, context, code):  # noqa: F811
    if "ask" not in code:  # Node has no such thing
        return
    with Events(daemon, "POST", "/runs", {"context": context, "code": code["ask"], "allow_stdin": True}) as events:
        ident = events.until("run")["run"]["id"]
        assert events.until("input_request")["prompt"] == "n? "
        assert daemon.call("POST", f"/execd/v1/runs/{ident}/input", json={"text": "execd"}).status == 204
        assert events.until("end")["run"]["outcome"]["kind"] == "ok"
    assert "<execd>\n" in text(daemon, {"id": ident})
