"""The token X-EXECD-ACCESS-TOKEN: opensandbox.md 1.0, 9, 10; DESIGN 7 (public: liveness, readiness, static)."""

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from harness import frames
from harness.daemon import run_once
from harness.wire import build

BODY_401 = b'{"error":"Unauthorized: invalid or missing header X-EXECD-ACCESS-TOKEN"}'
NAME = "X-EXECD-ACCESS-TOKEN"

PROTECTED = [
    ("POST", "/command"), ("DELETE", "/command?id=x"), ("POST", "/code"), ("DELETE", "/code?id=x"),
    ("POST", "/code/context"), ("GET", "/code/contexts"), ("DELETE", "/code/contexts?language=python"),
    ("GET", "/code/contexts/x"), ("DELETE", "/code/contexts/x"), ("GET", "/files/info"), ("POST", "/files/upload"),
    ("GET", "/files/download"), ("GET", "/files/search"), ("POST", "/files/mv"), ("POST", "/files/permissions"),
    ("POST", "/files/replace"), ("DELETE", "/files?path=/x"), ("GET", "/directories/list"), ("POST", "/directories"),
    ("DELETE", "/directories?path=/x"), ("GET", "/ping/nope"), ("POST", "/files/nope/deeper"), ("GET", "/command"),
    ("GET", "/proxy/8080/x"), ("GET", "/proxy"), ("GET", "/command/status/x"), ("GET", "/metrics"),
    ("POST", "/session"), ("POST", "/pty"), ("GET", "/v1/isolated/capabilities"),
]


def refused(answer):
    assert answer.status == 401, answer
    assert answer.body == BODY_401
    assert answer.header("Content-Type") == "application/json; charset=utf-8"


@pytest.mark.parametrize(("method", "target"), PROTECTED)
def test_everything_else_needs_the_token(daemon_with_token, method, target):
    with daemon_with_token.wire() as wire:
        refused(wire.request(method, target))
        refused(wire.request(method, target, [(NAME, "wrong")]))
    with daemon_with_token.wire() as wire:
        assert wire.request(method, target, [(NAME, daemon_with_token.token)]).status != 401


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_paths_that_nobody_owns_need_it_too(daemon_with_token, method):
    with daemon_with_token.wire() as wire:
        assert wire.request(method, "/nope/deeper").status == 401
        assert wire.request(method, "/nope/deeper", [(NAME, daemon_with_token.token)]).status == 404


@pytest.mark.parametrize("value", ["", " ", "conformance-token-471", "conformance-token-47110",
                                   "CONFORMANCE-TOKEN-4711", "Bearer conformance-token-4711"])
def test_nearly_right_is_wrong(daemon_with_token, value):
    with daemon_with_token.wire() as wire:
        refused(wire.request("GET", "/files/info", [(NAME, value)]))


def test_the_token_is_found_by_its_case_insensitive_name_and_nowhere_else(daemon_with_token):
    token = daemon_with_token.token
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", "/files/info", [(NAME.lower(), token)]).status == 200
        refused(wire.request("GET", f"/files/info?{NAME}={token}&access_token={token}&token={token}"))
        refused(wire.request("GET", "/files/info", [("Cookie", f"{NAME}={token}")]))


def test_two_token_headers_are_refused(daemon_with_token):
    with daemon_with_token.wire() as wire:
        refused(wire.request("GET", "/files/info", [(NAME, "wrong"), (NAME, daemon_with_token.token)]))


@pytest.mark.parametrize("target", ["/ping", "/health", "/execd/v1/ready", "/ping/"])
@pytest.mark.parametrize("headers", [[], [(NAME, "wrong")]])
def test_liveness_and_readiness_are_public(daemon_with_token, target, headers):
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", target, headers).status in (200, 503)


@pytest.mark.parametrize("target", ["/ping/../files/info", "/%70ing/../files/info", "//files/info", "/files/info/",
                                    "/files/%69nfo", "/ping%2f..%2ffiles/info", "/health/../command", "/ping/x"])
def test_no_spelling_of_a_path_gets_around_the_token(daemon_with_token, target):
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", target).status in (400, 401)


def test_a_refusal_comes_before_the_body_and_keeps_the_connection_right(daemon_with_token):
    with daemon_with_token.wire() as wire:
        wire.send(build("POST", "/files/upload", [("Content-Length", "1000000"), ("Expect", "100-continue")]))
        refused(wire.response())
    with daemon_with_token.wire() as wire:
        answer = wire.request("POST", "/command", body=json.dumps({"command": "true"}).encode())
        refused(answer)
        if answer.header("Connection", "keep-alive").lower() != "close":
            assert wire.request("GET", "/ping").status == 200


def test_a_refused_command_did_not_run(daemon_with_token, work):
    with daemon_with_token.wire() as wire:
        refused(wire.request("POST", "/command", body=json.dumps({"command": f"touch {work}/ran"}).encode()))
    assert daemon_with_token.shell("echo sync") == "sync\n"
    assert not (work / "ran").exists()


def test_bad_json_without_a_token_is_401_not_400(daemon_with_token):
    with daemon_with_token.wire() as wire:
        refused(wire.request("POST", "/command", body=b"{broken"))


def test_children_never_see_the_token(daemon_with_token):
    one = daemon_with_token
    assert one.token not in one.shell("env; cat /proc/$PPID/environ /proc/$PPID/cmdline 2>/dev/null | tr '\\0' '\\n'"
                                      " | grep -v EXECD_ACCESS_TOKEN")
    assert "EXECD_ACCESS_TOKEN" not in one.shell("env")
    events = one.code("import os; print(dict(os.environ))")
    assert "EXECD_ACCESS_TOKEN" not in frames.joined(events)
    assert one.token not in frames.joined(events)


def test_the_log_never_has_the_token_nor_output(daemon_with_token):
    one = daemon_with_token
    one.shell("echo secret-output-canary-93")
    with one.wire() as wire:
        wire.request("GET", "/files/info", [(NAME, "wrong-token-canary-94")])
    written = "\n".join(line for line in one.log + one.err if line)
    for canary in (one.token, "secret-output-canary-93", "wrong-token-canary-94"):
        assert canary not in written


def ticket(one, **terms):
    answer = one.call("POST", "/execd/v1/tickets", json=terms)
    assert answer.status == 201 and answer.header("Cache-Control") == "no-store", answer
    assert answer.json()["expires_in"] == terms.get("life_seconds", 30)
    return answer.json()["ticket"]


def test_a_ticket_opens_its_path_where_no_header_can_be_set(daemon_with_token):
    one = daemon_with_token
    of_all, of_files, of_one_use = ticket(one), ticket(one, path="/files"), ticket(one, uses=1)
    with one.wire() as wire:
        for target in ("/files/info", "/execd/v1/executions", "/metrics", "/contexts"):
            assert wire.request("GET", f"{target}?ticket={of_all}").status not in (401, 403), target
        assert wire.request("GET", f"/files/info?ticket={of_files}").status == 200
        for target in ("/metrics", "/filesx/info", "/%66iles/info", "/execd/v1/executions"):
            assert wire.request("GET", f"{target}?ticket={of_files}").status == 401, target
        assert wire.request("GET", f"/metrics?ticket={of_one_use}").status == 200
        assert wire.request("GET", f"/metrics?ticket={of_one_use}").status == 401
        for wrong in ("", of_all[:-1], of_all + "0", one.token):
            assert wire.request("GET", f"/metrics?ticket={wrong}").status == 401
        # It is a ticket, no token.
        for headers in ([(NAME, of_all)], [("Authorization", f"Bearer {of_all}")]):
            assert wire.request("GET", "/metrics", headers).status == 401


def test_a_ticket_makes_no_tickets(daemon_with_token):
    one = daemon_with_token
    with one.wire() as wire:
        assert wire.request("POST", f"/execd/v1/tickets?ticket={ticket(one)}", [], b"{}").status == 403
        assert wire.request("POST", "/execd/v1/tickets", [], b"{}").status == 401


@pytest.mark.parametrize("terms", [{"path": "files"}, {"path": ""}, {"life_seconds": 0}, {"life_seconds": 3601}, {"uses": 0},
                                   {"uses": 10**12}, {"more": 1}, {"life_seconds": "30"}])
def test_bad_terms_of_a_ticket(daemon_with_token, terms):
    assert daemon_with_token.call("POST", "/execd/v1/tickets", json=terms).status == 400


def test_a_browser_opens_a_websocket_by_a_ticket(daemon_with_token):
    one = daemon_with_token
    ident = one.call("POST", "/pty", json={}).json()["session_id"]
    url = f"ws://127.0.0.1:{one.port}/pty/{ident}/ws"
    with pytest.raises(InvalidStatus):
        connect(url, compression=None)
    with connect(f"{url}?ticket={ticket(one, path=f'/pty/{ident}', uses=1)}", compression=None) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "connected"
    one.call("DELETE", f"/pty/{ident}")


def test_the_flag_wins_over_the_environment(fresh_daemon):
    one = fresh_daemon(env={"EXECD_ACCESS_TOKEN": "from-env"}, args=["--access-token", "from-flag"])
    with one.wire() as wire:
        refused(wire.request("GET", "/files/info", [(NAME, "from-env")]))
        assert wire.request("GET", "/files/info", [(NAME, "from-flag")]).status == 200


def test_an_empty_token_is_none(fresh_daemon):
    assert fresh_daemon(env={"EXECD_ACCESS_TOKEN": ""}).call("GET", "/files/info").status == 200


def test_doctor_does_not_print_the_token():
    done = run_once("doctor", env={"EXECD_ACCESS_TOKEN": "doctor-canary-95"})
    assert "doctor-canary-95" not in done.stdout + done.stderr
