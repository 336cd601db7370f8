"""/code/context, /code/contexts and the refusals of /code: opensandbox.md 1.3, 1.6, 13.3, 13.5."""

import json
import os
import uuid

import pytest

from harness import frames, processes
from harness.daemon import PYTHON
from harness.wire import build


def create(daemon, **fields):
    answer = daemon.call("POST", "/code/context", json={"language": "python", **fields})
    assert answer.status == 200, answer
    return answer.json()


def run(daemon, ident, code):
    return daemon.events_of("/code", {"code": code, "context": {"id": ident, "language": "python"}})


def value(events):
    found = [e["results"]["text"] for e in events if e["type"] == "result"]
    assert len(found) == 1, events
    return found[0]


def listed(daemon, target="/code/contexts"):
    answer = daemon.call("GET", target)
    assert answer.status == 200
    return {row["id"]: row["language"] for row in answer.json()}


def test_create_get_list_delete(daemon):
    made = create(daemon)
    ident = made["id"]
    assert str(uuid.UUID(ident)) == ident
    assert made == {"id": ident, "language": "python"}
    assert daemon.call("GET", f"/code/contexts/{ident}").json() == {"id": ident, "language": "python"}
    assert listed(daemon)[ident] == listed(daemon, "/code/contexts?language=python")[ident] == "python"
    assert ident not in listed(daemon, "/code/contexts?language=go")
    answer = daemon.call("DELETE", f"/code/contexts/{ident}")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
    for method in ("GET", "DELETE"):
        answer = daemon.call(method, f"/code/contexts/{ident}")
        assert answer.status == 404
        assert answer.json() == {"code": "CONTEXT_NOT_FOUND", "message": f"context {ident} not found"}
    assert ident not in listed(daemon)


def test_two_contexts_are_isolated_and_run_at_the_same_time(daemon, work):
    one, two = create(daemon)["id"], create(daemon)["id"]
    gate = work / "gate"
    os.mkfifo(gate)
    run(daemon, one, "who = 'one'")
    run(daemon, two, "who = 'two'")
    body = {"code": f"print('on', flush=True)\nopen({str(gate)!r}).read()\nwho",
            "context": {"id": one, "language": "python"}}
    with daemon.stream("/code", body) as stream:
        stream.until("stdout", "on")
        assert value(run(daemon, two, "who")) == "'two'"
        gate.write_text("go")
        assert value(stream.rest()) == "'one'"
    for ident in (one, two):
        assert daemon.call("DELETE", f"/code/contexts/{ident}").status == 200


def test_cwd_reaches_the_kernel_and_is_made(daemon, work):
    where = work / "not" / "yet"
    made = create(daemon, cwd=str(where))
    assert made["cwd"] == str(where)
    assert value(run(daemon, made["id"], "import os; os.getcwd()")) == repr(str(where))
    assert os.listdir(where) == [], "no notebook file is left in the user's directory"
    daemon.call("DELETE", f"/code/contexts/{made['id']}")


def test_cwd_that_is_a_file_is_500(daemon, work):
    (work / "file").write_text("")
    answer = daemon.call("POST", "/code/context", json={"language": "python", "cwd": f"{work}/file"})
    assert answer.status == 500
    assert answer.json()["code"] == "RUNTIME_ERROR"
    assert answer.json()["message"].startswith("error creating code context. ")


def test_the_default_context_is_one_per_language_and_comes_again_after_deletion(daemon):
    first = daemon.code("default_value = 11")[0]["text"]
    again = daemon.code("default_value")
    assert again[0]["text"] == first
    assert value(again) == "11"
    assert first in listed(daemon)
    assert daemon.call("DELETE", f"/code/contexts/{first}").status == 200
    events = daemon.code("'default_value' in globals()")
    assert value(events) == "False"
    assert events[0]["text"] != first


def test_delete_by_language(daemon):
    idents = [create(daemon)["id"] for _ in range(2)]
    answer = daemon.call("DELETE", "/code/contexts?language=python")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
    assert not set(idents) & set(listed(daemon))
    assert daemon.call("DELETE", "/code/contexts?language=python").status == 200
    assert daemon.call("DELETE", "/code/contexts?language=go").status == 200


@pytest.mark.parametrize("target", ["/code/contexts", "/code/contexts?language="])
def test_delete_without_a_language(daemon, target):
    answer = daemon.call("DELETE", target)
    assert answer.status == 400
    assert answer.json() == {"code": "MISSING_QUERY", "message": "missing query parameter 'language'"}


def test_a_deleted_context_leaves_no_process(daemon):
    ident = create(daemon)["id"]
    pid = int(value(run(daemon, ident, "import os; os.getpid()")))
    assert processes.alive(pid)
    assert daemon.call("DELETE", f"/code/contexts/{ident}").status == 200
    assert processes.wait_gone(pid)


def test_lists_of_other_languages(daemon):
    for language in ("java", "cobol"):
        answer = daemon.call("GET", f"/code/contexts?language={language}")
        assert (answer.status, answer.body) == (200, b"[]")
    for language in ("sql", "command", "background-command"):
        answer = daemon.call("GET", f"/code/contexts?language={language}")
        assert answer.status == 500
        assert f"unsupported language context operation: {language}" in answer.json()["message"]


def test_unknown_languages_are_refused_at_once(daemon):
    answer = daemon.call("POST", "/code", json={"code": "1", "context": {"language": "cobol"}})
    assert answer.status == 500
    assert answer.json()["code"] == "RUNTIME_ERROR"
    assert answer.json()["message"].startswith("error running codes unknown language: cobol")
    answer = daemon.call("POST", "/code", json={"code": "1", "context": {"language": "Python"}})
    assert answer.status == 500  # the comparison is case-sensitive
    answer = daemon.call("POST", "/code/context", json={"language": "cobol"})
    assert answer.status == 500
    assert answer.json()["message"].startswith("error creating code context. ")


def test_an_unknown_context_is_500(daemon):
    body = {"code": "1", "context": {"id": str(uuid.uuid4()), "language": "python"}}
    answer = daemon.call("POST", "/code", json=body)
    assert answer.status == 500
    assert answer.json() == {"code": "RUNTIME_ERROR", "message": "error running codes context not found"}


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"code":1}', b'{"code":"1","context":"python"}',
                                  b'{"code":"1","context":{"language":7}}'])
def test_bad_json(daemon, body):
    answer = daemon.call("POST", "/code", body=body)
    assert answer.status == 400
    assert answer.json()["code"] == "INVALID_REQUEST_BODY"
    assert answer.json()["message"].startswith("error parsing request, MAYBE invalid body format. ")


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"language":1}', b'{"language":"python","cwd":[]}'])
def test_bad_json_at_create(daemon, body):
    answer = daemon.call("POST", "/code/context", body=body)
    assert answer.status == 400
    assert answer.json()["code"] == "INVALID_REQUEST_BODY"


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"context": {"language": "python"}}])
def test_missing_code(daemon, body):
    answer = daemon.call("POST", "/code", json=body)
    assert answer.status == 400
    assert answer.json()["code"] == "INVALID_REQUEST_BODY"
    assert answer.json()["message"].startswith("invalid request, validation error Key: 'RunCodeRequest.Code' ")


def test_interrupt_refusals(daemon):
    answer = daemon.call("DELETE", "/code")
    assert (answer.status, answer.json()) == (400, {"code": "MISSING_QUERY", "message": "missing query parameter 'id'"})
    answer = daemon.call("DELETE", f"/code?id={uuid.uuid4()}")
    assert answer.status == 500
    assert answer.json()["message"] == "error interruptting code context. no such session"


def test_interrupt_of_an_idle_context_does_no_harm(daemon):
    ident = create(daemon)["id"]
    run(daemon, ident, "kept = 3")
    assert daemon.call("DELETE", f"/code?id={ident}").status == 200
    assert value(run(daemon, ident, "kept")) == "3"
    daemon.call("DELETE", f"/code/contexts/{ident}")


def test_delete_while_running_ends_the_stream(daemon):
    ident = create(daemon)["id"]
    body = {"code": "print('on', flush=True)\nimport time\ntime.sleep(300)",
            "context": {"id": ident, "language": "python"}}
    with daemon.stream("/code", body) as stream:
        stream.until("stdout", "on")
        assert daemon.call("DELETE", f"/code/contexts/{ident}").status == 200
        assert frames.terminal(stream.rest())["type"] == "error"


def test_sync_sdk_context_calls(daemon, sync_sdk):
    codes = sync_sdk.codes
    made = codes.create_context("python")
    assert codes.get_context(made.id).language == "python"
    assert made.id in [c.id for c in codes.list_contexts("python")]
    codes.delete_context(made.id)
    with pytest.raises(Exception, match="not found"):
        codes.get_context(made.id)
    codes.delete_contexts("python")


def test_sql_is_refused_clearly_everywhere(daemon):
    made = daemon.call("POST", "/code/context", json={"language": "sql"})
    ran = daemon.call("POST", "/code", json={"code": "select 1", "context": {"language": "sql"}})
    for answer in (made, ran):
        assert answer.status == 501, answer
        assert answer.json()["code"] == "NOT_SUPPORTED" and "sql" in answer.json()["message"]


def install(one, language, argv):
    """A kernelspec for `language`, where this daemon looks for them; there at once and whole."""
    folder = one.room / "jupyter" / "kernels" / language
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": language, "language": language}
    (folder / "kernel.new").write_text(json.dumps(spec))
    (folder / "kernel.new").rename(folder / "kernel.json")


def ask(wire, language):
    body = json.dumps({"language": language}).encode()
    wire.send(build("POST", "/code/context", [], body, wire.host))


def test_a_context_whose_client_left_is_not_kept(fresh_daemon):
    one = fresh_daemon(env={"EXECD_MAX_CONTEXTS": "1"})
    mark = one.room / "started"
    install(one, "java", ["/bin/sh", "-c", f"echo > '{mark}'; exec sleep 300", "{connection_file}"])
    with one.wire() as wire:
        ask(wire, "java")
        processes.eventually(mark.exists, what="the kernel was started")
    # The only place is free again, though that kernel will not answer for a long time.
    processes.eventually(lambda: one.call("POST", "/code/context", json={"language": "python"}).status == 200,
                         seconds=20.0, what="room for another context")
    assert set(listed(one).values()) == {"python"}


@pytest.mark.parametrize("how", [{"env": {"JUPYTER_HOST": "http://127.0.0.1:44771"}},
                                 {"args": ["-jupyter-host=http://127.0.0.1:44771"]}], ids=["variable", "flag"])
def test_a_kernel_that_is_still_being_installed_is_waited_for(fresh_daemon, how):
    one = fresh_daemon(**how)
    with one.wire() as wire, one.wire() as leaver:
        ask(wire, "java")
        ask(leaver, "java")
        one.wait_event("context.waits_for_kernel")
        leaver.reset()
        install(one, "java", [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
        answer = wire.response()
    assert answer.status == 200, answer
    assert answer.json()["language"] == "java"
    assert listed(one) == {answer.json()["id"]: "java"}, "nothing is made for a client that left"


def test_without_such_an_image_a_missing_kernel_is_said_at_once(fresh_daemon):
    one = fresh_daemon()
    answer = one.call("POST", "/code/context", json={"language": "java"})
    assert answer.status == 503, answer
    assert "java" in answer.json()["message"]
    assert not [event for event in one.events() if event.get("event") == "context.waits_for_kernel"]
