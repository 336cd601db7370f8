"""Idempotency-Key on the routes that start commands (issue C 6): the same request attaches, another is a conflict."""

import uuid

from harness import frames


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


def test_the_scope_is_dialect_and_route(daemon):
    """One key on two routes starts two things."""
    key = a_key()
    ids = {daemon.events_of("/command", {"command": "true"}, key)[0]["text"],
           daemon.call("POST", "/execd/v1/executions", json={"shell": "true"}, headers=key).json()["id"]}
    assert len(ids) == 2
