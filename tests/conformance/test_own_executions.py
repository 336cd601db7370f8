"""execd's own executions and events: docs/own-api.md."""

import base64
import json
import os
import random
import threading
import time
import uuid

import pytest

from harness import processes
from harness.wire import build, query

ROOT = "/execd/v1/executions"


def new_id():
    return "t-" + uuid.uuid4().hex


def put(daemon, id_, headers=(), **spec):
    return daemon.call("PUT", f"{ROOT}/{id_}", json=spec, headers=headers)


def run(daemon, **spec):
    """Starts and waits for the end: the view."""
    answer = put(daemon, new_id(), wait_ms=20_000, **spec)
    assert answer.status == 201, answer
    view = answer.json()
    assert view["state"] == "ended", view
    return view


def output(daemon, id_, **params):
    answer = daemon.call("GET", query(f"{ROOT}/{id_}/output", **params))
    assert answer.status == 200, answer
    return answer.body


def problem(answer, status, code):
    assert answer.status == status, answer
    assert answer.json()["error"]["code"] == code, answer
    return answer.json()["error"]["message"]


def test_put_starts_and_the_view_tells_all(daemon):
    id_ = new_id()
    answer = put(daemon, id_, shell="echo out; echo err >&2; exit 3", label="mine", owner="me", wait_ms=20_000)
    assert answer.status == 201 and answer.header("Location") == f"{ROOT}/{id_}"
    view = answer.json()
    assert view["id"] == id_ and view["state"] == "ended" and view["started_now"] is True
    assert view["label"] == "mine" and view["owner"] == "me" and view["command"].startswith("echo out")
    assert view["pid"] > 1 and view["terminal"] is False
    assert view["streams"] == {"stdout": {"available_from": 0, "written": 4},
                               "stderr": {"available_from": 0, "written": 4}}
    verdict = view["verdict"]
    assert verdict["kind"] == "exited" and verdict["exit_code"] == 3 and "signal" not in verdict
    assert verdict["text"] == "exit status 3"
    assert output(daemon, id_) == b"out\n"
    assert output(daemon, id_, stream="stderr") == b"err\n"
    assert sorted(output(daemon, id_, stream="all").split()) == [b"err", b"out"]
    assert [v["id"] for v in daemon.call("GET", query(ROOT, owner="me", label="mine", state="ended")).json()][-1] == id_


def test_the_same_request_attaches_and_another_is_a_conflict(daemon):
    id_ = new_id()
    first = put(daemon, id_, shell="echo once; sleep 30", envs={"A": "1", "B": "2"})
    assert first.status == 201
    again = daemon.call("PUT", f"{ROOT}/{id_}", b'{ "envs":{"B":"2","A":"1"}, "wait_ms":1, "shell":"echo once; sleep 30"}')
    assert again.status == 200 and again.json()["started_now"] is False
    assert again.json()["pid"] == first.json()["pid"]
    problem(put(daemon, id_, shell="echo other"), 409, "conflict")
    assert daemon.call("DELETE", query(f"{ROOT}/{id_}", grace_ms=0)).json()["verdict"]["kind"] == "cancelled"
    problem(daemon.call("GET", f"{ROOT}/{id_}"), 404, "not_found")


def test_many_at_once_start_one(daemon):
    id_, views = new_id(), []
    threads = [threading.Thread(target=lambda: views.append(put(daemon, id_, shell="echo $$; sleep 1", wait_ms=9000)))
               for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(v.status for v in views) == [200] * 11 + [201]
    assert len({v.json()["pid"] for v in views}) == 1
    assert len(output(daemon, id_).splitlines()) == 1


def test_post_with_an_idempotency_key(daemon):
    key = [("Idempotency-Key", uuid.uuid4().hex)]
    first = daemon.call("POST", ROOT, json={"shell": "sleep 9"}, headers=key)
    again = daemon.call("POST", ROOT, json={"shell": "sleep 9"}, headers=key)
    assert (first.status, again.status) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    problem(daemon.call("POST", ROOT, json={"shell": "sleep 8"}, headers=key), 409, "conflict")
    problem(daemon.call("POST", ROOT, json={"shell": "sleep 9"}, headers=[("Idempotency-Key", "x" * 300)]), 400,
            "invalid_argument")
    other = daemon.call("POST", ROOT, json={"shell": "sleep 9"})
    assert other.status == 201 and other.json()["id"] != first.json()["id"]
    for view in (first, other):
        daemon.call("DELETE", query(f"{ROOT}/{view.json()['id']}", grace_ms=0))


@pytest.mark.parametrize("spec, word", [
    ({}, "exactly one"), ({"argv": ["a"], "shell": "b"}, "exactly one"), ({"argv": []}, "argv"),
    ({"argv": [""]}, "argv"), ({"shell": "a\0b"}, "NUL"), ({"argv": ["echo", "\0"]}, "NUL"),
    ({"shell": "x", "timeout_ms": -1}, "timeout_ms"), ({"shell": "x", "cwd": "relative"}, "cwd"),
    ({"shell": "x", "unknown": 1}, "unknown"), ({"shell": "x", "user": "nobody-there"}, "nobody-there"),
    ({"shell": "x", "group": "0"}, "group"), ({"shell": "x", "stdin": "file"}, "stdin"),
    ({"shell": "x", "input": "a", "stdin": "pipe"}, "stdin"), ({"shell": "x", "umask": "9"}, "umask"),
    ({"shell": "x", "pty": {"columns": 0}}, "columns"), ({"shell": "x", "envs": {"A=B": "1"}}, "A=B"),
    ({"shell": "x", "envs": {"A": "\0"}}, "NUL"), ({"shell": "x", "stop_signal": "NONE"}, "stop_signal"),
    ({"shell": "x", "limits": {"cpu": 0}}, "cpu"), ([], ""), ("shell", ""),
])
def test_bad_requests(daemon, spec, word):
    answer = daemon.call("PUT", f"{ROOT}/{new_id()}", json=spec)
    assert word in problem(answer, 400, "invalid_argument"), answer


def test_bad_places(daemon):
    problem(put(daemon, "..%2Fx", shell="true"), 400, "invalid_argument")
    problem(put(daemon, "x" * 129, shell="true"), 400, "invalid_argument")
    for method, tail, body in (("GET", "", b""), ("GET", "/output", b""), ("POST", "/input", b"x"), ("DELETE", "", b""),
                               ("POST", "/signal", b'{"signal":"INT"}'), ("POST", "/resize", b"{}")):
        problem(daemon.call(method, f"{ROOT}/none{tail}", body), 404, "not_found")
    id_ = run(daemon, shell="echo 12")["id"]
    for bad in ({"offset": "x"}, {"offset": -1}, {"offset": 4}, {"stream": "out"}, {"follow": "maybe"}):
        problem(daemon.call("GET", query(f"{ROOT}/{id_}/output", **bad)), 400, "invalid_argument")
    problem(daemon.call("POST", f"{ROOT}/{id_}/signal", b'{"signal":"INT"}'), 410, "gone")
    problem(daemon.call("POST", f"{ROOT}/{id_}/signal", b'{"signal":"FOO"}'), 400, "invalid_argument")
    problem(daemon.call("POST", f"{ROOT}/{id_}/input", b"x"), 410, "gone")
    problem(daemon.call("POST", f"{ROOT}/{id_}/resize", b"{}"), 409, "conflict")


def test_failed_starts_are_verdicts(daemon):
    verdict = run(daemon, argv=["/no/such/program"])["verdict"]
    assert (verdict["kind"], verdict["step"], verdict["error_number"]) == ("failed_to_start", "exec", 2)
    verdict = run(daemon, shell="true", cwd="/no/such/directory")["verdict"]
    assert (verdict["kind"], verdict["step"], verdict["error_number"]) == ("failed_to_start", "chdir", 2)
    assert "exit_code" not in verdict and "signal" not in verdict


def test_endings(daemon):
    verdict = run(daemon, shell="kill -SEGV $$")["verdict"]
    assert (verdict["kind"], verdict["signal"], verdict["signal_name"]) == ("signaled", 11, "SIGSEGV")
    started = time.monotonic()
    verdict = run(daemon, shell="trap '' TERM; setsid sleep 60 & sleep 60", timeout_ms=300)["verdict"]
    assert (verdict["kind"], verdict["timeout"]) == ("timed_out", "hard") and time.monotonic() - started < 10
    verdict = run(daemon, shell="(sleep 2; echo late) & echo early")["verdict"]
    assert verdict["kind"] == "exited" and verdict["output_open"] is True


def test_peak_memory_is_not_the_daemons(fresh_daemon):
    """A new program begins with the peak of whoever executed it: then it is not known, which is 0."""
    daemon = fresh_daemon(python=False)
    for _ in range(20):
        run(daemon, shell="head -c 1000000 /dev/zero")
    assert run(daemon, argv=["/bin/true"])["verdict"]["peak_memory"] == 0
    daemons = processes.memory_kib(daemon.pid, "Rss") << 10
    size = 2 * daemons + (32 << 20)
    verdict = run(daemon, shell=f"head -c {size} /dev/zero | tail -c {size} >/dev/null")["verdict"]
    assert verdict["exit_code"] == 0 and size <= verdict["peak_memory"] < 2 * size


def limited(daemon, **limits):
    """Whether such a limit is in force on this machine."""
    return not run(daemon, shell="true", limits=limits)["not_enforced"]


def test_limits_of_memory(daemon):
    if not limited(daemon, memory=64 << 20):
        view = run(daemon, shell="true", limits={"memory": 64 << 20})
        assert view["not_enforced"] == ["memory"]
        pytest.skip("cgroup memory limits cannot be made here")
    events = Events(daemon)
    events.next()
    size = 200_000_000
    view = run(daemon, shell=f"head -c {size} /dev/zero | tail -c {size} >/dev/null; exit ${{PIPESTATUS[1]}}",
               limits={"memory": 32 << 20})
    assert view["not_enforced"] == [] and view["verdict"]["kind"] == "oom_killed"
    assert 16 << 20 < view["verdict"]["peak_memory"] <= 32 << 20
    told = [events.of(view["id"])["event"] for _ in range(3)]
    assert told == ["started", "oom", "ended"]


def test_a_fork_bomb_inside_its_limit(daemon):
    if not limited(daemon, pids=20):
        pytest.skip("cgroup pids limits cannot be made here")
    id_ = new_id()
    put(daemon, id_, shell="bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000", limits={"pids": 20})
    assert daemon.call("GET", "/ping").status == 200
    assert output(daemon, run(daemon, shell="echo alive")["id"]) == b"alive\n"
    assert daemon.call("DELETE", query(f"{ROOT}/{id_}", grace_ms=0)).json()["verdict"]["kind"] == "cancelled"


@pytest.mark.parametrize("name", ["p1", "main", "owner-1", "memory.max", "cgroup.procs"])
def test_any_id_has_its_limits(daemon, name):
    """Ids become names of directories, beside control files and other groups."""
    if not limited(daemon, pids=20):
        return  # the same for every id: said by the other tests
    daemon.shell("true")  # there is a group p1 from now on
    view = put(daemon, name, shell="exec sleep 1000", limits={"pids": 20}).json()
    try:
        assert view["not_enforced"] == []
        groups = processes.read(f"/proc/{view['pid']}/cgroup")
        assert all(line.endswith(f"-{name}") for line in groups.splitlines() if "/execd-" in line), groups
    finally:
        assert daemon.call("DELETE", query(f"{ROOT}/{name}", grace_ms=0)).status == 200


def test_a_limit_of_cpu(daemon):
    if not limited(daemon, cpu=0.1):
        pytest.skip("cgroup cpu limits cannot be made here")
    verdict = run(daemon, shell="while :; do :; done", limits={"cpu": 0.1}, timeout_ms=700)["verdict"]
    assert verdict["kind"] == "timed_out" and verdict["user_ms"] + verdict["system_ms"] < 400


def test_the_last_byte_comes_before_the_end(daemon):
    """KER process.go (PEERS 6.1): 10 MB, two late readers, the end is told when all was written."""
    events = Events(daemon)
    events.next()
    id_ = new_id()
    put(daemon, id_, argv=["/bin/sh", "-c", "head -c 10000000 /dev/zero; printf end"])
    assert [events.of(id_)["event"] for _ in range(2)] == ["started", "ended"]
    assert daemon.call("GET", f"{ROOT}/{id_}").json()["streams"]["stdout"]["written"] == 10_000_003
    for _ in range(2):
        text = output(daemon, id_, follow="true")
        assert len(text) == 10_000_003 and text.endswith(b"\0end")


def test_following_gives_no_less_than_not_following(daemon, work):
    """What was left running writes on after the verdict."""
    gates = [work / "first", work / "second"]
    for gate in gates:
        os.mkfifo(gate)
    view = run(daemon, shell=f"(read x < {gates[0]}; echo late1; read x < {gates[1]}; echo late2) & echo early")
    id_ = view["id"]
    assert view["verdict"]["output_open"] is True and output(daemon, id_, follow="true") == b"early\n"
    gates[0].write_text("go\n")
    processes.eventually(lambda: output(daemon, id_) == b"early\nlate1\n", what="late output")
    assert output(daemon, id_, follow="true") == b"early\nlate1\n"
    gates[1].write_text("go\n")
    assert output(daemon, id_, follow="all") == b"early\nlate1\nlate2\n"


def test_spec_fields_reach_the_child(daemon):
    view = run(daemon, shell="pwd; umask; ulimit -n; echo $A-$HOME; nice; cat", cwd="/usr", umask="027", nice=3,
               envs={"A": "x"}, limits={"open_files": 77}, input="from stdin")
    pwd, umask, files, env, nice, text = output(daemon, view["id"]).decode().split("\n")
    assert (pwd, umask, files, nice, text) == ("/usr", "0027", "77", "3", "from stdin")
    assert env.startswith("x-/")
    data = bytes(range(256))
    view = run(daemon, argv=["/bin/cat"], input_base64=base64.b64encode(data).decode())
    assert output(daemon, view["id"]) == data
    view = run(daemon, argv=["/usr/bin/env"], inherit_env=False, envs={"ONLY": "1"})
    assert b"ONLY=1\n" in output(daemon, view["id"]) and b"PATH=" not in output(daemon, view["id"])
    view = run(daemon, shell="echo a; echo b >&2; echo c", merge_output=True)
    assert output(daemon, view["id"]) == b"a\nb\nc\n"


def test_a_text_beyond_arg_max(daemon):
    text = "x=" + "y" * 3_000_000 + "; echo ${#x}"
    assert output(daemon, run(daemon, shell=text)["id"]) == b"3000000\n"


def test_stdin_pipe_in_pieces_with_eof(daemon):
    id_ = new_id()
    put(daemon, id_, argv=["/usr/bin/wc", "-c"], stdin="pipe")
    big = b"z" * 3_000_000
    assert daemon.call("POST", f"{ROOT}/{id_}/input", big).json() == {"written": len(big)}
    assert daemon.call("POST", f"{ROOT}/{id_}/input?eof=true", b"tail").json() == {"written": 4}
    view = daemon.call("GET", f"{ROOT}/{id_}?wait_ms=9000").json()
    assert view["verdict"]["exit_code"] == 0
    assert output(daemon, id_).split() == [b"3000004"]
    plain = new_id()
    put(daemon, plain, shell="sleep 5")
    problem(daemon.call("POST", f"{ROOT}/{plain}/input", b"x"), 409, "conflict")
    daemon.call("DELETE", query(f"{ROOT}/{plain}", grace_ms=0))


def test_signal_and_the_whole_tree(daemon):
    id_ = new_id()
    put(daemon, id_, shell="trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done")
    processes.eventually(lambda: output(daemon, id_) == b"ready\n", what="ready")
    assert daemon.call("POST", f"{ROOT}/{id_}/signal", json={"signal": "USR1"}).status == 204
    view = daemon.call("GET", f"{ROOT}/{id_}?wait_ms=9000").json()
    assert view["verdict"]["exit_code"] == 5 and output(daemon, id_) == b"ready\ngot\n"
    id_ = new_id()
    mark = "4711" + str(random.randrange(10**6))
    put(daemon, id_, shell=f"(setsid sleep {mark} &); setsid nohup bash -c 'sleep {mark}' & sleep {mark}")
    processes.eventually(lambda: len(sleeping(mark)) == 3, what="three sleepers")
    assert daemon.call("DELETE", f"{ROOT}/{id_}").json()["verdict"]["kind"] == "cancelled"
    processes.eventually(lambda: not sleeping(mark), what="no survivor")


def sleeping(mark):
    import os
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and
            processes.read(f"/proc/{pid}/cmdline").split("\0")[:2] == ["sleep", mark] and processes.alive(int(pid))]


def test_delete_ends_what_an_ended_one_left_running(daemon):
    mark = str(random.randrange(10**7, 10**8))
    for name, more in (("its output held", ""), ("let go", " >/dev/null 2>&1 </dev/null")):
        view = run(daemon, shell=f"setsid sleep {mark}{more} & echo up")
        assert view["verdict"]["kind"] == "exited", (name, view)
        processes.eventually(lambda: sleeping(mark), what=f"the server ({name})")
        assert daemon.call("DELETE", f"{ROOT}/{view['id']}").json()["verdict"]["kind"] == "exited"
        processes.eventually(lambda: not sleeping(mark), what=f"no server ({name})")
        assert daemon.call("GET", f"{ROOT}/{view['id']}").status == 404


def test_a_terminal(daemon):
    id_ = new_id()
    put(daemon, id_, argv=["/bin/bash", "--norc", "-i"], pty={"columns": 91, "rows": 17}, envs={"PS1": "> "})
    daemon.call("POST", f"{ROOT}/{id_}/input", b"stty size\n")
    processes.eventually(lambda: b"17 91" in output(daemon, id_), what="the size")
    assert daemon.call("POST", f"{ROOT}/{id_}/resize", json={"columns": 50, "rows": 20}).status == 204
    # An interrupt that strikes bash between its two commands ends the line only.
    daemon.call("POST", f"{ROOT}/{id_}/input", b"sh -c 'stty size; exec sleep 60'\n")
    processes.eventually(lambda: b"20 50" in output(daemon, id_, stream="pty"), what="the new size")
    assert daemon.call("POST", f"{ROOT}/{id_}/signal", json={"signal": "INT"}).status == 204
    daemon.call("POST", f"{ROOT}/{id_}/input", b"exit 7\n")
    view = daemon.call("GET", f"{ROOT}/{id_}?wait_ms=9000").json()
    assert view["verdict"]["exit_code"] == 7 and list(view["streams"]) == ["pty"]


def test_follow_from_any_offset_and_resume(daemon):
    id_ = new_id()
    text = b"".join(b"line %05d\n" % i for i in range(4000))
    put(daemon, id_, shell="for i in {0..3999}; do printf 'line %05d\\n' $i; ((i % 500)) || sleep 0.02; done")
    assert output(daemon, id_, follow="true") == text
    for _ in range(20):
        at = random.randrange(len(text) + 1)
        assert output(daemon, id_, offset=at) == text[at:]
        assert output(daemon, id_, offset=at, follow="true", stream="all") == text[at:]


def read_some(daemon, id_, offset, size):
    """Follows from `offset`, reads about `size` bytes and vanishes in the middle of whatever came."""
    with daemon.wire() as wire:
        wire.send(build("GET", query(f"{ROOT}/{id_}/output", offset=offset, follow="true"), [*daemon.headers], b"",
                        wire.host))
        answer = wire.head()
        assert answer.status == 200 and answer.header("X-Execd-Offset") == str(offset), answer
        lost = int(answer.header("X-Execd-Lost", "0"))
        got = b""
        while len(got) < size:
            chunk = wire.chunk()
            if not chunk:
                break
            got += chunk
        return lost, got[:size]


def test_random_disconnects_lose_nothing(daemon):
    """What all clients saw together is what the child wrote (keep=all and within the caps: no gap is allowed)."""
    id_ = new_id()
    count = 60_000
    put(daemon, id_, shell=f"seq -f '%.0f abcdefghijklmnopqrstuvwxyz' {count} | while read -r l; do echo \"$l\"; done")
    whole = b"".join(b"%d abcdefghijklmnopqrstuvwxyz\n" % i for i in range(1, count + 1))
    chance, seen = random.Random(7), b""
    while len(seen) < len(whole):
        lost, got = read_some(daemon, id_, len(seen), chance.choice([1, 17, 4000, 70_000, 300_000]))
        assert lost == 0
        seen += got
    assert seen == whole


def test_a_gap_is_declared(fresh_daemon):
    """keep=window and nobody reads: the beginning goes, and the answer says how much."""
    daemon = fresh_daemon()
    id_ = new_id()
    view = put(daemon, id_, shell="head -c 9000000 /dev/zero", keep="window", wait_ms=20_000).json()
    stream = view["streams"]["stdout"]
    assert stream["written"] == 9_000_000 and stream["available_from"] > 0
    answer = daemon.call("GET", f"{ROOT}/{id_}/output?offset=100")
    lost = int(answer.header("X-Execd-Lost"))
    assert answer.header("X-Execd-Offset") == "100"
    assert 100 + lost + len(answer.body) == 9_000_000 and lost > 0
    assert daemon.call("GET", f"{ROOT}/{id_}/output?offset={100 + lost}").header("X-Execd-Lost") is None


class Events:
    """An open /execd/v1/events."""

    def __init__(self, daemon, headers=(), **params):
        self.wire = daemon.wire()
        self.wire.send(build("GET", query("/execd/v1/events", **params), [*daemon.headers, *headers], b"", self.wire.host))
        answer = self.wire.head()
        assert answer.status == 200 and answer.header("Content-Type") == "text/event-stream", answer
        self.text = b""

    def next(self):
        while b"\n\n" not in self.text:
            chunk = self.wire.chunk()
            assert chunk, "the stream ended"
            self.text += chunk
        frame, self.text = self.text.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in frame.decode().split("\n") if not line.startswith(":"))
        return fields and {**fields, "data": json.loads(fields["data"])}

    def of(self, *ids):
        while True:
            event = self.next()
            if event and event["data"].get("execution") in ids:
                return event


def test_events_with_a_cursor(daemon):
    events = Events(daemon)
    ready = events.next()
    assert ready["event"] == "ready" and ready["data"]["restarted"] is False
    id_ = run(daemon, shell="exit 4", owner="events-test")["id"]
    first, second = events.of(id_), events.of(id_)
    assert (first["event"], second["event"]) == ("started", "ended")
    assert second["data"]["verdict"] == "exited" and second["data"]["owner"] == "events-test"
    assert int(second["id"]) > int(first["id"]) > int(ready["id"])
    again = Events(daemon, cursor=ready["id"])
    assert again.next()["event"] == "ready"
    assert [again.of(id_)["id"], again.of(id_)["id"]] == [first["id"], second["id"]]
    rest = Events(daemon, headers=[("Last-Event-ID", first["id"])])
    assert rest.of(id_)["id"] == second["id"]
    assert Events(daemon, cursor=10**9).next()["data"]["restarted"] is True
    problem(daemon.call("GET", "/execd/v1/events?cursor=x"), 400, "invalid_argument")


def test_open_event_streams_do_not_hold_up_the_end(fresh_daemon):
    daemon = fresh_daemon()
    events = Events(daemon)
    events.next()
    started = time.monotonic()
    daemon.stop()
    assert time.monotonic() - started < 5


def test_they_need_the_token(daemon_with_token):
    plain = daemon_with_token.headers
    for method, target in (("GET", ROOT), ("PUT", f"{ROOT}/x"), ("GET", "/execd/v1/events"), ("DELETE", f"{ROOT}/x")):
        with daemon_with_token.wire() as wire:
            assert wire.request(method, target, [], b"").status == 401
    assert plain and daemon_with_token.call("GET", ROOT).status == 200


def test_openapi_shows_the_rows(daemon):
    document = daemon.call("GET", "/execd/v1/openapi.json?dialect=execd").json()
    paths = document["paths"]
    for path in ("", "/{id}", "/{id}/output", "/{id}/input", "/{id}/signal", "/{id}/resize"):
        assert ROOT + path in paths, path
    assert "/execd/v1/events" in paths
    assert "ExecutionRequest" in document["components"]["schemas"]
    assert "VerdictView" in json.dumps(document["components"])


def test_idempotent_commands_of_the_opensandbox_dialect(daemon):
    key = [("Idempotency-Key", uuid.uuid4().hex)]
    body = {"command": "echo $RANDOM$RANDOM; sleep 0.3"}
    first = daemon.events_of("/command", body, key)
    again = daemon.events_of("/command", dict(body), key)
    assert first[0]["text"] == again[0]["text"]
    texts = [[e["text"] for e in events if e["type"] == "stdout"] for events in (first, again)]
    assert texts[0] == texts[1] and len(texts[0]) == 1
    assert again[-1]["type"] == "execution_complete"
    answer = daemon.call("POST", "/command", json={"command": "echo other"}, headers=key)
    assert answer.status == 409 and answer.json()["code"] == "IDEMPOTENCY_CONFLICT"
    assert daemon.call("POST", "/command", json=body, headers=[("Idempotency-Key", "a b")]).status == 400
