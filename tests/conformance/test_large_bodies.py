"""Bodies far larger than memory should ever hold, both ways: 4 GiB under `scripts/test --full`, 384 MiB otherwise."""

import os
import socket
import threading

import pytest

from harness import processes
from harness.daemon import BINARY, Daemon
from harness.wire import build

SIZE = 4 << 30 if os.environ.get("EXECD_TEST_FULL") else 384 << 20
# KiB that RSS may grow by; a sanitizer build keeps freed memory back.
FLAT = (24 if BINARY.stat().st_size > 100e6 else 2) << 10
PIECE = b"0123456789abcdef" * (1 << 16)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    daemon = Daemon(args=["--upload-limit", str(1 << 40)]).listening()
    # The program's own pages come into memory when they are first used.
    small = tmp_path_factory.mktemp("small") / "file"
    daemon.call("PUT", f"/execd/v1/files/content?path={small}", b"x" * 300_000)
    daemon.call("GET", f"/files/download?path={small}")
    yield daemon
    daemon.stop()


class Watch:
    """The highest RSS of the daemon while a transfer runs, looked at after every piece."""

    def __init__(self, pid):
        self.pid, self.start, self.peak = pid, processes.memory_kib(pid, "Rss"), 0

    def look(self):
        self.peak = max(self.peak, processes.memory_kib(self.pid, "Rss") - self.start)


def receive(wire, answer, watch):
    """Reads a body of either framing without keeping it; its length."""
    buffer, total, looked = bytearray(1 << 20), 0, 0
    length = answer.header("Content-Length")
    if length is None:
        while piece := wire.chunk():
            total += len(piece)
            if total - looked > 64 << 20:
                looked = total
                watch.look()
        return total
    total = len(wire.pending)
    while total < int(length):
        got = wire.sock.recv_into(buffer)
        assert got, f"ended after {total} of {length}"
        total += got
        if total - looked > 64 << 20:
            looked = total
            watch.look()
    return total


def send(wire, head, size, watch, chunked=False, tail=b""):
    wire.send(head)
    for number in range(size // len(PIECE)):
        wire.send(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
        if number % 64 == 0:
            watch.look()
    wire.send(tail + (b"0\r\n\r\n" if chunked else b""))


@pytest.fixture
def sink():
    """A server that takes a body and says how long it was, or gives one of SIZE bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    counted = []

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += sock.recv(4096)
                head, rest = head.split(b"\r\n\r\n", 1)
                if head.startswith(b"GET"):
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
                    for _ in range(SIZE // len(PIECE)):
                        sock.sendall(PIECE)
                    continue
                total, buffer = len(rest), bytearray(1 << 20)
                while total < SIZE:
                    got = sock.recv_into(buffer)
                    if not got:
                        break
                    total += got
                counted.append(total)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], counted
    listener.close()


def test_a_file_goes_out_with_flat_memory(one, tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SIZE)
    watch = Watch(one.pid)
    with one.wire() as wire:
        wire.send(build("GET", f"/files/download?path={path}"))
        answer = wire.head()
        assert answer.status == 200
        assert receive(wire, answer, watch) == SIZE
    assert watch.peak < FLAT, f"RSS grew by {watch.peak} KiB"


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_comes_in_with_flat_memory(one, chunked):
    """To /dev/null: the file system is not what is measured here."""
    begin = (b'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{"path":"/dev/null"}\r\n'
             b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    end = b"\r\n--b--\r\n"
    headers = [("Content-Type", "multipart/form-data; boundary=b")]
    if chunked:
        headers.append(("Transfer-Encoding", "chunked"))
        begin, end = b"%x\r\n%s\r\n" % (len(begin), begin), b"%x\r\n%s\r\n" % (len(end), end)
    else:
        headers.append(("Content-Length", str(len(begin) + SIZE + len(end))))
    watch = Watch(one.pid)
    with one.wire() as wire:
        send(wire, build("POST", "/files/upload", headers) + begin, SIZE, watch, chunked, end)
        assert wire.response().status == 200
    assert watch.peak < FLAT, f"RSS grew by {watch.peak} KiB"


def test_through_the_proxy_up(one, sink):
    port, counted = sink
    watch = Watch(one.pid)
    with one.wire() as wire:
        send(wire, build("POST", f"/proxy/{port}/up", [("Content-Length", str(SIZE))]), SIZE, watch)
        assert wire.response().body == b"ok"
    assert counted == [SIZE]
    assert watch.peak < FLAT, f"RSS grew by {watch.peak} KiB"


def test_through_the_proxy_down(one, sink):
    port, _ = sink
    watch = Watch(one.pid)
    with one.wire() as wire:
        wire.send(build("GET", f"/proxy/{port}/down"))
        assert receive(wire, wire.head(), watch) == SIZE
    assert watch.peak < FLAT, f"RSS grew by {watch.peak} KiB"
