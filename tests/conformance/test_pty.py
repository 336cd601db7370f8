"""Terminals over WebSocket: opensandbox.md 1.9, 11, 13.7."""

import json
import struct
import uuid

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


@pytest.fixture
def terminal(daemon):
    made = []

    def create(**body):
        answer = daemon.call("POST", "/pty", json=body)
        assert answer.status == 201, answer
        made.append(answer.json()["session_id"])
        assert str(uuid.UUID(made[-1])) == made[-1]
        return made[-1]

    yield create
    for ident in made:
        daemon.call("DELETE", f"/pty/{ident}")


def attach(daemon, ident, query=""):
    return connect(f"ws://127.0.0.1:{daemon.port}/pty/{ident}/ws{query}", compression=None, max_size=None)


def read_until(socket, text):
    seen = b""
    while text not in seen:
        frame = socket.recv(timeout=10)
        if isinstance(frame, bytes):
            assert frame[0] in (1, 2)
            seen += frame[1:]
    return seen


def first_connected(socket):
    frame = json.loads(socket.recv(timeout=10))
    assert frame["type"] == "connected"
    return frame


def test_connect_type_exit(daemon, terminal):
    ident = terminal()
    with attach(daemon, ident) as socket:
        assert first_connected(socket) == {"type": "connected", "session_id": ident, "mode": "pty"}
        socket.send(b"\0echo h''i; exit 4\n")
        frames = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                frames.append(socket.recv(timeout=10))
        assert json.loads(frames[-1]) == {"type": "exit", "exit_code": 4}
        assert b"hi" in b"".join(f[1:] for f in frames if isinstance(f, bytes))
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "process exited")
    row = daemon.call("GET", f"/pty/{ident}").json()
    assert row["session_id"] == ident and row["running"] is False and row["output_offset"] > 0


def test_resize_signal_ping_and_bad_frames(daemon, terminal):
    with attach(daemon, terminal()) as socket:
        first_connected(socket)
        socket.send(json.dumps({"type": "resize", "cols": 123, "rows": 45}))
        socket.send(json.dumps({"type": "stdin", "data": "stty size\n"}))
        assert b"45 123" in read_until(socket, b"45 123")
        socket.send(json.dumps({"type": "stdin", "data": "sleep 310\n"}))
        socket.send(b"\0\x03")
        socket.send(b"\0echo back $?\n")
        assert b"back 130" in read_until(socket, b"back 130")
        socket.send("not json")
        socket.send(json.dumps({"type": "ping"}))
        socket.send(json.dumps({"type": "nonsense"}))
        texts = []
        while len(texts) < 2:
            frame = socket.recv(timeout=10)
            if isinstance(frame, str):
                texts.append(json.loads(frame))
        assert texts == [{"type": "pong"}, {"type": "error", "code": "INVALID_FRAME",
                                            "error": 'unknown frame type "nonsense"'}]


def test_replay_from_an_offset(daemon, terminal):
    ident = terminal(command="printf 0123456789; read x")
    with attach(daemon, ident) as socket:
        first_connected(socket)
        read_until(socket, b"0123456789")
    with attach(daemon, ident, "?since=4") as socket:
        frame = socket.recv(timeout=10)
        assert frame == b"\x03" + struct.pack(">Q", 4) + b"456789"
        first_connected(socket)


def test_a_second_client_is_409_and_takeover_evicts(daemon, terminal):
    ident = terminal()
    with attach(daemon, ident) as holder:
        first_connected(holder)
        answer = daemon.call("GET", f"/pty/{ident}/ws")
        assert (answer.status, answer.json()["code"]) == (409, "ALREADY_CONNECTED")
        with attach(daemon, ident, "?takeover=1") as taker:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    holder.recv(timeout=10)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "TAKEN_OVER")
            while isinstance(taker.recv(timeout=10), bytes):
                pass


def test_output_before_the_end_is_never_lost(daemon, terminal):
    ident = terminal(command="seq 1 5000; echo last")
    data = b""
    with attach(daemon, ident) as socket:
        try:
            while True:
                frame = socket.recv(timeout=10)
                if isinstance(frame, bytes):
                    data += frame[1:]
        except ConnectionClosed:
            pass
    assert data.split()[-1] == b"last" and len(data.split()) == 5001


def test_pipe_mode_keeps_stderr_apart(daemon, terminal):
    out = {1: b"", 2: b""}
    with attach(daemon, terminal(command="echo out; echo err >&2"), "?pty=0") as socket:
        assert first_connected(socket)["mode"] == "pipe"
        try:
            while True:
                frame = socket.recv(timeout=10)
                if isinstance(frame, bytes):
                    out[frame[0]] += frame[1:]
        except ConnectionClosed:
            pass
    assert out == {1: b"out\n", 2: b"err\n"}


def test_unknown_sessions_are_404(daemon):
    ident = str(uuid.uuid4())
    for method, target in (("GET", f"/pty/{ident}"), ("DELETE", f"/pty/{ident}"), ("GET", f"/pty/{ident}/ws")):
        answer = daemon.call(method, target)
        assert (answer.status, answer.json()) == (
            404, {"code": "CONTEXT_NOT_FOUND", "message": f"pty session {ident} not found"})
