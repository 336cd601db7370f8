"""What a terminal shows, over execd's own routes: docs/own-api.md, "The screen of a terminal"."""

import uuid

from websockets.sync.client import connect

from harness import processes
from harness.wire import query

ROOT = "/execd/v1/executions"


def a_terminal(daemon, *argv, **size):
    id_ = "t-" + uuid.uuid4().hex
    answer = daemon.call("PUT", f"{ROOT}/{id_}", json={"argv": argv, "pty": {"columns": 40, "rows": 5, **size},
                                                       "envs": {"PS1": "> ", "TERM": "xterm"}})
    assert answer.status == 201, answer
    return id_


def type_(daemon, id_, text):
    assert daemon.call("POST", f"{ROOT}/{id_}/input", text.encode()).status == 200


def screen(daemon, id_, **params):
    answer = daemon.call("GET", query(f"{ROOT}/{id_}/screen", **params))
    assert answer.status == 200, answer
    return answer.json()


def problem(answer, status, code):
    assert answer.status == status, answer
    assert answer.json()["error"]["code"] == code, answer


def test_text_cursor_and_title(daemon):
    id_ = a_terminal(daemon, "/bin/bash", "--norc", "-i")
    type_(daemon, id_, "printf '\\033]0;my title\\007'; clear; echo $((40+2))=answer\n")
    shown = screen(daemon, id_, wait_text="42=answer")
    assert shown["met"] is True and shown["running"] is True and "42=answer" in shown["text"]
    assert len(shown["rows"]) == 5 and shown["columns"] == 40 and shown["title"] == "my title"
    quiet = screen(daemon, id_, idle_ms=50)
    assert quiet["met"] is True and quiet["rows"][quiet["cursor"]["row"]].startswith(">")
    assert screen(daemon, id_, wait_text="never there", wait_ms=20)["met"] is False
    type_(daemon, id_, "exit\n")
    over = screen(daemon, id_, wait_text="never there")  # the end of the program ends the wait
    assert over["met"] is False and over["running"] is False


def test_a_new_size_and_a_full_screen_program(daemon):
    id_ = a_terminal(daemon, "/bin/sh", "-c", "printf '\\033[?1049h\\033[?25lfull'; read x; printf '\\033[?1049l'; read y")
    shown = screen(daemon, id_, wait_text="full")
    assert shown["alternate"] is True and shown["cursor"]["visible"] is False
    answer = daemon.call("POST", f"{ROOT}/{id_}/resize", json={"columns": 100, "rows": 30})
    assert answer.status == 204
    shown = screen(daemon, id_)
    assert shown["columns"] == 100 and len(shown["rows"]) == 30
    type_(daemon, id_, "\n")
    assert screen(daemon, id_, idle_ms=100)["alternate"] is False
    daemon.call("DELETE", f"{ROOT}/{id_}?grace_ms=0")


def test_after_much_output_the_last_is_shown(daemon):
    id_ = a_terminal(daemon, "/bin/sh", "-c", "seq 1 200000; echo done; read x")
    shown = screen(daemon, id_, wait_text="done")
    assert shown["met"] is True and shown["rows"][:3] == ["199998", "199999", "200000"]
    daemon.call("DELETE", f"{ROOT}/{id_}?grace_ms=0")


def test_the_terminals_of_other_dialects(daemon):
    """An OpenSandbox /pty is an execution too, once its program runs."""
    ident = daemon.call("POST", "/pty", json={"command": "echo over there; read x"}).json()["session_id"]
    with connect(f"ws://127.0.0.1:{daemon.port}/pty/{ident}/ws", compression=None):
        def shown():
            return [e for e in daemon.call("GET", f"{ROOT}?label=terminal&state=running").json()
                    if "over there" in screen(daemon, e["id"], wait_text="over there", wait_ms=2000)["text"]]

        processes.eventually(shown, what="the terminal is an execution")  # it begins when somebody looks
    assert daemon.call("DELETE", f"/pty/{ident}").status == 200


def test_bad_questions(daemon):
    id_ = a_terminal(daemon, "/bin/sleep", "100")
    for bad in ({"idle_ms": "x"}, {"wait_ms": -1}, {"idle_ms": 5, "wait_text": "x"}):
        problem(daemon.call("GET", query(f"{ROOT}/{id_}/screen", **bad)), 400, "invalid_argument")
    daemon.call("DELETE", f"{ROOT}/{id_}?grace_ms=0")
    plain = daemon.call("POST", ROOT, json={"shell": "true", "wait_ms": 9000}).json()["id"]
    problem(daemon.call("GET", f"{ROOT}/{plain}/screen"), 409, "conflict")
    problem(daemon.call("GET", f"{ROOT}/none/screen"), 404, "not_found")
