"""AgentRun's terminal: agentrun.md 2.5. When a silent client is warned and sent away is tested in virtual time
(tests/unit/execd/agentrun_test.cpp), and with EXECD_TEST_FULL on a real socket."""

import json
import os
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness import processes


def open_terminal(daemon, query="", prefix=""):
    return connect(f"ws://127.0.0.1:{daemon.port}{prefix}/processes/tty{query}", open_timeout=20, close_timeout=5)


def until(socket, text, key="data"):
    """Frames until the output has `text`."""
    seen = ""
    while text not in seen:
        frame = json.loads(socket.recv(20))
        if frame["type"] == "output":
            assert frame["stream"] == "stdout"
            seen += frame[key]
    return seen


@pytest.mark.parametrize("prefix", ["", "/sandboxes/x"])
def test_json(daemon, prefix):
    with open_terminal(daemon, "?tenantId=t", prefix) as socket:
        hello = json.loads(socket.recv(20))
        assert hello["type"] == "connectionEstablished" and hello["sessionId"]
        socket.send(json.dumps({"type": "resize", "rows": 33, "cols": "101"}))
        socket.send(json.dumps({"type": "input", "data": "stty size; echo h\u00e9-$((40+2))\n"}))
        seen = until(socket, "h\u00e9-42\r\n")
        assert "33 101" in seen
        socket.send(json.dumps({"type": "ping"}))
        while (frame := json.loads(socket.recv(20)))["type"] == "output":
            pass
        assert frame == {"type": "pong"}
        socket.send("no json")
        while (frame := json.loads(socket.recv(20)))["type"] == "output":
            pass
        assert frame["type"] == "status" and frame["status"] == "error"
        socket.send(json.dumps({"type": "input", "data": "exit 5\n"}))
        frames = []
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                frames.append(json.loads(socket.recv(20)))
        assert caught.value.rcvd.code == 1000
        assert [f["type"] for f in frames if f["type"] != "output"] == ["status", "connectionClosing"]
        assert next(f for f in frames if f["type"] == "status")["exitCode"] == "5"


def test_text(daemon):
    with open_terminal(daemon, "?protocol=text") as socket:
        socket.send(struct.pack(">II", 44, 123))
        socket.send("stty size; echo t-$((40+2))\n")
        seen = ""
        while "t-42\r\n" not in seen:
            piece = socket.recv(20)
            assert isinstance(piece, str)
            seen += piece
        assert "44 123" in seen


def test_ctrl_c_reaches_the_foreground_job(daemon):
    with open_terminal(daemon) as socket:
        socket.send(json.dumps({"type": "input", "data": "sleep 4711; echo after-$((1+1))\n"}))
        until(socket, "sleep 4711")
        processes.eventually(lambda: "sleep 4711" in daemon.call("GET", "/processes").text, what="sleep runs")
        socket.send(json.dumps({"type": "input", "data": "\x03"}))
        socket.send(json.dumps({"type": "input", "data": "echo back-$((1+1))\n"}))
        assert "after-2" not in until(socket, "back-2\r\n")


def test_leaving_kills_the_shell_at_once(daemon):
    with open_terminal(daemon) as socket:
        socket.send(json.dumps({"type": "input", "data": "echo pid=$$'.'\n"}))
        seen = until(socket, ".\r\n")
        pid = int(seen.rsplit("pid=", 1)[1].split(".")[0])
        assert os.path.exists(f"/proc/{pid}")
    processes.eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="the shell has ended")


if os.environ.get("EXECD_TEST_FULL"):  # a client is silent for two minutes
    def test_a_silent_client_is_warned_and_sent_away(daemon):
        with open_terminal(daemon) as socket:
            begun = time.monotonic()
            frames = []
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    frames.append((json.loads(socket.recv(130)), time.monotonic() - begun))
            closed = time.monotonic() - begun
        told = [(frame["type"], at) for frame, at in frames if frame["type"] not in ("output", "connectionEstablished")]
        assert [kind for kind, _ in told] == ["timeoutWarning", "connectionClosing"], told
        assert 89 < told[0][1] < 100 and 119 < closed < 130 and caught.value.rcvd.code == 1000, (told, closed)


def test_what_is_no_handshake_or_protocol_is_refused(daemon):
    assert daemon.call("GET", "/processes/tty").status == 400
    with pytest.raises(InvalidStatus) as caught:
        open_terminal(daemon, "?protocol=morse")
    assert caught.value.response.status_code == 400


def test_the_token_in_the_query(daemon_with_token):
    one = daemon_with_token
    with pytest.raises(InvalidStatus) as caught:
        open_terminal(one)
    assert caught.value.response.status_code == 401
    with open_terminal(one, f"?Authorization={one.token}") as socket:
        assert json.loads(socket.recv(20))["type"] == "connectionEstablished"
