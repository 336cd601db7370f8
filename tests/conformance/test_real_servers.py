"""Real servers behind /proxy/{port}: uvicorn with events, WebSockets, uploads and redirects (issue B, "Tests")."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import socket
import threading

import pytest
import uvicorn
import websockets

from harness import processes
from harness.wire import build

BLOCK = os.urandom(1 << 16)


class App:
    """An ASGI application by hand: what the server sends is what the test says."""

    def __init__(self):
        self.next_event = asyncio.Event()
        self.left = threading.Event()
        self.held_back = threading.Event()
        self.loop = None

    async def __call__(self, scope, receive, send):
        self.loop = asyncio.get_running_loop()
        if scope["type"] == "websocket":
            return await self.websocket(scope, receive, send)
        if scope["type"] == "http":
            return await getattr(self, scope["path"].strip("/") or "root")(scope, receive, send)

    @staticmethod
    async def answer(send, body, headers=(), status=200):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    @staticmethod
    async def body(receive):
        while True:
            message = await receive()
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def root(self, scope, receive, send):
        facts = {"path": scope["path"], "query": scope["query_string"].decode(), "method": scope["method"],
                 "headers": [[k.decode(), v.decode()] for k, v in scope["headers"]]}
        await self.answer(send, json.dumps(facts).encode(), [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])

    async def digest(self, _scope, receive, send):
        total = hashlib.sha256()
        async for piece in self.body(receive):
            total.update(piece)
        await self.answer(send, total.hexdigest().encode())

    async def redirect(self, _scope, _receive, send):
        await self.answer(send, b"", [(b"location", b"/elsewhere?x=1")], 307)

    async def blocks(self, _scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(256):
            sent = asyncio.ensure_future(send({"type": "http.response.body", "body": BLOCK, "more_body": True}))
            done, _ = await asyncio.wait({sent}, timeout=0.2)
            if not done:
                self.held_back.set()  # the proxy takes no more
            await sent
        await send({"type": "http.response.body", "body": b""})

    async def events(self, _scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        gone = asyncio.ensure_future(receive())
        for number in range(1000):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            waiting = asyncio.ensure_future(self.next_event.wait())
            done, _ = await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            while gone in done and gone.result()["type"] != "http.disconnect":
                gone = asyncio.ensure_future(receive())
                done, _ = await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            self.next_event.clear()
            if gone in done:
                self.left.set()
                return

    async def websocket(self, scope, receive, send):
        await receive()
        await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "bye":
                return await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
        self.left.set()

    def one_more(self):
        self.loop.call_soon_threadsafe(self.next_event.set)


@pytest.fixture(scope="module")
def served():
    app = App()
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws_max_size=64 << 20))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
    thread.start()
    app.port = sock.getsockname()[1]
    yield app
    server.should_exit = True
    thread.join(10)


def test_the_application_sees_its_own_paths(daemon, served):
    answer = daemon.call("GET", f"/proxy/{served.port}/?q=a%2Fb&q=2", headers=[("X-Mine", "1")])
    facts = json.loads(answer.body)
    assert (facts["path"], facts["query"], facts["method"]) == ("/", "q=a%2Fb&q=2", "GET")
    assert [v for k, v in answer.headers if k.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert ["x-mine", "1"] in facts["headers"]


def test_a_redirect_is_passed_on_as_it_is(daemon, served):
    answer = daemon.call("GET", f"/proxy/{served.port}/redirect")
    assert (answer.status, answer.header("Location")) == (307, "/elsewhere?x=1")


def test_events_come_one_by_one_and_leaving_is_noticed(daemon, served):
    served.left.clear()
    with daemon.wire() as wire:
        wire.send(build("GET", f"/proxy/{served.port}/events"))
        answer = wire.head()
        assert answer.header("Content-Type") == "text/event-stream"
        for number in range(20):
            assert wire.chunk() == b"data: %d\n\n" % number
            served.one_more()
    served.one_more()
    assert served.left.wait(10), "the server was not told that its client left"


def test_bodies_of_any_size_and_form_arrive_whole(daemon, served):
    for size in (0, 1, 65_535, 5_000_000):
        data = BLOCK * (size // len(BLOCK) + 1)
        data = data[:size]
        wanted = hashlib.sha256(data).hexdigest()
        assert daemon.call("POST", f"/proxy/{served.port}/digest", body=data).text == wanted
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)) as client:
            client.request("POST", f"/proxy/{served.port}/digest", body=iter([data[:7], data[7:]] if size else []),
                           encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
            assert client.getresponse().read().decode() == wanted


def test_a_slow_reader_holds_the_server_back_and_not_memory(daemon, served):
    served.held_back.clear()
    with daemon.wire() as wire:
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        before = processes.memory_kib(daemon.pid, "Rss")
        wire.send(build("GET", f"/proxy/{served.port}/blocks"))
        wire.head()
        assert served.held_back.wait(30), "the server could send everything though nobody read"
        assert processes.memory_kib(daemon.pid, "Rss") - before < 4 << 10
        got = 0
        while piece := wire.chunk():
            got += len(piece)
    assert got == 256 * len(BLOCK)


def ws(daemon, served, **options):
    return websockets.connect(f"ws://127.0.0.1:{daemon.port}/proxy/{served.port}/ws", max_size=64 << 20, **options)


def test_websockets_of_a_real_server(daemon, served):
    async def talk():
        async with ws(daemon, served, subprotocols=["two", "one"]) as socket_:
            assert socket_.subprotocol == "two"
            for text in ("", "hello", "ü" * 1000):
                await socket_.send(text)
                assert await socket_.recv() == text
            for size in (0, 1, 125, 126, 65_535, 65_536, 3_000_000):
                data = (BLOCK * (size // len(BLOCK) + 1))[:size]
                await socket_.send(data)
                assert await socket_.recv() == data
            await socket_.send([b"in ", b"pieces"])
            assert await socket_.recv() == b"in pieces"
            await (await socket_.ping())
            await socket_.send("bye")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket_.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")

    asyncio.run(talk())


def test_a_websocket_client_that_vanishes_is_noticed(daemon, served):
    served.left.clear()

    async def vanish():
        socket_ = await ws(daemon, served)
        await socket_.send("x")
        assert await socket_.recv() == "x"
        socket_.transport.abort()

    asyncio.run(vanish())
    assert served.left.wait(15)


def test_bad_frames_reach_the_server_that_they_were_meant_for(daemon, served):
    """A relay forwards frames unseen: the server behind it refuses, and both connections end."""
    for frame in (b"\xff\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x81\x05hello", b"\x89\xfe\x00\x80" + b"\0" * 132,
                  b"\x81\x81\0\0\0\0\xff"):
        with daemon.wire() as wire:
            wire.send(build("GET", f"/proxy/{served.port}/ws",
                            [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
            assert wire.head().status == 101
            wire.send(frame)
            data = bytes(wire.pending)
            while piece := wire.sock.recv(65536):
                data += piece
            assert data[:1] == b"\x88", (frame, data)
    assert daemon.call("GET", "/ping").status == 200


def test_many_websockets_at_once(daemon, served):
    async def one(number):
        async with ws(daemon, served) as socket_:
            for turn in range(10):
                await socket_.send(f"{number}/{turn}")
                assert await socket_.recv() == f"{number}/{turn}"

    async def all_of_them():
        await asyncio.gather(*(one(number) for number in range(50)))

    asyncio.run(all_of_them())
