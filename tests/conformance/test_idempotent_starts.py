"""Idempotency-Key on every route that starts something (issue C 6): the same request attaches, another is a conflict."""

import os
import uuid

import pytest

from harness import frames
from test_secrets import Jwt


def a_key():
    return [("Idempotency-Key", uuid.uuid4().hex)]


def test_a_retry_attaches_also_when_the_first_one_removed_its_directory(daemon, work):
    (work / "gone").mkdir()
    key, body = a_key(), {"command": f"rm -rf {work}/gone; echo did", "cwd": f"{work}/gone"}
    first, again = (daemon.events_of("/command", dict(body), key) for _ in range(2))
    assert first[0]["text"] == again[0]["text"]
    assert frames.joined(first) == frames.joined(again) == "did\n"
    assert daemon.call("POST", "/command", json=body).status == 400  # without the key it is a new one


def test_background_commands(daemon):
    key, body = a_key(), {"command": "echo $RANDOM$RANDOM", "background": True}
    first, again = (daemon.events_of("/command", dict(body), key) for _ in range(2))
    assert first[0]["text"] == again[0]["text"] and again[-1]["type"] == "execution_complete"


@pytest.mark.parametrize(("path", "status"), [("/session", 200), ("/pty", 201)])
def test_sessions_and_terminals(daemon, work, path, status):
    (work / "there").mkdir()
    key, body = a_key(), {"cwd": f"{work}/there"}
    answers = [daemon.call("POST", path, json=body, headers=key) for _ in range(2)]
    assert [a.status for a in answers] == [status] * 2
    ident = answers[0].json()["session_id"]
    assert answers[1].json()["session_id"] == ident and str(uuid.UUID(ident)) == ident
    other = daemon.call("POST", path, json={"cwd": "/"}, headers=key)
    assert other.status == 409 and other.json()["code"] == "IDEMPOTENCY_CONFLICT"
    assert daemon.call("POST", path, json=body, headers=[("Idempotency-Key", "a b")]).status == 400
    assert daemon.call("DELETE", f"{path}/{ident}").status == 200
    # A key is known as long as what it started.
    new = daemon.call("POST", path, json={"cwd": "/"}, headers=key)
    assert new.status == status
    daemon.call("DELETE", f"{path}/{new.json()['session_id']}")


@pytest.fixture
def runs(daemon):
    ident = daemon.call("POST", "/session").json()["session_id"]
    yield f"/session/{ident}/run"
    daemon.call("DELETE", f"/session/{ident}")


def test_commands_of_a_session(daemon, work, runs):
    (work / "gone").mkdir()
    key, body = a_key(), {"command": f"echo once >> {work}/log; rm -r {work}/gone; cat {work}/log; false",
                          "cwd": f"{work}/gone"}
    first, again = (daemon.events_of(runs, dict(body), key) for _ in range(2))
    assert frames.joined(first) == frames.joined(again) == "once\n"
    assert frames.exit_of(first) == frames.exit_of(again) == 1
    other = daemon.call("POST", runs, json={"command": "true"}, headers=key)
    assert other.status == 409 and other.json()["code"] == "IDEMPOTENCY_CONFLICT"
    assert daemon.call("POST", runs, json=body, headers=[("Idempotency-Key", "a b")]).status == 400
    assert daemon.call("POST", runs, json=body).status == 400  # without the key it is a new one


def test_a_command_of_a_session_waits_for_its_client_to_come_back(daemon, work, runs):
    """Without a key it ends with its client; with one the second request sees all of its output."""
    gate, key = work / "gate", a_key()
    os.mkfifo(gate)
    body = {"command": f"echo early; read x < {gate}; echo $x"}
    with daemon.stream(runs, dict(body), key) as stream:
        assert stream.until("stdout")["text"].startswith("early")
        stream.wire.reset()
    busy = daemon.events_of(runs, {"command": "true"})
    assert frames.terminal(busy)["type"] == "error"  # it still runs
    with daemon.stream(runs, dict(body), key) as stream:
        assert stream.until("stdout")["text"].startswith("early")
        gate.write_text("late\n")
        assert stream.until("stdout")["text"].startswith("late")
        assert stream.until("execution_complete")
    assert frames.joined(daemon.events_of(runs, {"command": "echo free"})) == "free\n"


def test_agentrun_commands(daemon, work):
    key, body = a_key(), {"command": f"echo run >> {work}/runs; cat {work}/runs", "cwd": "/"}
    answers = [daemon.call("POST", "/processes/cmd", json=body, headers=key).json() for _ in range(2)]
    assert answers[0]["executionId"] == answers[1]["executionId"]
    assert answers[0]["stdout"] == answers[1]["stdout"] == "run\n"
    assert daemon.call("POST", "/processes/cmd", json={**body, "cwd": "/usr"}, headers=key).status == 409
    assert daemon.call("POST", "/processes/cmd", json=body, headers=[("Idempotency-Key", "a b")]).status == 400


def test_the_scope_is_dialect_and_route(daemon):
    """One key on three routes starts three things."""
    key = a_key()
    ids = {daemon.events_of("/command", {"command": "true"}, key)[0]["text"],
           daemon.call("POST", "/processes/cmd", json={"command": "true", "cwd": "/"}, headers=key).json()[
               "executionId"],
           daemon.call("POST", "/execd/v1/executions", json={"shell": "true"}, headers=key).json()["id"]}
    assert len(ids) == 3


def test_the_scope_is_the_principal_too(fresh_daemon, tmp_path):
    """The same key, route and request of two principals start two things; each of them finds its own again."""
    jwt = Jwt(tmp_path)
    daemon = fresh_daemon(args=["--access-token", "token-5"], env={"JWT_PUBLIC_KEY": jwt.public}, python=False)
    key = a_key()
    ids = [daemon.call("POST", "/execd/v1/executions", json={"shell": "true"}, headers=[*key, who]).json()["id"]
           for who in [("X-EXECD-ACCESS-TOKEN", "token-5"), ("Authorization", f"Bearer {jwt.token}")] * 2]
    assert ids[0] == ids[2] != ids[1] == ids[3], ids
