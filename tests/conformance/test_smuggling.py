"""The raw-header scan and the limits of the HTTP core: DESIGN 6, issue B "Bad input"."""

import threading
import time

import pytest

from harness.wire import Wire

CHUNKED = b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "obs-fold": b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\n\r\n",
    "obs-fold in the length": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 2\r\n\r\n{}",
    "identity": b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
    "xchunked": b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and a length": b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                            b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "one length twice": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
    "a signed length": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    "a hex length": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\n{}",
    "chunked on 1.0": b"POST /command HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "bare LF": b"GET /ping HTTP/1.1\nHost: x\n\n",
    "bare LF between headers": b"GET /ping HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n",
    "bare CR in a header": b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n",
    "space before the colon": b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
    "NUL in a header": b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
    "space in the target": b"GET /pi ng HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad chunk size": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-2\r\n{}\r\n",
    "no CRLF after a chunk": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
}
SMUGGLED = b"GET /ping?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("case", list(REFUSED))
def test_smuggling_corpus_is_refused_and_nothing_behind_it_is_served(daemon, case):
    with daemon.wire() as wire:
        wire.send(REFUSED[case] + SMUGGLED)
        answers = []
        try:
            while not wire.at_end():
                answers.append(wire.response().status)
        except (AssertionError, ConnectionResetError):
            pass
    assert len(answers) <= 1 and all(400 <= status < 500 or status in (501, 505) for status in answers), answers


def test_trailing_slash_twins_are_served_without_a_redirect(daemon):
    for method, target, body in (("GET", "/ping/", b""), ("POST", "/command/", b'{"command":"true"}'),
                                 ("GET", "/files/info/", b"")):
        assert daemon.call(method, target, body=body).status == 200


def test_percent_decoding_is_per_segment(daemon):
    assert daemon.call("GET", "/%70ing").status == 200
    assert daemon.call("GET", "/files%2Finfo").status == 404
    assert daemon.call("GET", "/code/contexts/a%2Fb").json()["message"] == "context a/b not found"


@pytest.mark.parametrize("target", ["/files/info?path=%", "/files/info?path=%zz", "/%", "/%zz", "/a%00b"])
def test_broken_percent_codes_never_crash(daemon, target):
    assert 200 <= daemon.call("GET", target).status < 600


def test_ping_stays_fast_beside_slow_and_idle_clients(daemon):
    wires = [Wire(daemon.port) for _ in range(2000)]
    try:
        for number, wire in enumerate(wires):
            wire.send(b"GET /ping HTTP/1.1\r\nHo"[:number % 24])
        begun = time.monotonic()
        with daemon.wire() as wire:
            for _ in range(100):
                assert wire.request("GET", "/ping").status == 200
        assert time.monotonic() - begun < 5
    finally:
        for wire in wires:
            wire.sock.close()


def test_request_body_and_answer_flow_at_once_without_deadlock(daemon, work):
    big = work / "big"
    big.write_bytes(b"x" * (32 << 20))
    with daemon.wire() as wire:
        request = f"GET /files/download?path={big} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        sender = threading.Thread(target=wire.send, args=(request * 20,))
        sender.start()
        for _ in range(20):
            assert len(wire.response().body) == 32 << 20
        sender.join()
