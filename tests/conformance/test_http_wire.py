"""The HTTP floor of step A: keep-alive, pipelining, clients that vanish, 10,000 connects (DESIGN 6, issue A)."""

import json
import socket
import struct
import time

import pytest

from harness import frames, processes
from harness.wire import build, query


def test_keep_alive_serves_many_requests_on_one_connection(daemon):
    with daemon.wire() as wire:
        for _ in range(1000):
            assert wire.request("GET", "/ping").status == 200
        assert wire.request("POST", "/command", body=b'{"command":"echo hi"}').status == 200


def test_connection_close_is_honoured(daemon):
    with daemon.wire() as wire:
        assert wire.request("GET", "/ping", [("Connection", "close")]).status == 200
        assert wire.at_end()


def test_http_1_0_closes(daemon):
    with daemon.wire() as wire:
        wire.send(b"GET /ping HTTP/1.0\r\nHost: x\r\n\r\n")
        data = b""
        while chunk := wire.sock.recv(65536):
            data += chunk
        assert data.split(b"\r\n")[0].split(b" ")[1] == b"200"


def test_pipelined_requests_are_answered_in_order(daemon, work):
    (work / "f").write_text("file")
    wanted = [
        ("GET", "/ping", b"", 200), ("POST", "/command", b'{"command":"echo one"}', 200), ("GET", "/nope", b"", 404),
        ("GET", query("/files/download", path=f"{work}/f"), b"", 200), ("POST", "/command", b"broken", 400),
        ("POST", "/command", b'{"command":"echo two"}', 200), ("HEAD", "/ping", b"", 404), ("GET", "/ping", b"", 200)]
    with daemon.wire() as wire:
        wire.send(b"".join(build(method, target, [], body) for method, target, body, _ in wanted))
        answers = [wire.response(method) for method, *_ in wanted]
    assert [a.status for a in answers] == [row[3] for row in wanted]
    assert frames.joined(frames.split(answers[1].body)) == "one\n"
    assert answers[3].body == b"file"
    assert frames.joined(frames.split(answers[5].body)) == "two\n"


def test_a_request_byte_by_byte(daemon):
    with daemon.wire() as wire:
        for byte in build("POST", "/command", [], b'{"command":"echo slow"}'):
            wire.send(bytes([byte]))
        assert frames.joined(frames.split(wire.response().body)) == "slow\n"


def test_a_chunked_request_body(daemon):
    with daemon.wire() as wire:
        body = b'7\r\n{"comma\r\n5;x=y\r\nnd":"\r\n8\r\necho ok"\r\n1\r\n}\r\n0\r\nX-Trailer: t\r\n\r\n'
        answer = wire.request("POST", "/command", [("Transfer-Encoding", "chunked")], body)
        assert frames.joined(frames.split(answer.body)) == "ok\n"
        assert wire.request("GET", "/ping").status == 200


def test_expect_100_continue(daemon):
    with daemon.wire() as wire:
        body = b'{"command":"echo ok"}'
        wire.send(build("POST", "/command", [("Expect", "100-continue"), ("Content-Length", str(len(body)))]))
        assert wire.head().status == 100
        wire.send(body)
        assert frames.joined(frames.split(wire.response().body)) == "ok\n"


def test_small_answers_do_not_wait_for_nagle(daemon):
    with daemon.wire() as wire:
        wire.request("POST", "/command", body=b'{"command":"true"}')
        times = []
        for _ in range(20):
            started = time.monotonic()
            wire.request("POST", "/command", body=b'{"command":"true"}')
            times.append(time.monotonic() - started)
        assert min(times) < 0.03, times  # a delayed acknowledgement takes 40 ms


@pytest.mark.parametrize("junk", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET /ping\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /ping HTTP/9.9\r\n\r\n",
    b"G\0T /ping HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 2_000_000 + b"\r\n\r\n",
    b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200_000 + b"\r\n",
    b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
], ids=range(14))
def test_junk_is_refused_or_closed_and_the_daemon_lives(daemon, junk):
    with daemon.wire() as wire:
        try:
            wire.send(junk)
            wire.sock.shutdown(socket.SHUT_WR)
            data = b""
            while chunk := wire.sock.recv(65536):
                data += chunk
        except (ConnectionResetError, BrokenPipeError):
            data = b""
    assert data == b"" or data.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")), data[:200]
    assert daemon.call("GET", "/ping").status == 200


def linger_off(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_ten_thousand_connects_in_a_row(daemon):
    request = build("GET", "/ping")
    daemon.call("GET", "/ping")
    fds, rss = processes.open_fds(daemon.pid), processes.memory_kib(daemon.pid, "Rss")
    for number in range(10_000):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as sock:
            linger_off(sock)
            if number % 3 == 0:
                sock.sendall(request)
                assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            elif number % 3 == 1:
                sock.sendall(request[:number % len(request)])
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= fds + 2, what="descriptors back to the start")
    grown = processes.memory_kib(daemon.pid, "Rss") - rss
    assert grown < 32 << 10, f"RSS grew by {grown} KiB"
    assert daemon.call("GET", "/ping").status == 200


def test_clients_that_vanish_at_every_stage_leak_nothing(daemon, work):
    daemon.call("GET", "/ping")
    fds = processes.open_fds(daemon.pid)
    command = build("POST", "/command", [], json.dumps({"command": "echo a; echo b"}).encode())
    for cut in range(0, len(command) + 1, 3):
        with daemon.wire() as wire:
            wire.send(command[:cut])
            wire.reset()
    for _ in range(20):
        with daemon.stream("/command", {"command": "seq 1 200000"}) as stream:
            stream.next()
            stream.wire.reset()
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= fds + 2, what="descriptors back to the start")
    processes.eventually(lambda: not processes.commands(daemon.pid), what="all commands ended")


def test_a_client_that_stops_reading_holds_nobody_up(daemon):
    with daemon.stream("/command", {"command": "echo on; head -c 24000000 /dev/zero | tr '\\0' x"}) as stream:
        stream.until("stdout", "on")
        for _ in range(20):
            assert daemon.shell("echo quick") == "quick\n"
        stream.wire.reset()
    processes.eventually(lambda: not processes.commands(daemon.pid), 30, "the writer drained to its end")


def test_two_hundred_idle_connections_do_not_matter(daemon):
    idle = [daemon.wire() for _ in range(200)]
    try:
        assert daemon.call("GET", "/ping").status == 200
        assert idle[100].request("GET", "/ping").status == 200
    finally:
        for wire in idle:
            wire.sock.close()
