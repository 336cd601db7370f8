"""HTTP/1.1 over a plain socket, strict about every byte that comes back.

An HTTP library would mend what these tests are there to see: lengths, chunk borders, keep-alive, resets.
"""

import json
import socket
import struct
from urllib.parse import quote

TIMEOUT = 30.0


class Response:
    def __init__(self, status, reason, version, headers, body, chunks):
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers  # list of (name, value) as received
        self.body = body
        self.chunks = chunks  # list of bytes when the body was chunked, else None

    def header(self, name, default=None):
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        assert len(values) <= 1, f"header {name} came {len(values)} times"
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        content_type = self.header("Content-Type")
        # With the charset in the OpenSandbox dialect (contract 1.0), without it on execd's own routes.
        assert content_type in ("application/json; charset=utf-8", "application/json"), (content_type, self.body)
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


def build(method, target, headers=(), body=b"", host="127.0.0.1"):
    """The bytes of one request; Host and Content-Length are added where the caller gave none."""
    lines = [f"{method} {target} HTTP/1.1"]
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(*pieces):
    """A chunked body of these pieces."""
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"


def query(route, /, **pairs):
    """`route` with a query string; a list gives a repeated name."""
    words = []
    for name, value in pairs.items():
        for one in value if isinstance(value, list) else [value]:
            words.append(f"{name}={quote(str(one), safe='')}")
    return route + ("?" + "&".join(words) if words else "")


class Wire:
    """One connection. Use as a context manager."""

    def __init__(self, port, host="127.0.0.1", timeout=TIMEOUT):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = f"{host}:{port}"
        self.pending = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, target, headers=(), body=b""):
        self.send(build(method, target, list(headers), body, self.host))
        return self.response(method)

    def reset(self):
        """Ends the connection with RST, as a killed client does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fill(self):
        data = self.sock.recv(1 << 20)
        self.pending += data
        return bool(data)

    def line(self):
        while b"\r\n" not in self.pending:
            assert self.fill(), f"connection ended inside a line: {bytes(self.pending[:200])!r}"
        line = self.take(self.pending.index(b"\r\n") + 2)[:-2]
        assert b"\n" not in line, f"bare LF in {line!r}"
        return line

    def exactly(self, count):
        while len(self.pending) < count:
            assert self.fill(), f"connection ended {count - len(self.pending)} bytes early"
        return self.take(count)

    def take(self, count):
        data = bytes(memoryview(self.pending)[:count])
        del self.pending[:count]
        return data

    def head(self):
        status_line = self.line().decode("latin-1")
        version, status, reason = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        headers = []
        while line := self.line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name.strip() == name, f"bad header line {line!r}"
            headers.append((name, value.strip()))
        return Response(int(status), reason, version, headers, b"", None)

    def chunk(self):
        size = int(self.line().split(b";")[0], 16)
        data = self.exactly(size)
        assert self.line() == b"", "a chunk without its CRLF"
        return data

    def response(self, method="GET"):
        """Reads one whole response, interim 1xx ones skipped."""
        answer = self.head()
        while answer.status < 200 and answer.status != 101:
            answer = self.head()
        length = answer.header("Content-Length")
        coding = answer.header("Transfer-Encoding")
        assert not (length and coding), f"both lengths in {answer}"
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if coding:
            assert coding == "chunked", coding
            answer.chunks = []
            while data := self.chunk():
                answer.chunks.append(data)
            answer.body = b"".join(answer.chunks)
        elif length is not None:
            answer.body = self.exactly(int(length))
        else:
            while self.fill():
                pass
            answer.body = self.take(len(self.pending))
        return answer

    def at_end(self):
        """True when the peer closed (or reset) and nothing is left to read."""
        try:
            return not self.pending and not self.fill()
        except ConnectionResetError:
            return True
