"""Thousands of clients at once, and clients that send hostile amounts: `/ping` stays fast (issue B, "Bad input")."""

import resource
import socket
import time

import pytest

from harness import processes
from harness.daemon import Daemon
from harness.wire import Wire, build, query

pytestmark = pytest.mark.alone
IDLE = 10_000
FAST = 0.25  # seconds for the slowest of a hundred pings; a sanitizer build on a busy machine is still quicker


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * IDLE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slowest_ping(daemon, count=100):
    worst = 0.0
    with daemon.wire() as wire:
        for _ in range(count):
            begun = time.monotonic()
            assert wire.request("GET", "/ping").status == 200
            worst = max(worst, time.monotonic() - begun)
    return worst


def connect(port, number):
    sock = socket.socket()
    # One source address has 28,000 ports; the backlog takes a burst.
    sock.bind((f"127.0.{number // 5000}.1", 0))
    sock.connect(("127.0.0.1", port))
    return sock


def test_ten_thousand_idle_connections(fresh_daemon):
    one = fresh_daemon()
    one.call("GET", "/ping")
    before = processes.memory_kib(one.pid, "Rss")
    socks = []
    try:
        for number in range(IDLE):
            sock = connect(one.port, number)
            if number % 3 == 1:
                sock.sendall(b"GET /ping HTTP/1.1\r\nHo")
            elif number % 3 == 2:
                sock.sendall(build("GET", "/ping"))
            socks.append(sock)
        processes.eventually(lambda: processes.open_fds(one.pid) >= IDLE, what="all accepted")
        assert slowest_ping(one) < FAST
        each = (processes.memory_kib(one.pid, "Rss") - before) / IDLE
        assert each < 32, f"{each:.1f} KiB a connection"
        # One of them in the middle is still served.
        socks[IDLE // 2].sendall(b"st: x\r\n\r\n" if IDLE // 2 % 3 == 1 else build("GET", "/ping"))
        assert socks[IDLE // 2].recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        for sock in socks:
            sock.close()
    processes.eventually(lambda: processes.open_fds(one.pid) < 100, what="all gone")


def test_idle_connections_keep_nothing_of_large_answers(fresh_daemon, work):
    """A second hundred of them needs no memory that the first has not given back; the arithmetic is a unit test."""
    file = work / "file"
    file.write_bytes(b"f" * (256 << 10))
    one = fresh_daemon()
    wires = []

    def a_hundred_downloads():
        for _ in range(100):
            wires.append(one.wire())
            assert wires[-1].request("GET", query("/files/download", path=str(file))).status == 200
        return processes.memory_kib(one.pid, "Rss")

    try:
        first = a_hundred_downloads()
        time.sleep(1.5)  # a connection that rests for a second gives back: nothing outside tells when
        assert a_hundred_downloads() - first < 100 * 64
        for wire in wires[::20]:
            assert wire.request("GET", "/ping").status == 200
    finally:
        for wire in wires:
            wire.sock.close()


def test_slow_loris_costs_nobody_else(daemon):
    """Heads and bodies that trickle in; the deadlines themselves are unit tests in virtual time."""
    wires = [Wire(daemon.port) for _ in range(300)]
    try:
        for number, wire in enumerate(wires):
            if number % 2:
                wire.send(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
            else:
                wire.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n")
        for turn in range(5):
            for wire in wires:
                wire.send(b"a" if turn % 2 else b" ")
            assert slowest_ping(daemon, 20) < FAST
    finally:
        for wire in wires:
            wire.sock.close()


DEEP = {
    "arrays": b"[" * 100_000,
    "closed arrays": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"a":' * 100_000,
    "in a member": b'{"command":"true","envs":' + b"[" * 100_000,
    "in an unknown member": b'{"command":"true","zzz":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "just over the limit": b'{"command":"true","zzz":' + b"[" * 130 + b"]" * 130 + b"}",
}


def opensandbox_shape(body):
    return set(body) == {"code", "message"}


def agentrun_shape(body):
    return {"code", "message", "requestId", "error"} <= set(body) and body["error"]["code"] == body["code"]


def own_shape(body):
    return set(body) == {"error"} and {"code", "message"} <= set(body["error"])


SHAPES = {
    "/command": opensandbox_shape, "/code": opensandbox_shape, "/code/context": opensandbox_shape,
    "/directories": opensandbox_shape, "/files/mv": opensandbox_shape,
    "/contexts": agentrun_shape, "/contexts/execute": agentrun_shape, "/filesystem/mkdir": agentrun_shape,
    "/processes/cmd": agentrun_shape,
    "/execd/v1/executions": own_shape, "/execd/v1/contexts": own_shape,
}


@pytest.mark.parametrize("case", list(DEEP))
@pytest.mark.parametrize("target", list(SHAPES))
def test_deep_json_is_refused_in_the_owners_shape(daemon, target, case):
    answer = daemon.call("POST", target, body=DEEP[case])
    assert answer.status in ((400, 422) if target.startswith("/execd") else (400,)), answer
    assert SHAPES[target](answer.json()), answer
    assert daemon.call("GET", "/ping").status == 200


OVERSIZED = [
    ("POST", "/command", b'{"command":"' + b"a" * (200 << 20)), ("POST", "/files/mv", b"[" + b" " * (200 << 20)),
    ("GET", "/files/info?path=" + "a" * 20_000, b""), ("GET", "/" + "x/" * 9_000, b""),
]


@pytest.mark.parametrize("number", range(len(OVERSIZED)))
def test_oversized_requests_are_refused_without_growing(fresh_daemon, number):
    one = fresh_daemon()
    one.call("GET", "/ping")
    before = processes.memory_kib(one.pid, "Rss")
    method, target, body = OVERSIZED[number]
    with one.wire() as wire:
        try:
            wire.send(build(method, target, [], body))
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            assert wire.response().status in (400, 413, 414, 431)
        except ConnectionResetError:
            pass
    assert processes.memory_kib(one.pid, "Rss") - before < 64 << 10
    assert one.call("GET", "/ping").status == 200


def test_truncated_requests_end_their_connection_only(daemon):
    whole = build("POST", "/command", [("Transfer-Encoding", "chunked")], b"5\r\n{\"com\r\n5\r\nmand\"\r\n0\r\n\r\n")
    for cut in range(len(whole)):
        with daemon.wire() as wire:
            wire.send(whole[:cut])
            wire.sock.shutdown(socket.SHUT_WR)
            data = b""
            while piece := wire.sock.recv(65536):
                data += piece
            assert data == b"" or data.startswith(b"HTTP/1.1 4"), (cut, data[:80])
    assert daemon.call("GET", "/ping").status == 200


def test_a_forced_drain_has_its_own_exit_status():
    one = Daemon(args=["--drain-timeout", "200ms"]).listening()
    with one.wire() as wire:
        wire.send(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        one.call("GET", "/ping")
        one.stop(expect=3, seconds=10)
        assert wire.at_end()
