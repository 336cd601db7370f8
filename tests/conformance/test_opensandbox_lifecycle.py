"""/v1/sandboxes* on the wire: statuses, refusals, two clients with a claim each; /ready, /internal/init."""

import contextlib
import hashlib
import json
import platform
import re
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness.processes import alive, eventually
from test_own_executions import Events

OWN_ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "amd64"
BODY = {"image": {"uri": "python:3.11"}, "entrypoint": ["sleep", "1"], "timeout": 600,
        "resourceLimits": {"cpu": "1", "memory": "512Mi"}}


def create(daemon, **more):
    answer = daemon.call("POST", "/v1/sandboxes", json={**BODY, **more})
    assert answer.status == 202, answer
    return answer.json()["id"]


def claimed(claim):
    return [("X-EXECD-CLAIM", claim)]


@pytest.fixture
def sockets():
    with contextlib.ExitStack() as opened:
        yield opened.enter_context


def attach(daemon, claim, terminal, query=""):
    return connect(f"ws://127.0.0.1:{daemon.port}/pty/{terminal}/ws{query}", compression=None,
                   additional_headers=claimed(claim))


def typed(socket, line, until):
    """Types a line and reads what the terminal shows, to a match of `until`."""
    socket.send(b"\0" + line.encode() + b"\n")
    seen, found = b"", None
    while not found:
        frame = socket.recv(timeout=10)
        seen += frame[1:] if isinstance(frame, bytes) else b""
        found = re.search(until, seen)
    return found


def refused(answer, status, code=None):
    body = answer.json()
    assert answer.status == status and body["code"] and body["message"], answer
    assert code is None or body["code"] == code


@pytest.fixture
def claim(daemon):
    one = create(daemon)
    yield one
    daemon.call("DELETE", f"/v1/sandboxes/{one}")


def test_create_answers_what_the_specification_says(daemon):
    began = time.monotonic()
    answer = daemon.call("POST", "/v1/sandboxes", json={**BODY, "metadata": {"a": "b"}})
    took = time.monotonic() - began
    body = answer.json()
    assert answer.status == 202 and answer.header("Location") == f"/v1/sandboxes/{body['id']}"
    assert answer.header("X-Request-ID") and took < 10
    assert body["status"]["state"] == "Running" and body["entrypoint"] == ["sleep", "1"]
    assert body["metadata"] == {"a": "b"} and body["createdAt"] < body["expiresAt"] and "image" not in body
    assert daemon.call("GET", f"/v1/sandboxes/{body['id']}").json()["image"] == {"uri": "python:3.11"}
    assert daemon.call("DELETE", f"/v1/sandboxes/{body['id']}").status == 204


@pytest.mark.parametrize(("more", "status"), [
    ({"networkPolicy": {"defaultAction": "deny"}}, 400),
    ({"volumes": [{"name": "v", "mountPath": "/v"}]}, 400),
    ({"secureAccess": True}, 400),
    ({"credentialProxy": {"enabled": True}}, 400),
    ({"snapshotId": "s"}, 501),
    ({"extensions": {"poolRef": "p"}}, 501),
    ({"platform": {"os": "windows", "arch": "amd64"}}, 400),
    ({"timeout": 0}, 400), ({"timeout": -5}, 400), ({"timeout": "soon"}, 400), ({"timeout": 10**18}, 400),
    ({"resourceLimits": {"memory": "a lot"}}, 400), ({"resourceLimits": {"cpu": "-1"}}, 400),
    ({"env": {"A=B": "1"}}, 400), ({"env": {"A": "x\0y"}}, 400), ({"env": ["A"]}, 400),
    ({"metadata": {"opensandbox.io/x": "1"}}, 400), ({"entrypoint": "sh"}, 400),
])
def test_what_cannot_be_had_is_refused(daemon, more, status):
    refused(daemon.call("POST", "/v1/sandboxes", json={**BODY, **more}), status)


def test_empty_wishes_are_no_wishes(daemon):
    one = create(daemon, networkPolicy={}, volumes=[], credentialProxy={"enabled": False}, unknown={"x": 1})
    daemon.call("DELETE", f"/v1/sandboxes/{one}")
    for body in (b"", b"{", b"[]", b"null x"):
        assert daemon.call("POST", "/v1/sandboxes", body=body).status == 400


def test_unknown_and_dead_ids_are_404(daemon, claim):
    daemon.call("DELETE", f"/v1/sandboxes/{claim}")
    for one in (claim, "never", "%2e%2e", "x" * 3000):
        for method, path, json in [("GET", "", None), ("DELETE", "", None), ("POST", "/pause", None),
                                   ("POST", "/resume", None), ("GET", "/endpoints/44772", None),
                                   ("POST", "/renew-expiration", {"expiresAt": "2030-01-01T00:00:00Z"}),
                                   ("PATCH", "/metadata", {"a": "b"}), ("GET", "/diagnostics/logs", None)]:
            refused(daemon.call(method, f"/v1/sandboxes/{one}{path}", json=json), 404, "DOCKER::SANDBOX_NOT_FOUND")
    for one in (claim, "never"):
        refused(daemon.call("POST", "/command", json={"command": "true"}, headers=claimed(one)), 404)
        refused(daemon.call("GET", f"/v1/sandboxes/{one}/proxy/44772/code/contexts"), 404)
        assert daemon.call("GET", "/ping", headers=claimed(one)).status == 404


def test_pause_resume_and_their_wrong_states(daemon, claim):
    path = f"/v1/sandboxes/{claim}"
    refused(daemon.call("POST", f"{path}/resume"), 409)
    assert daemon.call("POST", f"{path}/pause").status == 202
    assert daemon.call("GET", path).json()["status"]["state"] == "Paused"
    refused(daemon.call("POST", f"{path}/pause"), 409)
    refused(daemon.call("POST", "/command", json={"command": "true"}, headers=claimed(claim)), 409)
    refused(daemon.call("GET", "/code/contexts", headers=claimed(claim)), 409)
    assert daemon.call("GET", "/ping", headers=claimed(claim)).status == 200
    assert daemon.call("POST", "/command", json={"command": "true"}).status == 200
    assert daemon.call("POST", f"{path}/resume").status == 202
    assert daemon.call("POST", "/command", json={"command": "true"}, headers=claimed(claim)).status == 200


def run_while_paused(daemon, claim, path, body, work, name, pause=1.2):
    """The events of a request whose work begins before a pause (of so many seconds) and ends after it."""
    answers = []
    ask = threading.Thread(target=lambda: answers.append(
        daemon.call("POST", path, json=body, headers=claimed(claim))), daemon=True)
    ask.start()
    eventually((work / f"{name}.on").exists, what="the work has begun")
    assert daemon.call("POST", f"/v1/sandboxes/{claim}/pause").status == 202
    ask.join(pause)
    assert ask.is_alive()
    (work / f"{name}.go").touch()
    assert daemon.call("POST", f"/v1/sandboxes/{claim}/resume").status == 202
    ask.join(20)
    assert answers and answers[0].status == 200, answers
    return [json.loads(text.removeprefix("data: ")) for text in answers[0].text.split("\n\n") if text.strip()]


def test_streams_and_timeouts_stand_still_with_their_claim(daemon, claim, work):
    """A pause is longer than what a command has, and than what a session's command has."""
    def loop(name):
        return f"touch {work}/{name}.on; while [ ! -e {work}/{name}.go ]; do sleep 0.01; done; echo done"

    session = daemon.call("POST", "/session", json={}, headers=claimed(claim)).json()["session_id"]
    for name, path in (("a", "/command"), ("b", f"/session/{session}/run")):
        events = run_while_paused(daemon, claim, path, {"command": loop(name), "timeout": 1000}, work, name)
        assert [one["text"].strip() for one in events if one["type"] == "stdout"] == ["done"], events
        assert events[-1]["type"] == "execution_complete", events
    code = (f"import os, time\nopen('{work}/c.on', 'w')\n"
            f"while not os.path.exists('{work}/c.go'): time.sleep(0.01)\n'done'")
    body = {"code": code, "context": {"language": "python"}}
    events = run_while_paused(daemon, claim, "/code", body, work, "c", pause=0.2)
    assert "'done'" in [one["results"]["text"] for one in events if one["type"] == "result"], events


def test_its_life_is_told_as_events(daemon):
    events = Events(daemon)
    assert events.next()["event"] == "ready"
    one = create(daemon)
    for method, action in (("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
        assert daemon.call(method, f"/v1/sandboxes/{one}{action}").status in (202, 204)
    seen = []
    while not seen or seen[-1][0] != "ended":
        event = events.next()
        if event and event["event"] == "claim" and event["data"]["claim"] == one:
            seen.append((event["data"]["state"], event["data"].get("cause")))
    assert seen == [("running", None), ("pausing", None), ("paused", None), ("running", None), ("ended", "killed")]


def test_renew_and_metadata(daemon, claim):
    path = f"/v1/sandboxes/{claim}"
    for at in ("2035-02-21T02:08:44.002930+00:00", "2034-02-21T02:08:44Z"):
        answer = daemon.call("POST", f"{path}/renew-expiration", json={"expiresAt": at})
        assert answer.status == 200 and answer.json()["expiresAt"].startswith(at[:19])
    assert daemon.call("GET", path).json()["expiresAt"].startswith("2034-02-21T02:08:44")
    for bad in ({"expiresAt": "2001-01-01T00:00:00Z"}, {"expiresAt": "soon"}, {}, {"expiresAt": 5}):
        refused(daemon.call("POST", f"{path}/renew-expiration", json=bad), 400)
    assert daemon.call("PATCH", f"{path}/metadata", json={"a": "1", "b": "2"}).json()["metadata"] == {"a": "1", "b": "2"}
    assert daemon.call("PATCH", f"{path}/metadata", json={"a": None, "z": None}).json()["metadata"] == {"b": "2"}
    assert daemon.call("PATCH", f"{path}/metadata", json={}).json()["metadata"] == {"b": "2"}
    for bad in ({"opensandbox.io/x": "1"}, {"": "1"}, {"-a": "1"}, {"a": "x" * 64}, {"a": "b c"}, {"a": 5}, [1]):
        refused(daemon.call("PATCH", f"{path}/metadata", json=bad), 400)


def test_endpoints(daemon, claim):
    path = f"/v1/sandboxes/{claim}/endpoints"
    host = f"127.0.0.1:{daemon.port}"
    for port in (44772, 18080, 3000, 1, 65535):
        answer = daemon.call("GET", f"{path}/{port}")
        assert answer.json() == {"endpoint": f"{host}/proxy/{port}", "headers": {"X-EXECD-CLAIM": claim}}
        assert answer.header("OPEN-SANDBOX-ORIGIN") == "template"
        assert daemon.call("GET", f"{path}/{port}?use_server_proxy=true").json() == {
            "endpoint": f"{host}/v1/sandboxes/{claim}/proxy/{port}"}
    for bad in ("0", "65536", "-1", "x", "44772?expires=5", "44772?use_server_proxy=maybe"):
        refused(daemon.call("GET", f"{path}/{bad}"), 400)


def test_list_filters_and_pages(daemon):
    mine = [create(daemon, metadata={"group": "list", "n": str(n)}) for n in range(3)]
    where = "/v1/sandboxes?metadata=group%3Dlist"
    first = daemon.call("GET", f"{where}&pageSize=2").json()
    assert [one["id"] for one in first["items"]] == mine[:2]
    assert first["pagination"] == {"page": 1, "pageSize": 2, "totalItems": 3, "totalPages": 2, "hasNextPage": True}
    assert [one["id"] for one in daemon.call("GET", f"{where}&pageSize=2&page=2").json()["items"]] == mine[2:]
    assert daemon.call("GET", f"{where}%26n%3D1").json()["items"][0]["id"] == mine[1]
    assert daemon.call("GET", f"{where}&state=Paused").json()["items"] == []
    assert len(daemon.call("GET", f"{where}&state=Paused&state=Running").json()["items"]) == 3
    for bad in ("page=0", "page=x", "pageSize=201", "pageSize=-1"):
        refused(daemon.call("GET", f"/v1/sandboxes?{bad}"), 400)
    for one in mine:
        daemon.call("DELETE", f"/v1/sandboxes/{one}")


@pytest.mark.parametrize(("method", "path", "status"), [
    ("POST", "/v1/sandboxes/x/snapshots", 501), ("GET", "/v1/snapshots", 501), ("DELETE", "/v1/snapshots/x", 501),
    ("GET", "/v1/templates", 501), ("GET", "/v1/templates/x", 501), ("POST", "/v1/pools", 501),
    ("GET", "/v1/sandboxes/x/networkpolicy", 501), ("PATCH", "/v1/sandboxes/x/networkpolicy", 501),
    ("POST", "/v1/isolated/session", 503), ("GET", "/v1/isolated/sessions", 503),
    ("GET", "/v1/isolated/session/x/files/info", 503)])
def test_what_there_is_not(daemon, method, path, status):
    refused(daemon.call(method, path, json={} if method in ("POST", "PATCH") else None), status)


def test_isolation_says_that_it_is_not_there(daemon):
    body = daemon.call("GET", "/v1/isolated/capabilities").json()
    assert body["available"] is False and body["message"]


def test_two_claims_do_not_see_or_end_each_other_s_work(daemon, sockets):
    a, b = create(daemon, env={"COLOUR": "blue"}), create(daemon)

    def call(claim, method, path, **options):
        return daemon.call(method, path, headers=claimed(claim), **options)

    context = call(a, "POST", "/code/context", json={"language": "python"}).json()["id"]
    session = call(a, "POST", "/session", json={}).json()["session_id"]
    terminal = call(a, "POST", "/pty", json={}).json()["session_id"]
    run = call(a, "POST", "/command", json={"command": "sleep 1000", "background": True})
    command = run.text.split('"text":"')[1].split('"')[0]
    assert call(b, "GET", "/code/contexts").json() == []
    assert call(b, "GET", f"/code/contexts/{context}").status == 404
    assert call(b, "DELETE", f"/code/contexts/{context}").status == 404
    assert call(b, "DELETE", "/code/contexts?language=python").status == 200
    assert call(b, "POST", "/code", json={"code": "1", "context": {"id": context, "language": "python"}}).status == 500
    assert call(b, "DELETE", f"/session/{session}").status == 404
    assert call(b, "POST", f"/session/{session}/run", json={"command": "true"}).status == 500
    assert call(b, "GET", f"/pty/{terminal}").status == 404 and call(b, "DELETE", f"/pty/{terminal}").status == 404
    socket = sockets(attach(daemon, a, terminal))
    typed(socket, "echo it is $COLOUR", b"it is blue")
    for query in ("", "?mode=viewer", "?takeover=1"):
        with pytest.raises(InvalidStatus) as no:
            attach(daemon, b, terminal, query)
        assert no.value.response.status_code == 404
    assert call(b, "GET", f"/command/status/{command}").status == 404
    assert call(b, "GET", f"/command/{command}/logs").status == 400
    assert call(a, "GET", f"/command/{command}/logs").status == 200
    for one in (command, session, context):
        assert call(b, "DELETE", f"/command?id={one}").status == 500
        assert call(b, "DELETE", f"/code?id={one}").status == 500
    # The same by the path that names the claim.
    where = f"/v1/sandboxes/{b}/proxy/44772"
    assert daemon.call("GET", f"{where}/code/contexts").json() == []
    assert daemon.call("GET", f"{where}/command/status/{command}").status == 404
    assert daemon.call("DELETE", f"{where}/session/{session}").status == 404
    # Contexts that nobody made: one a claim.
    for one, text in ((a, "mine = 1"), (b, "print('mine' in globals())")):
        ran = call(one, "POST", "/code", json={"code": text, "context": {"language": "python"}})
        assert "True" not in ran.text and ('False' in ran.text) == (one == b), ran
    # A key of the client's names a start in its own claim only.
    key, starts = [("Idempotency-Key", f"of-{a}")], set()
    for one in (a, b, a):
        again = daemon.call("POST", "/command", json={"command": "echo $COLOUR"}, headers=[*claimed(one), *key])
        assert again.status == 200 and ("blue" in again.text) == (one == a), again
        starts.add(again.text.split('"text":"')[1].split('"')[0])
    assert len(starts) == 2
    assert daemon.call("DELETE", f"/v1/sandboxes/{b}").status == 204
    assert call(a, "GET", f"/command/status/{command}").json()["running"] is True
    assert context in [one["id"] for one in call(a, "GET", "/code/contexts").json()]
    assert call(a, "POST", f"/session/{session}/run", json={"command": "true"}).status == 200
    shell = int(typed(socket, "echo pi''d=$$=", rb"pid=(\d+)=")[1])
    assert alive(shell)
    assert daemon.call("DELETE", f"/v1/sandboxes/{a}").status == 204
    with pytest.raises(ConnectionClosed):
        while True:
            socket.recv(timeout=10)
    assert not alive(shell)
    assert daemon.call("GET", f"/command/status/{command}").json()["running"] is False
    assert context not in [one["id"] for one in daemon.call("GET", "/code/contexts").json()]


def test_the_endpoint_s_token_is_the_claim_s(daemon_with_token):
    daemon = daemon_with_token
    one = create(daemon)
    headers = daemon.call("GET", f"/v1/sandboxes/{one}/endpoints/44772").json()["headers"]
    assert headers["X-EXECD-ACCESS-TOKEN"] != daemon.token
    plain, daemon.headers = daemon.headers, []
    try:
        given = list(headers.items())
        assert daemon.call("POST", "/proxy/44772/command", json={"command": "true"}, headers=given).status == 200
        assert daemon.call("POST", "/command", json={"command": "true"}).status == 401
        assert daemon.call("GET", "/v1/sandboxes").status == 401
        assert daemon.call("DELETE", f"/v1/sandboxes/{one}",
                           headers=[("OPEN-SANDBOX-API-KEY", daemon.token)]).status == 204
        assert daemon.call("POST", "/proxy/44772/command", json={"command": "true"}, headers=given).status == 401
    finally:
        daemon.headers = plain


def test_the_endpoint_s_token_opens_its_own_claim_and_nothing_else(daemon_with_token):
    daemon = daemon_with_token
    a, b = create(daemon, env={"WHOSE": "a's"}), create(daemon)
    token = daemon.call("GET", f"/v1/sandboxes/{a}/endpoints/44772").json()["headers"]["X-EXECD-ACCESS-TOKEN"]
    theirs = daemon.call("POST", "/code/context", json={"language": "bash"}, headers=claimed(b)).json()["id"]
    plain, daemon.headers = daemon.headers, [("X-EXECD-ACCESS-TOKEN", token)]
    try:
        # Whatever the request says of the claim, or does not.
        assert "a's" in daemon.call("POST", "/command", json={"command": "echo $WHOSE"}).text
        assert daemon.call("GET", "/code/contexts").json() == []
        assert daemon.call("DELETE", f"/code/contexts/{theirs}").status == 404
        refused(daemon.call("POST", "/command", json={"command": "true"}, headers=claimed(b)), 404)
        refused(daemon.call("GET", f"/v1/sandboxes/{b}/proxy/44772/code/contexts"), 404)
        assert daemon.call("GET", f"/v1/sandboxes/{a}/proxy/44772/code/contexts").status == 200
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/endpoints/1"),
                             ("GET", "/diagnostics/logs")):
            refused(daemon.call(method, f"/v1/sandboxes/{b}{path}"), 404, "DOCKER::SANDBOX_NOT_FOUND")
        refused(daemon.call("GET", "/v1/sandboxes"), 403)
        refused(daemon.call("POST", "/v1/sandboxes", json=BODY), 403)
        assert daemon.call("GET", f"/v1/sandboxes/{a}").json()["id"] == a
        assert daemon.call("DELETE", f"/v1/sandboxes/{a}").status == 204
        assert daemon.call("GET", "/code/contexts").status == 401
    finally:
        daemon.headers = plain
    assert daemon.call("GET", "/code/contexts", headers=claimed(b)).json()[0]["id"] == theirs
    assert daemon.call("DELETE", f"/v1/sandboxes/{b}").status == 204


def test_every_answer_of_the_lifecycle_has_its_shape_and_a_number(daemon_with_token):
    daemon = daemon_with_token
    one = create(daemon, platform={"os": "linux", "arch": OWN_ARCHITECTURE})
    path = f"/v1/sandboxes/{one}"
    asked = [("GET", path, None, 200), ("GET", "/v1/sandboxes", None, 200), ("POST", f"{path}/pause", None, 202),
             ("POST", f"{path}/pause", None, 409), ("POST", f"{path}/resume", None, 202),
             ("PATCH", f"{path}/metadata", {"-": "-"}, 400), ("GET", "/v1/sandboxes/never", None, 404),
             ("POST", f"{path}/snapshots", {}, 501), ("GET", "/v1/pools", None, 501), ("DELETE", path, None, 204)]
    assert daemon.call("GET", path).json()["platform"] == {"os": "linux", "arch": OWN_ARCHITECTURE}
    numbers = set()
    for method, target, body, status in asked:
        answer = daemon.call(method, target, **({} if body is None else {"json": body}))
        assert answer.status == status, answer
        numbers.add(answer.header("X-Request-ID"))
        assert status < 400 or set(answer.json()) == {"code", "message"}, answer
    assert None not in numbers and len(numbers) == len(asked)
    with daemon.wire() as wire:
        for target in ("/v1/sandboxes", path, "/proxy/44772/v1/snapshots"):
            answer = wire.request("GET", target)
            assert answer.status == 401 and set(answer.json()) == {"code", "message"}, answer
        assert set(wire.request("GET", f"{path}/proxy/44772/files/info").json()) == {"error"}


def test_the_daemon_ends_with_its_last_claim(fresh_daemon):
    daemon = fresh_daemon(env={"EXECD_EXIT_WITH_LAST_CLAIM": "on"}, python=False)
    a, b = create(daemon), create(daemon)
    assert daemon.call("DELETE", f"/v1/sandboxes/{a}").status == 204
    assert daemon.call("GET", "/ping").status == 200
    assert daemon.call("DELETE", f"/v1/sandboxes/{b}").status == 204
    assert daemon.proc.wait(20) == 0


def test_a_deadline_ends_the_claim(daemon):
    one = create(daemon, timeout=1)
    until = time.monotonic() + 20
    while daemon.call("GET", f"/v1/sandboxes/{one}").status == 200 and time.monotonic() < until:
        pass
    assert daemon.call("GET", f"/v1/sandboxes/{one}").status == 404


def test_lifecycle_off(fresh_daemon):
    daemon = fresh_daemon(env={"EXECD_LIFECYCLE": "off"}, python=False)
    assert daemon.call("POST", "/v1/sandboxes", json=BODY).status == 404
    assert daemon.call("GET", "/v1/snapshots").status == 404
    assert daemon.call("GET", "/v1/isolated/capabilities").status == 200


def test_ready_and_no_init(daemon):
    eventually(lambda: daemon.call("GET", "/ready").status == 200, what="/ready answering 200")
    assert daemon.call("GET", "/ready").json() == {"initialized": True, "sandboxId": "", "generation": 0}
    assert daemon.call("POST", "/internal/init", json={}).status == 404


def test_runtime_init_happens_once(fresh_daemon):
    daemon = fresh_daemon(env={"EXECD_RUNTIME_INIT": "1"}, python=False)
    assert daemon.call("GET", "/ready").status == 503
    early = daemon.call("POST", "/command", json={"command": "true"})
    assert early.status == 503 and "not initialized" in early.json()["error"]
    token = "canary-77"
    body = {"sandboxId": "s-1", "generation": 3, "entrypointPolicy": "keep", "envs": {"FROM_INIT": "yes"},
            "accessTokenHash": "sha256:" + hashlib.sha256(token.encode()).hexdigest()}
    for bad, status in (({"entrypointPolicy": "restart"}, 501), ({"entrypointPolicy": "x"}, 400),
                        ({"accessTokenHash": "md5:1"}, 400), ({"envs": {"A=B": "1"}}, 400),
                        ({"lifecycle": {"preStart": "x"}}, 501)):
        assert daemon.call("POST", "/internal/init", json={**body, **bad}).status == status
    assert daemon.call("POST", "/internal/init", json=body).status == 200
    assert daemon.call("POST", "/internal/init", json=body).status == 409
    assert daemon.call("GET", "/ready").json() == {"initialized": True, "sandboxId": "s-1", "generation": 3}
    assert daemon.call("POST", "/command", json={"command": "true"}).status == 401
    run = daemon.call("POST", "/command", json={"command": "echo $FROM_INIT"}, headers=[("X-EXECD-ACCESS-TOKEN", token)])
    assert run.status == 200 and '"yes' in run.text


def test_runtime_init_is_for_every_dialect(fresh_daemon):
    """Nothing is served before it, each refusal in its dialect's shape; what it brings reaches the children of all."""
    daemon = fresh_daemon(env={"EXECD_RUNTIME_INIT": "1"}, python=False)
    assert daemon.call("GET", "/health").status == 200 and daemon.call("GET", "/ping").status == 200
    for method, path, status, message in [
            ("GET", "/contexts", 503, lambda body: body["message"]),
            ("POST", "/sandboxes", 503, lambda body: body["error"]["message"]),
            ("GET", "/api/templates", 503, lambda body: body["message"]),
            ("POST", "/api/v1/auth/token", 502, lambda body: body["error"]),
            ("GET", "/execd/v1/executions", 503, lambda body: body["error"]["message"]),
            ("POST", "/v1/sandboxes", 503, lambda body: body["error"]),
            ("GET", "/proxy/44772/code/contexts", 503, lambda body: body["error"])]:
        answer = daemon.call(method, path, json={} if method == "POST" else None)
        assert answer.status == status and "not initialized" in message(answer.json()), answer
    envs = {"FROM_INIT": "yes", "PATH": "/opt/init:/usr/local/bin:/usr/bin:/bin"}
    assert daemon.call("POST", "/internal/init", json={"sandboxId": "s-1", "envs": envs}).status == 200

    def post(path, body, headers=(), method="POST"):
        answer = daemon.call(method, path, json=body, headers=headers)
        assert answer.status < 300, answer
        return answer.json() if answer.header("Content-Type").startswith("application/json") else answer.text

    echo, seen = "echo $FROM_INIT:${PATH%%:*}", "yes:/opt/init"
    assert seen in post("/command", {"command": echo})
    assert post("/processes/cmd", {"command": echo, "cwd": "/"})["stdout"].strip() == seen
    ended = post("/execd/v1/executions/init-1", {"shell": echo, "wait_ms": 20_000}, method="PUT")
    assert daemon.call("GET", f"/execd/v1/executions/{ended['id']}/output").text.strip() == seen
    box = post("/api/sandboxes/create", {"template_id": "bash"})["sandbox"]["id"]
    assert post(f"/api/sandboxes/{box}/terminal", {"command": echo})["output"].strip() == seen
    key = [("Authorization", "Bearer " + post("/api/v1/auth/token", {"user_id": "u"})["access_token"])]
    post("/api/v1/sessions", {}, key)
    cloud = post("/api/v1/sandbox/acquire", {}, key)["sandbox_id"]
    ran = post("/api/v1/execute", {"sandbox_id": cloud, "command": ["sh", "-c", echo]}, key)
    assert ran["stdout"].strip() == seen
    # Code contexts: the container's, and a claim's.
    assert seen in post("/contexts/execute", {"code": echo, "language": "bash"})["stdout"]
    assert seen in post(f"/api/sandboxes/{box}/execute", {"code": echo})["logs"]["stdout"]
    assert seen in post("/code", {"code": echo, "context": {"language": "bash"}})
    # EXECD_ENVS comes after it, and a claim's own after both.
    claim = create(daemon, env={"FROM_INIT": "claimed"})
    assert "claimed:/opt/init" in post("/command", {"command": echo}, claimed(claim))
    daemon.call("POST", "/command", json={"command": "echo FROM_INIT=file > $EXECD_ENVS"})
    assert "file:/opt/init" in post("/command", {"command": echo})
    assert "claimed:/opt/init" in post("/command", {"command": echo}, claimed(claim))
