"""The pieces of work that bench/soak.py puts on a daemon, and how often each is taken.

Each is work(http, soak, chance): a kept connection of its worker, the Soak (ports, folder, what was written), and that
worker's random numbers. It checks its answers and raises Wrong, or what its client raises, when one is not what it has
to be. A new one is added to WORK, and to EXECUTIONS when it runs commands.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import uuid
from pathlib import Path

BLOCK = random.Random(1).randbytes(200_000)
OWN = "/execd/v1"


class Wrong(Exception):
    """An answer that is not what it has to be."""


class Http:
    """One kept connection: requests with checked lengths, nothing else."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)

    def close(self):
        if self.writer:
            self.writer.close()
            self.reader = self.writer = None

    async def ask(self, method, target, body=b"", status=200, kind="application/json"):
        if not self.writer:
            await self.open()
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        got, text = await asyncio.wait_for(self.answer(), 120)
        wanted = status if isinstance(status, tuple) else (status,)
        if got not in wanted:
            raise Wrong(f"{method} {target.split('?')[0]}: {got} {text[:300]!r}")
        return text

    async def answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])}
        if "transfer-encoding" in fields:
            text = b""
            while size := int((await self.reader.readuntil(b"\r\n")), 16):
                text += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return status, text
        return status, await self.reader.readexactly(int(fields.get("content-length", 0)))


def events(text):
    found = [json.loads(one) for one in text.split(b"\n\n") if one]
    out = "".join(event["text"] for event in found if event["type"] == "stdout")
    return out, found[-1]


def expect(holds, *seen):
    if not holds:
        raise Wrong(repr(seen)[:500])


# each function is one piece of work; WORK below says how often it is taken ---------------------------------------------
async def command(http, _soak, chance):
    number = chance.randrange(1000)
    out, end = events(await http.ask("POST", "/command", {"command": f"echo {number}; exit {number % 3}"}))
    expect(out == f"{number}\n" and (end["type"] == "execution_complete") == (number % 3 == 0), out, end)


async def many_commands(http, soak, chance):
    for _ in range(20):
        await command(http, soak, chance)


async def output(http, _soak, chance):
    size = chance.randrange(1, 400_000)
    ident = "soak-" + uuid.uuid4().hex
    await http.ask("PUT", f"{OWN}/executions/{ident}", {"shell": f"head -c {size} /dev/zero", "wait_ms": 60_000}, 201)
    expect(len(await http.ask("GET", f"{OWN}/executions/{ident}/output")) == size, size)


async def session(http, _soak, chance):
    ident = json.loads(await http.ask("POST", "/session", b""))["session_id"]
    number = chance.randrange(1000)
    await http.ask("POST", f"/session/{ident}/run", {"command": f"kept={number}"})
    out, _ = events(await http.ask("POST", f"/session/{ident}/run", {"command": "echo $kept"}))
    expect(out == f"{number}\n", out)
    await http.ask("DELETE", f"/session/{ident}", status=(200, 204))


async def terminal(http, soak, chance):
    from websockets.asyncio.client import connect
    ident = json.loads(await http.ask("POST", "/pty", {}, 201))["session_id"]
    async with connect(f"ws://127.0.0.1:{soak.port}/pty/{ident}/ws", compression=None, max_size=None) as socket:
        await socket.send(b"\0echo $((%d+1))-done\n" % (number := chance.randrange(1000)))
        seen = b""
        while b"%d-done" % (number + 1) not in seen:
            frame = await asyncio.wait_for(socket.recv(), 60)
            seen += frame[1:] if isinstance(frame, bytes) else b""
    await http.ask("DELETE", f"/pty/{ident}", status=(200, 204))


def context(language, code, expected):
    async def work(http, _soak, _chance):
        ident = json.loads(await http.ask("POST", "/code/context", {"language": language}))["id"]
        for _ in range(3):
            text = await http.ask("POST", "/code", {"code": code, "context": {"id": ident, "language": language}})
            out, end = events(text)
            expect(out == expected and end["type"] == "execution_complete", out, end)
        await http.ask("DELETE", f"/code/contexts/{ident}", status=(200, 204))
    work.__name__ = language + "_context"
    return work


async def run(http, _soak, chance):
    number = chance.randrange(1000)
    done = json.loads(await http.ask("POST", OWN + "/runs", {"language": "python", "wait_ms": 60_000,
                                                            "code": f"print({number})"}, 201))
    expect(done["outcome"]["kind"] == "ok", done)
    page = json.loads(await http.ask("GET", f"{OWN}/runs/{done['id']}/outputs"))
    expect("".join(one.get("text", "") for one in page["outputs"]) == f"{number}\n", page)


async def files(http, soak, chance):
    path = f"{soak.work}/f{chance.randrange(200)}"
    data = BLOCK[:chance.randrange(1, len(BLOCK))]
    await http.ask("PUT", f"{OWN}/files/content?path={path}", data, (200, 201), "application/octet-stream")
    expect(await http.ask("GET", f"/files/download?path={path}") in soak.versions(path, data), path)
    await http.ask("PUT", OWN + "/files/text", {"path": path + ".txt", "text": "one\ntwo\n"}, (200, 201, 204))
    await http.ask("POST", OWN + "/files/edit", {"path": path + ".txt", "edits": [{"old": "two", "new": "three"}]}, (200, 400, 404, 409))
    await http.ask("GET", f"/directories/list?path={soak.work}")


async def watch(http, soak, chance):
    folder = f"{soak.work}/watched-{uuid.uuid4().hex}"
    os.mkdir(folder)
    made = json.loads(await http.ask("POST", OWN + "/files/watches", {"path": folder, "debounce_ms": 1}, 201))
    Path(folder, "x").touch()
    seen = json.loads(await http.ask("GET", f"{OWN}/files/watches/{made['id']}?cursor=0&wait_ms=20000"))
    expect(seen["events"], seen)
    await http.ask("DELETE", f"{OWN}/files/watches/{made['id']}", status=204)
    shutil.rmtree(folder)


async def proxy(http, soak, chance):
    data = BLOCK[:chance.randrange(1, len(BLOCK))]
    text = await http.ask("POST", f"/proxy/{soak.upstream}/digest", data)
    expect(text.decode() == hashlib.sha256(data).hexdigest(), text)


async def proxied_websocket(_http, soak, chance):
    from websockets.asyncio.client import connect
    async with connect(f"ws://127.0.0.1:{soak.port}/proxy/{soak.sockets}/", compression=None, max_size=None) as socket:
        data = BLOCK[:chance.randrange(1, 70_000)]
        await socket.send(data)
        expect(await asyncio.wait_for(socket.recv(), 60) == data)


async def asked(socket, number, method, session=None, **params):
    """The answer to one CDP command; events in between are passed over."""
    await socket.send(json.dumps({"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}))
    while True:
        answer = json.loads(await asyncio.wait_for(socket.recv(), 60))
        if answer.get("id") == number:
            expect("result" in answer, method, answer)
            return answer["result"]


async def browser(_http, soak, chance):
    """A page of its own: opened, asked, closed."""
    from websockets.asyncio.client import connect
    number = chance.randrange(1000)
    async with connect(f"ws://127.0.0.1:{soak.port}/cdp", compression=None, max_size=None) as socket:
        page = (await asked(socket, 1, "Target.createTarget", url=f"data:text/html,<title>{number}</title>"))["targetId"]
        attached = (await asked(socket, 2, "Target.attachToTarget", targetId=page, flatten=True))["sessionId"]
        value = await asked(socket, 3, "Runtime.evaluate", attached, expression=f"{number}*2")
        expect(value["result"]["value"] == number * 2, value)
        await asked(socket, 4, "Target.closeTarget", targetId=page)


async def desktop(_http, soak, _chance):
    """A client of the desktop's VNC server that shakes hands and leaves."""
    from websockets.asyncio.client import connect
    async with connect(f"ws://127.0.0.1:{soak.port}/websockify", compression=None, max_size=None) as socket:
        said = b""
        while len(said) < 12:
            said += await asyncio.wait_for(socket.recv(), 60)
        expect(said.startswith(b"RFB 003."), said)
        await socket.send(b"RFB 003.008\n")
        while len(said) < 14:
            said += await asyncio.wait_for(socket.recv(), 60)
        expect(1 in said[13:], said)  # security: none


async def cut(_http, soak, chance):
    """A client that goes away in the middle of its answer; the command runs on to its end, as the contract says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.port)
    body = json.dumps({"command": chance.choice(["sleep 0.2; echo x", "seq 1 100000", "head -c 3000000 /dev/zero"])}).encode()
    writer.write(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await asyncio.sleep(chance.random() * 0.1)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1000), 0.05)
    writer.transport.abort()


WORK = {command: 6, many_commands: 6, output: 3, session: 3, terminal: 3, context("python", "print(6*7)", "42\n"): 2,
        context("bash", "echo $((6*7))", "42\n"): 1, run: 3, files: 4, watch: 1, proxy: 3, proxied_websocket: 2, browser: 1, desktop: 1, cut: 2}
# Commands that one piece of work runs; of the others none counts as an execution.
EXECUTIONS = {"command": 1, "many_commands": 1, "output": 1, "session": 2, "terminal": 1, "cut": 1}
NAMES = ["ping", *[work.__name__ for work in WORK]]
# Without one of these programs neither `browser` nor `desktop` can be done.
DESKTOP = ("chromium", "Xvfb", "openbox", "x11vnc")
