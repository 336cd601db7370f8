"""An image whose only shell is a POSIX sh (dash, busybox): sessions and terminals all the same (issue C 4, 5)."""

import json
import os
import shutil

import pytest
from websockets.sync.client import connect

from harness import frames, processes
from harness.daemon import Daemon


@pytest.fixture(scope="module", params=["dash", "busybox"])
def plain(request, tmp_path_factory):
    tools = tmp_path_factory.mktemp("bin")
    os.symlink(shutil.which(request.param), tools / "sh")
    for name in ("cat", "sleep", "stty"):
        os.symlink(os.path.realpath(shutil.which(name)), tools / name)
    one = Daemon(env={"PATH": str(tools)}, python=False).listening()
    yield one
    one.stop()


@pytest.fixture
def session(plain):
    answer = plain.call("POST", "/session")
    assert answer.status == 200, answer
    ident = answer.json()["session_id"]
    yield lambda command, **fields: plain.events_of(f"/session/{ident}/run", {"command": command, **fields})
    assert plain.call("DELETE", f"/session/{ident}").status == 200


def out(events):
    assert frames.exit_of(events) == 0, events
    return frames.joined(events)


def test_state_persists(session, plain):
    session(f"export A=1; b='x y'; f() {{ echo f $1; }}; alias g='echo g'; cd {plain.work}")
    assert out(session("echo $A; echo \"$b\"; f 2; g 3; pwd; echo ${BASH_VERSION-none}")) == \
        f"1\nx y\nf 2\ng 3\n{plain.work}\nnone\n"
    assert out(session("echo $C", envs={"C": "it's"})) == "it's\n"
    assert out(session("cat <<'E'\n$here\nE\nprintf tail")) == "$here\ntail"
    assert out(session("sleep 1000 & kill -0 $! && echo on")) == "on\n"


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("false", 1), ("exec sh -c 'exit 5'", 5), ("if then", 2),
                                               ("set -e; false; echo no", 1), ("kill -9 $$", -1)])
def test_every_end_leaves_the_session_usable(session, plain, command, code):
    session(f"cd {plain.work}; export KEPT=yes")
    assert frames.exit_of(session(command)) == code
    assert out(session("pwd; echo $KEPT")) == f"{plain.work}\nyes\n"


def test_a_timeout_keeps_the_state(session):
    session("v=1")
    events = session("sleep 1000", timeout=100)
    assert "error" in frames.kinds(events)
    assert out(session("echo $v")) == "1\n"


def test_a_terminal(plain):
    ident = plain.call("POST", "/pty").json()["session_id"]
    with connect(f"ws://127.0.0.1:{plain.port}/pty/{ident}/ws", compression=None) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "connected"
        socket.send(json.dumps({"type": "resize", "cols": 99, "rows": 33}))
        socket.send(b"\0stty size; echo e''nd; exit 4\n")
        seen, texts = b"", []
        for frame in socket:
            if isinstance(frame, bytes):
                seen += frame[1:]
            else:
                texts.append(json.loads(frame))
        assert b"33 99" in seen and b"end" in seen
        assert texts[-1] == {"type": "exit", "exit_code": 4}
    assert plain.call("DELETE", f"/pty/{ident}").status == 200
    processes.eventually(lambda: not processes.children(plain.pid), what="no child left")
