"""The token X-EXECD-ACCESS-TOKEN: opensandbox.md 1.0, 9, 10; DESIGN 7 (public: liveness, readiness, static)."""

import json

import pytest

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
