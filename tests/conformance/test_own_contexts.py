"""/execd/v1/contexts and /execd/v1/runs (docs/own-api-contexts.md)."""

import base64
import json
import uuid

import pytest

from harness import processes
from harness.wire import build

SSE = [("Accept", "text/event-stream")]


def ask(daemon, method, target, status, headers=(), **options):
    answer = daemon.call(method, "/execd/v1" + target, headers=headers, **options)
    assert answer.status == status, answer
    return answer.json() if answer.body else None


@pytest.fixture
def context(daemon):
    ident = ask(daemon, "POST", "/contexts", 201, json={})["id"]
    yield ident
    daemon.call("DELETE", f"/execd/v1/contexts/{ident}")


def finished(daemon, context, code, **fields):
    body = {"context": context, "code": code, "wait_ms": 60_000, **fields}
    run = ask(daemon, "POST", "/runs", 201, json=body)
    assert run["state"] == "finished", run
    return run


def outputs(daemon, run, **query):
    tail = "&".join(f"{name}={value}" for name, value in query.items())
    return ask(daemon, "GET", f"/runs/{run['id']}/outputs?{tail}", 200)


def all_outputs(daemon, run):
    """Every page: a page ends at a number of outputs or of bytes."""
    kept, page = [], {"next": 0, "end": False}
    while not page["end"]:
        page = outputs(daemon, run, **{"from": page["next"]})
        kept += page["outputs"]
    return kept


def text(daemon, run):
    return "".join(o["text"] for o in all_outputs(daemon, run) if o["type"] == "stream")


class Events:
    """Server-sent events, read one by one."""

    def __init__(self, daemon, method, target, body=None, headers=()):
        self.wire = daemon.wire()
        data = b"" if body is None else json.dumps(body).encode()
        head = [*daemon.headers, *SSE, *headers]
        self.wire.send(build(method, "/execd/v1" + target, head, data, self.wire.host))
        self.answer = self.wire.head()
        assert self.answer.status == 200, (self.answer, self.wire.pending)
        assert self.answer.header("Content-Type") == "text/event-stream"
        self.text = ""

    def __iter__(self):
        while True:
            while "\n\n" not in self.text:
                piece = self.wire.chunk()
                if not piece:
                    return
                self.text += piece.decode("utf-8")
            block, self.text = self.text.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if fields:
                event = json.loads(fields["data"])
                assert event["type"] == fields["event"]
                assert str(event.get("number", "")) == fields.get("id", "")
                yield event

    def until(self, kind):
        for event in self:
            if event["type"] == kind:
                return event
        raise AssertionError(f"no {kind} event")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.sock.close()


def test_a_context_is_made_described_restarted_and_ended(daemon, work):
    made = ask(daemon, "POST", "/contexts", 201, json={"cwd": str(work), "env": {"COLOUR": "mauve"}})
    ident = made["id"]
    assert made["state"] == "idle" and made["kernel"] and made["start"] in ("cold", "zygote", "pooled")
    run = finished(daemon, ident, "import os; print(os.getcwd(), os.environ['COLOUR'], os.getpid(), os.getppid())")
    where, colour, *pids = text(daemon, run).split()  # a native kernel is its interpreter's parent
    assert (where, colour) == (str(work), "mauve")
    pid = ask(daemon, "GET", f"/contexts/{ident}", 200)["pid"]
    assert str(pid) in pids
    assert ident in [c["id"] for c in ask(daemon, "GET", "/contexts?language=python", 200)["contexts"]]
    again = ask(daemon, "POST", f"/contexts/{ident}/restart", 200)
    assert again["generation"] == 2 and again["pid"] != pid
    assert daemon.call("DELETE", f"/execd/v1/contexts/{ident}").status == 204
    ask(daemon, "GET", f"/contexts/{ident}", 404)
    ask(daemon, "DELETE", f"/contexts/{ident}", 404)


def test_put_is_idempotent_and_refuses_another_request(daemon):
    ident = uuid.uuid4().hex
    first = ask(daemon, "PUT", f"/contexts/{ident}", 201, json={"env": {"A": "1"}})
    assert ask(daemon, "PUT", f"/contexts/{ident}", 200, json={"env": {"A": "1"}})["pid"] == first["pid"]
    ask(daemon, "PUT", f"/contexts/{ident}", 409, json={"env": {"A": "2"}})
    run = uuid.uuid4().hex
    body = {"context": ident, "code": "n = globals().get('n', 0) + 1; print(n)", "wait_ms": 60_000}
    assert ask(daemon, "PUT", f"/runs/{run}", 201, json=body)["outcome"]["kind"] == "ok"
    assert ask(daemon, "PUT", f"/runs/{run}", 200, json=body)["outcome"]["kind"] == "ok"
    assert text(daemon, {"id": run}) == "1\n"
    ask(daemon, "PUT", f"/runs/{run}", 409, json={**body, "code": "2"})
    ask(daemon, "POST", "/runs", 409, json={**body, "id": run})
    daemon.call("DELETE", f"/execd/v1/contexts/{ident}")


@pytest.mark.parametrize("target, body, word", [
    ("/contexts", {"language": "cobol"}, "installed"),
    ("/contexts", {"cwd": "relative"}, "absolute"),
    ("/contexts", {"gid": 5}, "uid"),
    ("/contexts", {"id": "a/b"}, "id"),
    ("/contexts", {"colour": "mauve"}, "colour"),
    ("/contexts", {"env": {"A=B": "c"}}, "A=B"),
    ("/runs", {}, "code"),
    ("/runs", {"code": "1", "context": "nobody"}, "nobody"),
    ("/runs", {"code": "1", "context": "a", "language": "python"}, "exclude"),
    ("/runs", {"code": "1", "timeout_ms": -1}, "timeout_ms"),
    ("/runs", {"code": "1", "env": {"X;touch /tmp/pwn;Y": "1"}}, "touch"),
])
def test_bad_requests_are_named(daemon, target, body, word):
    answer = daemon.call("POST", "/execd/v1" + target, json=body)
    assert answer.status in (400, 404), answer
    assert word in answer.json()["error"]["message"], answer.json()


def test_a_missing_directory_is_an_error_of_its_own(daemon):
    assert ask(daemon, "POST", "/contexts", 404, json={"cwd": "/no/such/place"})["error"]["code"] == "not_found"


def test_every_kind_of_output_is_replayed(daemon, context):
    run = finished(daemon, context, """
try:
    from IPython.display import display, clear_output
except ImportError:  # native kernels have them without
    pass
import sys
print('out'); print('err', file=sys.stderr)
clear_output(wait=True)
class Rich:
    def _repr_mimebundle_(self, **_):
        return {'text/plain': 'rich', 'application/json': {'a': [1, None]}, 'image/png': 'aGk='}, {'image/png': {'width': 3}}
handle = display(Rich(), display_id='one')
handle.update(Rich())
Rich()
""")
    page = outputs(daemon, run)
    kinds = [o["type"] for o in page["outputs"]]
    assert {"status", "count", "stream", "clear", "display", "result"} <= set(kinds)
    assert [o["number"] for o in page["outputs"]] == list(range(len(kinds))) and page["end"]
    shown, updated = [o for o in page["outputs"] if o["type"] == "display"]
    assert (shown["update"], updated["update"], shown["display_id"]) == (False, True, "one")
    for each in (shown, *[o for o in page["outputs"] if o["type"] == "result"]):
        assert each["data"] == {"text/plain": "rich", "application/json": {"a": [1, None]}, "image/png": "aGk="}
        assert each["metadata"] == {"image/png": {"width": 3}}
    tail = outputs(daemon, run, **{"from": 2, "limit": 1})
    assert [o["number"] for o in tail["outputs"]] == [2] and tail["next"] == 3 and not tail["end"]


def test_errors_expressions_and_payloads_are_in_the_outcome(daemon, context):
    run = finished(daemon, context, "1/0")
    assert run["outcome"]["kind"] == "error"
    assert run["outcome"]["error"]["name"] == "ZeroDivisionError" and run["outcome"]["error"]["traceback"]
    run = finished(daemon, context, "x = 20", user_expressions={"twice": "x * 2"})
    assert run["outcome"]["user_expressions"]["twice"]["data"]["text/plain"] == "40"
    run = finished(daemon, context, "?print")
    assert run["outcome"]["payload"], run


def test_events_carry_ids_and_resume(daemon, context):
    with Events(daemon, "POST", "/runs", {"context": context, "code": "print('a', flush=True)\nopen(input())",
                                          "allow_stdin": True}) as events:
        ident = events.until("run")["run"]["id"]
        first = events.until("stream")
        events.until("input_request")
    # This client left; the run waits on, and another one goes on where the first stopped.
    assert ask(daemon, "GET", f"/runs/{ident}", 200)["input"] == {"prompt": "", "password": False}
    with Events(daemon, "GET", f"/runs/{ident}/outputs",
                headers=[("Last-Event-ID", str(first["number"]))]) as events:
        assert events.until("input_request")["number"] > first["number"]
        assert daemon.call("POST", f"/execd/v1/runs/{ident}/input", json={"text": "/dev/null"}).status == 204
        rest = list(events)
    assert rest[-1]["type"] == "end" and rest[-1]["run"]["outcome"]["kind"] == "ok"
    ask(daemon, "POST", f"/runs/{ident}/input", 409, json={"text": "late"})
    answer = daemon.call("GET", f"/execd/v1/runs/{ident}/outputs",
                         headers=[*SSE, ("Last-Event-ID", str(rest[-1]["number"]))])
    assert answer.status == 204


def test_a_client_that_leaves_keeps_or_interrupts_as_asked(daemon, context):
    code = "import time\nprint('on', flush=True)\ntime.sleep({})\nprint('done')"
    with Events(daemon, "POST", "/runs", {"context": context, "code": code.format(1)}) as events:
        kept = events.until("run")["run"]["id"]
        events.until("stream")
    with Events(daemon, "POST", "/runs", {"context": context, "code": code.format(60),
                                          "on_disconnect": "interrupt"}) as events:
        left = events.until("run")["run"]["id"]
        events.until("stream")
    with Events(daemon, "GET", f"/runs/{left}/outputs") as events:
        events.until("end")
    assert ask(daemon, "GET", f"/runs/{left}", 200)["outcome"]["kind"] == "cancelled"
    assert ask(daemon, "GET", f"/runs/{kept}", 200)["outcome"]["kind"] == "ok"
    assert text(daemon, {"id": kept}) == "on\ndone\n"
    # The kernel lives.
    assert text(daemon, finished(daemon, context, "print('alive')")) == "alive\n"


def press_until_ended(daemon, context, run):
    """A kernel may not be in the code yet, or lose the interrupt: 202 says so, and like a person we press again."""
    for _ in range(5):
        answer = daemon.call("POST", f"/execd/v1/contexts/{context}/interrupt")
        if answer.status == 204:
            assert ask(daemon, "GET", f"/runs/{run}", 200)["state"] == "finished"
            return
        assert answer.status == 202 and answer.json()["id"] == run, answer
    raise AssertionError("five interrupts changed nothing")


def test_the_queue_is_seen_and_cancelled(daemon, context):
    slow = "import time\nprint('on', flush=True)\ntime.sleep(60)"
    first = ask(daemon, "POST", "/runs", 201, json={"context": context, "code": slow})
    with Events(daemon, "GET", f"/runs/{first['id']}/outputs") as events:
        events.until("stream")
    second = ask(daemon, "POST", "/runs", 201, json={"context": context, "code": "2"})
    third = ask(daemon, "POST", "/runs", 201, json={"context": context, "code": "3"})
    assert (second["position"], third["position"]) in ((1, 2), (2, 3))
    with Events(daemon, "GET", f"/runs/{third['id']}/outputs") as events:
        events.until("run")
        assert ask(daemon, "DELETE", f"/runs/{second['id']}", 202)["outcome"]["kind"] == "cancelled"
        assert events.until("queue")["position"] == 1
        press_until_ended(daemon, context, first["id"])
        assert events.until("end")["run"]["outcome"]["kind"] == "ok"
    assert ask(daemon, "GET", f"/runs/{first['id']}", 200)["outcome"]["kind"] == "cancelled"
    ask(daemon, "DELETE", f"/runs/{first['id']}", 410)
    ask(daemon, "DELETE", "/runs/nobody", 404)
    listed = ask(daemon, "GET", f"/runs?context={context}&state=finished", 200)["runs"]
    assert [r["id"] for r in listed if r["id"] in (first["id"], third["id"])] == [first["id"], third["id"]]


def test_a_run_has_its_own_time_place_and_environment(daemon, context, work):
    run = finished(daemon, context, "import os; print(os.getcwd(), os.environ['X'])", cwd=str(work), env={"X": "a'b\"$c\n"})
    assert text(daemon, run) == f"{work} a'b\"$c\n\n"
    assert text(daemon, finished(daemon, context, "print('X' in os.environ)")) == "False\n"
    run = finished(daemon, context, "import time; time.sleep(60)", timeout_ms=300)
    assert run["outcome"]["kind"] == "timed_out"
    run = finished(daemon, context, "1", cwd="/no/such/place", env={"Q": "1"})
    assert run["outcome"]["kind"] == "failed" and run["outcome"]["code"] == "not_found"


def test_the_kernel_answers_about_code(daemon, context):
    finished(daemon, context, "import math")
    done = ask(daemon, "POST", f"/contexts/{context}/complete", 200, json={"code": "math.sq"})
    assert "sqrt" in "".join(done["matches"])
    assert ask(daemon, "POST", f"/contexts/{context}/inspect", 200, json={"code": "math.sqrt", "cursor": 6})["found"]
    said = ask(daemon, "POST", f"/contexts/{context}/is_complete", 200, json={"code": "for x in y:"})
    assert said["status"] == "incomplete"
    assert "import math" in json.dumps(ask(daemon, "GET", f"/contexts/{context}/history?last=5", 200))
    names = [spec["name"] for spec in ask(daemon, "GET", "/kernelspecs", 200)["kernelspecs"]]
    assert {"python3", "execd-python3"} & set(names)


def test_comms_go_both_ways(daemon, context):
    finished(daemon, context, """
def opened(comm, message):
    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']}, buffers=[bytes(m['buffers'][0])[::-1]]))
get_ipython().kernel.comm_manager.register_target('echo', opened)
""")
    with Events(daemon, "GET", f"/contexts/{context}/outputs") as events:
        where = f"/execd/v1/contexts/{context}/comms"
        body = {"type": "comm_open", "comm_id": "c1", "target_name": "echo"}
        assert daemon.call("POST", where, json=body).status == 202
        body = {"type": "comm_msg", "comm_id": "c1", "data": {"n": 1},
                "buffers": [base64.b64encode(b"abc").decode()]}
        assert daemon.call("POST", where, json=body).status == 202
        said = events.until("comm")
    assert said["comm_id"] == "c1" and said["data"] == {"echo": {"n": 1}}
    assert base64.b64decode(said["buffers"][0]) == b"cba"
    assert "c1" in ask(daemon, "GET", f"/contexts/{context}/comms", 200)["comms"]


def test_a_kernel_without_memory_says_so(daemon):
    made = ask(daemon, "POST", "/contexts", 201, json={"limits": {"memory": 160 << 20}})
    ident = made["id"]
    assert made["not_enforced"] in ([], ["memory"])
    if not made["not_enforced"]:
        run = finished(daemon, ident, "x = b'x' * (400 << 20)")
        assert (run["outcome"]["kind"], run["outcome"]["cause"]) == ("kernel_died", "oom_killed")
        described = ask(daemon, "GET", f"/contexts/{ident}", 200)
        assert (described["state"], described["death_cause"]) == ("dead", "oom_killed")
        assert text(daemon, finished(daemon, ident, "print('anew')")) == "anew\n"
    daemon.call("DELETE", f"/execd/v1/contexts/{ident}")


def test_the_cause_of_a_death_is_named(daemon, context):
    run = finished(daemon, context, "import os; os._exit(3)")
    assert (run["outcome"]["kind"], run["outcome"]["cause"]) == ("kernel_died", "exited")
    run = finished(daemon, context, "import os; os.kill(os.getpid(), 9)")
    assert (run["outcome"]["kind"], run["outcome"]["cause"]) == ("kernel_died", "signaled")


def test_the_limit_of_contexts_is_clear(fresh_daemon):
    daemon = fresh_daemon(env={"EXECD_MAX_CONTEXTS": "1"})
    ask(daemon, "POST", "/contexts", 201, json={})
    refused = ask(daemon, "POST", "/contexts", 429, json={})
    assert "1 contexts, the limit" in refused["error"]["message"]


def test_idle_contexts_are_culled(fresh_daemon):
    daemon = fresh_daemon(env={"EXECD_CONTEXT_IDLE_TIMEOUT": "500ms"})
    ident = ask(daemon, "POST", "/contexts", 201, json={})["id"]
    processes.eventually(lambda: daemon.call("GET", f"/execd/v1/contexts/{ident}").status == 404, what="its end")


def test_a_flood_is_declared_as_a_gap(daemon, context):
    # PEERS 6.1, JUP limits: 200 MB of prints; bounded, the gap is told, the kernel lives.
    run = finished(daemon, context, "import sys\nfor _ in range(2000): sys.stdout.write('x' * 100_000)")
    assert run["outcome"]["kind"] == "ok"
    kept = all_outputs(daemon, run)
    gaps = sum(o["bytes"] for o in kept if o["type"] == "gap")
    said = sum(len(o["text"]) for o in kept if o["type"] == "stream")
    assert said <= 17_000_000 and gaps >= 180_000_000, (said, gaps)
    assert text(daemon, finished(daemon, context, "print('alive')")) == "alive\n"


def test_what_was_flushed_before_the_death_is_there(daemon, context):
    for size in (1000, 3_000_000):
        code = f"import os, sys, time\nsys.stdout.write('z' * {size})\nsys.stdout.flush()\ntime.sleep(0.1)\nos._exit(3)"
        run = finished(daemon, context, code)
        assert run["outcome"]["kind"] == "kernel_died" and not run["outcome"]["incomplete"]
        assert len(text(daemon, run)) == size


def test_unreadable_output_is_declared(daemon, context):
    run = finished(daemon, context, "x = 1\nfor _ in range(300): x = [x]\ndisplay({'application/json': x}, raw=True)")
    assert run["outcome"]["kind"] == "ok"
    assert [o["why"] for o in outputs(daemon, run)["outputs"] if o["type"] == "gap"], run


def test_a_language_has_many_names(daemon):
    made = [ask(daemon, "POST", "/contexts", 201, json={"language": name})["id"] for name in ("py", "python3")]
    for name in ("python", "py"):
        listed = [c["id"] for c in ask(daemon, "GET", f"/contexts?language={name}", 200)["contexts"]]
        assert set(made) <= set(listed)
    assert set(made) <= {c["id"] for c in daemon.call("GET", "/code/contexts?language=python").json()}
    assert {c["language"] for c in daemon.call("GET", "/code/contexts").json() if c["id"] in made} == {"python"}
    for ident in made:
        assert daemon.call("DELETE", f"/execd/v1/contexts/{ident}").status == 204


def test_a_run_that_is_no_longer_kept_does_not_run_again(daemon):
    context = ask(daemon, "POST", "/contexts", 201, json={})["id"]
    ident = uuid.uuid4().hex
    body = {"context": context, "code": "1", "wait_ms": 60_000}
    ask(daemon, "PUT", f"/runs/{ident}", 201, json=body)
    daemon.call("DELETE", f"/execd/v1/contexts/{context}")
    ask(daemon, "PUT", f"/runs/{ident}", 410, json=body)
    ask(daemon, "GET", f"/runs/{ident}", 410)
    ask(daemon, "POST", "/runs", 410, json={**body, "id": ident})


def test_the_document_knows_the_rows(daemon):
    paths = ask(daemon, "GET", "/openapi.json?dialect=execd", 200)["paths"]
    assert {"get", "put", "delete"} <= set(paths["/execd/v1/runs/{id}"]) | {"get"}
    assert "/execd/v1/contexts/{id}/comms" in paths
