"""What the browser tests share: a raw CDP client, a real RFB client over WebSocket, pictures as pixels."""

import itertools
import json
import struct
import zlib
from pathlib import Path

from websockets.sync.client import connect

NOVNC = Path(__file__).parents[1] / "js/node_modules/@novnc/novnc"


def with_novnc(folder):
    """An environment whose data directory has noVNC, as an image has it."""
    (folder / "novnc").symlink_to(NOVNC)
    return {"XDG_DATA_DIRS": f"{folder}:/usr/local/share:/usr/share"}  # openbox has its themes there


class Cdp:
    """One client of the browser; `session` is a page that it is attached to."""

    def __init__(self, daemon, path="/cdp"):
        self.socket = connect(f"ws://127.0.0.1:{daemon.port}{path}", max_size=None, open_timeout=40, compression=None)
        self.ids = itertools.count(1)
        self.session = None

    def call(self, method, **params):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(20))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def pages(self):
        return [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]

    def attach(self):
        target = self.pages()[0]["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def evaluate(self, text):
        answer = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def whole_screen(self):
        """The page fills the desktop: its coordinates are the screen's."""
        window = self.call("Browser.getWindowForTarget")["windowId"]
        self.call("Browser.setWindowBounds", windowId=window, bounds={"windowState": "fullscreen"})
        self.evaluate("""new Promise(done => { const look = () => innerWidth === screen.width && innerHeight === screen.height
                         ? requestAnimationFrame(() => done(true)) : setTimeout(look, 20); look(); })""")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Rfb:
    """A viewer: RFB 3.8, security None, raw pixels of 32 bits (RFC 6143)."""

    def __init__(self, daemon, path="/websockify", **options):
        self.socket = connect(f"ws://127.0.0.1:{daemon.port}{path}", open_timeout=40, max_size=None, compression=None, **options)
        self.unread = b""
        assert self.take(12) == b"RFB 003.008\n"
        self.socket.send(b"RFB 003.008\n")
        assert self.take(self.take(1)[0]) == b"\1"
        self.socket.send(b"\1")
        assert self.take(4) == bytes(4)
        self.socket.send(b"\1")  # shared
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.form = self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0]).decode()
        # 32 bits, red in the lowest byte; raw encoding only.
        self.socket.send(struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255, 0, 8, 16))
        self.socket.send(struct.pack(">BxHi", 2, 1, 0))

    def take(self, size):
        while len(self.unread) < size:
            self.unread += self.socket.recv(20)
        out, self.unread = self.unread[:size], self.unread[size:]
        return out

    def ask(self, incremental=False):
        self.socket.send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def picture(self):
        """All of the screen: {(x, y): (r, g, b)} as a function."""
        self.ask()
        pixels = bytearray(self.width * self.height * 4)
        left = self.width * self.height
        while left > 0:
            kind = self.take(1)[0]
            if kind == 2:  # bell
                continue
            if kind == 3:  # somebody's clipboard
                self.take(3)
                self.take(struct.unpack(">I", self.take(4))[0])
                continue
            assert kind == 0, kind
            for _ in range(struct.unpack(">xH", self.take(3))[0]):
                x, y, width, height, encoding = struct.unpack(">HHHHi", self.take(12))
                assert encoding == 0, encoding
                data = self.take(width * height * 4)
                for row in range(height):
                    at = ((y + row) * self.width + x) * 4
                    pixels[at:at + width * 4] = data[row * width * 4:(row + 1) * width * 4]
                left -= width * height
        return lambda x, y: tuple(pixels[(y * self.width + x) * 4:][:3])

    def click(self, x, y):
        for buttons in (0, 1, 0):
            self.socket.send(struct.pack(">BBHH", 5, buttons, x, y))

    def key(self, symbol):
        for down in (1, 0):
            self.socket.send(struct.pack(">BBxxI", 4, down, symbol))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def png_pixels(data):
    """(width, height, rows of (r, g, b)) of a PNG of 8-bit RGB without interlace (PNG, third edition, 9.2)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    width, height = head[:2]
    assert head[2:] == (8, 2, 0, 0, 0), head
    raw, above, rows = zlib.decompress(packed), bytes(width * 3), []
    for y in range(height):
        line = raw[y * (width * 3 + 1):(y + 1) * (width * 3 + 1)]
        now = bytearray(line[1:])
        for i in range(len(now)):
            a, b, c = (now[i - 3] if i >= 3 else 0), above[i], (above[i - 3] if i >= 3 else 0)
            guess = min((a, b, c), key=lambda one: abs(a + b - c - one))
            now[i] = (now[i] + (0, a, b, (a + b) // 2, guess)[line[0]]) & 255
        rows.append([tuple(now[i:i + 3]) for i in range(0, len(now), 3)])
        above = now
    return width, height, rows
