"""Terminals over WebSocket: opensandbox.md 1.9, 9, 10, 11, 13.7; what peers got wrong there (PEERS.md 6.1)."""

import contextlib
import json
import os
import re
import struct
import time
import uuid

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness import processes


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


def attach(daemon, ident, query="", **options):
    return connect(f"ws://127.0.0.1:{daemon.port}/pty/{ident}/ws{query}", compression=None, max_size=None, **options)


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
        # A terminal drops what was typed before an interrupt, so everything waits for its echo.
        socket.send(json.dumps({"type": "stdin", "data": "sh -c 'echo g\"\"o; exec sleep 310'\n"}))
        read_until(socket, b"go\r")
        socket.send(b"\0\x03")
        read_until(socket, b"bash-")
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


def rest(socket):
    """Everything until the end: bytes of output by stream, text frames, the close."""
    out, texts = {1: bytearray(), 2: bytearray(), 3: bytearray()}, []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            frame = socket.recv(timeout=10)
            if isinstance(frame, str):
                texts.append(json.loads(frame))
            else:
                out[frame[0]] += frame[1:]
    return out, texts, closed.value.rcvd


def texts_until(socket, kind):
    while True:
        frame = socket.recv(timeout=10)
        if isinstance(frame, str) and json.loads(frame)["type"] == kind:
            return json.loads(frame)


def test_the_replay_comes_before_connected_and_nothing_is_doubled(daemon, terminal):
    ident = terminal(command="seq 1 20000; read x; seq 20001 40000")
    seen, offset = b"", 0
    with attach(daemon, ident) as socket:
        first_connected(socket)
        seen += read_until(socket, b"\n10000\r")
    offset = len(seen)
    with attach(daemon, ident, f"?since={offset}") as socket:
        frame = socket.recv(timeout=10)
        if isinstance(frame, bytes):
            assert (frame[0], struct.unpack(">Q", frame[1:9])[0]) == (3, offset)
            seen += frame[9:]
            first_connected(socket)
        if b"\n20000\r" not in seen:  # the echo of what is typed now would stand in the middle of the numbers
            seen += read_until(socket, b"\n20000\r")
        socket.send(b"\0\n")
        out, texts, _ = rest(socket)
        seen += out[1]
    assert [int(w) for w in seen.split()] == list(range(1, 40001))
    assert texts == [{"type": "exit", "exit_code": 0}]
    assert daemon.call("GET", f"/pty/{ident}").json()["output_offset"] == len(seen)


@pytest.mark.parametrize(("since", "expected"), [("", 0), ("-5", 0), ("x", 0), ("4x", 4), ("10", None), ("99", None),
                                                 ("99999999999999999999999", 0)])
def test_odd_offsets(daemon, terminal, since, expected):
    ident = terminal(command="printf 0123456789; read x")
    with attach(daemon, ident) as socket:
        first_connected(socket)
        read_until(socket, b"0123456789")
    with attach(daemon, ident, f"?since={since}") as socket:
        frame = socket.recv(timeout=10)
        if expected is None:
            assert json.loads(frame)["type"] == "connected"
        else:
            assert frame == b"\x03" + struct.pack(">Q", expected) + b"0123456789"[expected:]


def test_a_shell_that_ended_is_started_again_behind_its_old_output(daemon, terminal):
    ident = terminal(command="echo once")
    for _ in range(2):
        with attach(daemon, ident) as socket:
            rest(socket)
    with attach(daemon, ident) as socket:
        assert socket.recv(timeout=10)[9:] == b"once\r\n" * 2
        first_connected(socket)
        out, _, _ = rest(socket)
        assert out[1] == b"once\r\n"


def test_a_signalled_end_is_minus_one(daemon, terminal):
    with attach(daemon, terminal()) as socket:
        first_connected(socket)
        socket.send(json.dumps({"type": "signal", "signal": "SIGNONE"}))
        socket.send(json.dumps({"type": "signal", "signal": "SIGKILL"}))
        _, texts, close = rest(socket)
    assert texts == [{"type": "exit", "exit_code": -1}] and close.code == 1000


def test_an_interrupt_signal_reaches_the_foreground_job(daemon, terminal):
    with attach(daemon, terminal()) as socket:
        first_connected(socket)
        socket.send(b"\0echo g''o; sleep 315\n")
        read_until(socket, b"go\r")
        pid = shell_pid(daemon)
        processes.eventually(lambda: any("sleep" in processes.read(f"/proc/{p}/comm")
                                         for p in processes.children(pid)))
        socket.send(json.dumps({"type": "signal", "signal": "SIGINT"}))
        socket.send(b"\0echo back $?\n")
        assert b"back 130" in read_until(socket, b"back 130")


def shell_pid(daemon):
    shells = [p for p in processes.children(daemon.pid)
              if processes.read(f"/proc/{p}/cmdline").startswith(("bash\0--norc", "/bin/bash\0--norc",
                                                                 "/usr/bin/bash\0--norc"))]
    return shells[-1]


def test_viewers_see_everything_and_type_nothing(daemon, terminal):
    ident = terminal()
    with attach(daemon, ident) as holder:
        first_connected(holder)
        with attach(daemon, ident, "?mode=viewer") as a, attach(daemon, ident, "?mode=viewer&since=0") as b:
            texts_until(a, "connected")
            texts_until(b, "connected")
            a.send(b"\0echo no\n")
            assert texts_until(a, "error")["code"] == "READ_ONLY"
            b.send(json.dumps({"type": "signal", "signal": "SIGKILL"}))
            assert texts_until(b, "error")["code"] == "READ_ONLY"
            b.send(json.dumps({"type": "stdin", "data": "exit\n"}))
            assert texts_until(b, "error")["code"] == "READ_ONLY"
            holder.send(b"\0echo se''en; exit 6\n")
            for socket in (holder, a, b):
                out, texts, close = rest(socket)
                assert b"seen" in out[1] and texts == [{"type": "exit", "exit_code": 6}]
                assert (close.code, close.reason) == (1000, "process exited")


def test_a_viewer_starts_nothing_and_waits_for_the_first_holder(daemon, terminal):
    ident = terminal(command="echo hello")
    with attach(daemon, ident, "?mode=viewer") as viewer:
        assert first_connected(viewer)["mode"] == "pty"
        assert daemon.call("GET", f"/pty/{ident}").json()["running"] is False
        with attach(daemon, ident) as holder:
            rest(holder)
        out, texts, _ = rest(viewer)
        assert out[1] == b"hello\r\n" and texts == [{"type": "exit", "exit_code": 0}]


def test_takeover_ping_pong(daemon, terminal):
    ident = terminal()
    with contextlib.ExitStack() as stack:
        a = stack.enter_context(attach(daemon, ident))
        first_connected(a)
        for _ in range(6):
            b = stack.enter_context(attach(daemon, ident, "?takeover=1"))
            texts_until(b, "connected")
            assert rest(a)[2].code == 4001
            a = b
        a.send(b"\0echo mi''ne\n")
        read_until(a, b"mine")


def test_takeover_of_a_free_terminal_is_a_plain_connect(daemon, terminal):
    with attach(daemon, terminal(), "?takeover=1") as socket:
        first_connected(socket)


def upgrade(ident, query="", version="13"):
    return (f"GET /pty/{ident}/ws{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n\r\n").encode()


def test_takeover_while_the_holder_does_not_read(daemon, terminal):
    """OSB takeover reviews: a holder stalled in its output (or replay) is cut off at once."""
    ident = terminal(command="head -c 12000000 /dev/zero; read x")
    # This client would wait for its turn behind the 12 MB that nobody reads.
    with attach(daemon, ident, close_timeout=0.1) as socket:
        first_connected(socket)
        processes.eventually(lambda: daemon.call("GET", f"/pty/{ident}").json()["output_offset"] >= 12_000_000)
    with daemon.wire() as stalled:
        stalled.send(upgrade(ident))
        assert stalled.head().status == 101
        start = time.monotonic()
        with attach(daemon, ident, "?takeover=1&since=12000000") as socket:
            texts_until(socket, "connected")
        assert time.monotonic() - start < 5


def test_a_failed_handshake_evicts_nobody(daemon, terminal):
    ident = terminal()
    with attach(daemon, ident) as holder:
        first_connected(holder)
        for request, status in ((upgrade(ident, "?takeover=1", version="12"), 426),
                                (upgrade(ident, "?takeover=1").replace(b"Sec-WebSocket-Key", b"X"), 400),
                                (b"GET /pty/%s/ws?takeover=1 HTTP/1.1\r\nHost: x\r\n\r\n" % ident.encode(), 409)):
            with daemon.wire() as wire:
                wire.send(request)
                assert wire.response().status == status
        holder.send(b"\0echo st''ill\n")
        read_until(holder, b"still")


def test_without_a_holder_a_plain_get_is_400(daemon, terminal):
    answer = daemon.call("GET", f"/pty/{terminal()}/ws")
    assert answer.status == 400 and answer.body.startswith(b"Bad Request")


@pytest.mark.parametrize("frame", [
    b"\x01\x02hi",                                    # not masked
    b"\xf2\x80\x00\x00\x00\x00",                      # reserved bits
    b"\x83\x80\x00\x00\x00\x00",                      # unknown opcode
    b"\x09\x80\x00\x00\x00\x00",                      # a ping in pieces
    b"\x80\x80\x00\x00\x00\x00",                      # a continuation of nothing
    b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # far too long
    b"\x81\x82\x00\x00\x00\x00\xff\xfe",              # text that is not UTF-8
])
def test_frames_that_break_the_protocol_end_that_client_only(daemon, terminal, frame):
    ident = terminal()
    with daemon.wire() as wire:
        wire.send(upgrade(ident) + frame)
        assert wire.head().status == 101
        while wire.fill():
            pass
        assert b"\x88" in wire.pending
    processes.eventually(lambda: attachable(daemon, ident))
    assert daemon.call("GET", f"/pty/{ident}").json()["running"] is True


def attachable(daemon, ident):
    return daemon.call("GET", f"/pty/{ident}/ws").status == 400  # 409 while somebody holds it


def test_odd_frames_are_ignored(daemon, terminal):
    with attach(daemon, terminal()) as socket:
        first_connected(socket)
        for odd in (b"", b"\0", b"\x07junk", "[]", "{", '"x"', '{"type":"resize","cols":0,"rows":5}',
                    '{"type":"resize","cols":"a","rows":5}', '{"type":"resize","cols":-1,"rows":99999999999}',
                    '{"type":"signal"}', '{"type":"stdin"}', "[" * 100_000):
            socket.send(odd)
        socket.send(json.dumps({"type": "ping"}))
        assert texts_until(socket, "pong") == {"type": "pong"}


def test_a_vanished_holder_frees_the_terminal_and_the_shell_lives(daemon, terminal):
    ident = terminal()
    with daemon.wire() as wire:
        wire.send(upgrade(ident))
        assert wire.head().status == 101
        wire.reset()
    processes.eventually(lambda: attachable(daemon, ident))
    with attach(daemon, ident) as socket:
        socket.send(b"\0echo he''re\n")
        while b"here" not in (frame if isinstance(frame := socket.recv(timeout=10), bytes) else b""):
            pass


def test_clients_that_abort_around_the_final_frame(daemon, terminal):
    """CF stream-controller-race."""
    for n in range(30):
        ident = terminal(command="echo bye")
        with daemon.wire() as wire:
            wire.send(upgrade(ident))
            assert wire.head().status == 101
            if n % 3:
                wire.fill()
            wire.reset()
    assert daemon.call("GET", "/ping").status == 200


def test_a_viewer_that_does_not_read_costs_no_memory_and_stalls_nobody(daemon, terminal):
    """websockify do_proxy."""
    ident = terminal(command="read x; head -c 24000000 /dev/zero; echo end")
    with attach(daemon, ident) as holder, daemon.wire() as stuck:
        first_connected(holder)
        stuck.send(upgrade(ident, "?mode=viewer"))
        assert stuck.head().status == 101
        before = processes.memory_kib(daemon.pid)
        holder.send(b"\0\n")
        out, texts, _ = rest(holder)
        assert len(out[1]) > 24_000_000 and texts == [{"type": "exit", "exit_code": 0}]
        assert processes.memory_kib(daemon.pid) - before < 16 << 10


def test_delete_ends_the_program_and_tells_its_clients(daemon, terminal):
    ident = terminal(command="echo $$; (setsid sleep 316 & echo $!); read x")
    with attach(daemon, ident) as socket:
        first_connected(socket)
        seen = b""
        while len(seen.split()) < 2:
            seen += socket.recv(timeout=10)[1:]
        answer = daemon.call("DELETE", f"/pty/{ident}")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
        _, texts, close = rest(socket)
    assert texts == [{"type": "exit", "exit_code": -1}] and close.code == 1000
    for pid in seen.split():
        assert processes.wait_gone(int(pid))
    assert daemon.call("GET", f"/pty/{ident}").status == 404


def test_delete_ends_what_the_programs_before_left_running(daemon, terminal):
    ident = terminal()
    with attach(daemon, ident) as socket:
        first_connected(socket)
        socket.send(b"\0(trap '' HUP; setsid sleep 1000 >/dev/null 2>&1 & echo =$!=); exit\n")
        seen = b""
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = socket.recv(timeout=10)
                seen += frame[1:] if isinstance(frame, bytes) else b""
    pid = int(re.search(rb"=(\d+)=", seen)[1])
    with attach(daemon, ident, "?since=1000000") as socket:
        first_connected(socket)
        assert processes.alive(pid)
    assert daemon.call("DELETE", f"/pty/{ident}").status == 200
    processes.eventually(lambda: not processes.alive(pid), what="no server left")


def test_what_cannot_start_says_so(daemon, work):
    where = work / "gone"
    ident = daemon.call("POST", "/pty", json={"cwd": str(where)}).json()["session_id"]
    where.rmdir()
    with attach(daemon, ident) as socket:
        error = texts_until(socket, "error")
        assert error["code"] == "START_FAILED" and "No such file or directory" in error["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    assert daemon.call("DELETE", f"/pty/{ident}").status == 200


@pytest.mark.parametrize("body", [b"x", b"[]", b'{"cwd":1}', b'{"command":["a"]}', b'{"command":"a\\u0000b"}'])
def test_bad_bodies_are_400(daemon, body):
    answer = daemon.call("POST", "/pty", body=body)
    assert (answer.status, answer.json()["code"]) == (400, "INVALID_REQUEST_BODY")
    assert answer.json()["message"].startswith("error parsing request: ")


def test_an_empty_body_will_do_and_a_file_is_no_directory(daemon, work):
    answer = daemon.call("POST", "/pty")
    assert answer.status == 201
    daemon.call("DELETE", f"/pty/{answer.json()['session_id']}")
    (work / "file").write_text("")
    answer = daemon.call("POST", "/pty", json={"cwd": f"{work}/file/below"})
    assert answer.status == 500
    assert answer.json()["message"].startswith("error creating pty session: ")


def test_the_environment_is_the_files_of_the_start(daemon, sync_sdk, terminal):
    ident = terminal(command='echo "<$PTY_SEES>" "$TERM" $(stty size)')
    sync_sdk.commands.set_env("PTY_SEES", "now")
    with attach(daemon, ident) as socket:
        out, _, _ = rest(socket)
    assert out[1] == b"<now> xterm-256color 24 80\r\n"


def test_through_the_proxy_to_ourselves(daemon, terminal):
    ident = terminal()
    with connect(f"ws://127.0.0.1:{daemon.port}/proxy/44772/pty/{ident}/ws", compression=None) as socket:
        first_connected(socket)


def test_a_protected_daemon_wants_its_token_first(daemon_with_token):
    ident = daemon_with_token.call("POST", "/pty").json()["session_id"]
    with pytest.raises(InvalidStatus) as refused:
        attach(daemon_with_token, ident)
    assert refused.value.response.status_code == 401
    daemon_with_token.call("DELETE", f"/pty/{ident}")


def test_many_connects_to_dead_ids_leave_nothing(daemon):
    """jupyter #6244."""
    before = processes.open_fds(daemon.pid)
    connections, each = (2000, 50) if os.environ.get("EXECD_TEST_FULL") else (50, 10)
    for _ in range(connections):
        with daemon.wire() as wire:
            for _ in range(each):
                assert wire.request("GET", f"/pty/{uuid.uuid4()}/ws").status == 404
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before + 2)


def test_sigterm_tells_attached_clients_at_once(fresh_daemon):
    one = fresh_daemon()
    ident = one.call("POST", "/pty").json()["session_id"]
    with attach(one, ident) as socket:
        first_connected(socket)
        start = time.monotonic()
        one.proc.terminate()
        texts, close = rest(socket)[1:]
        assert texts == [{"type": "exit", "exit_code": -1}] and close.code == 1000
        assert time.monotonic() - start < 5
