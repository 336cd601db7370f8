"""The daemon's log carries no user output, no source and no file content, at any level and whatever fails."""

import json

import pytest

from harness import frames
from harness.daemon import Daemon

MARK = "user-words-5c1e"


@pytest.fixture(scope="module")
def talkative():
    one = Daemon(args=["--log-level", "debug"]).listening()
    yield one
    one.stop()


def test_what_users_write_stays_out_of_the_log(talkative, work):
    made = work / "note.txt"
    assert f"{MARK}-out" in talkative.shell(f"echo {MARK}-out; echo {MARK}-err >&2; export SECRET={MARK}-env")
    talkative.command(f"echo {MARK}-fails; exit 3", envs={"GIVEN": f"{MARK}-given"})
    talkative.command(f"/no/such/{MARK}-program")
    assert f"{MARK}-code" in frames.joined(talkative.code(f"print('{MARK}-code')"))
    talkative.code(f"raise ValueError('{MARK}-raised')")
    body = json.dumps({"path": str(made), "content": f"{MARK}-content"})
    talkative.call("POST", "/sandboxes/any/files", body.encode(), [("Content-Type", "application/json")])
    assert MARK in made.read_text()
    assert MARK in talkative.call("GET", f"/files/download?path={made}").body.decode()
    talkative.call("POST", "/command", json={"command": [f"{MARK}-wrong-type"]})
    written = "\n".join(line for line in talkative.log + talkative.err if line)
    assert '"event"' in written and MARK not in written, [line for line in written.splitlines() if MARK in line]
