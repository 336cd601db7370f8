"""Figures of the browser and the desktop against a release build: how soon they are ready, what the CDP relay adds, a message of
50 MB, the VNC relay beside plain TCP, a recording of a quiet screen. Needs chromium, xvfb, openbox, ffmpeg.

usage: bench/browser.py <execd> [ready] [cdp] [vnc] [recording]
"""

import base64
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

# Stands for x11vnc: the first to come is the daemon's probe, as are those who are silent for 3 s; the others get an echo, or as
# many MiB as "S00000008" asks for.
FAKE_VNC = r'''#!%s
import os, select, signal, socket
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
print(f"PORT={listener.getsockname()[1]}", flush=True)
def greet(probe):
    probe.sendall(b"RFB 003.008\n")
    probe.recv(12)
    probe.sendall(b"\1\1")
greet(listener.accept()[0])
while True:
    one, _ = listener.accept()
    if os.fork():
        one.close()
        continue
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    block = bytes(256 << 10)
    if not select.select([one], [], [], 3)[0]:
        greet(one)
        os._exit(0)
    while data := one.recv(65536):
        if data[:1] != b"S":
            one.sendall(data)
            continue
        for _ in range(4 * int(data[1:9])):
            one.sendall(block)
    os._exit(0)
'''


class Daemon:
    def __init__(self, program, work, **environment):
        self.begun = time.monotonic()
        self.process = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=work,
                                        env={**os.environ, "HOME": work, "TMPDIR": work, **environment})
        for line in self.process.stdout:
            if found := re.search(rb'"port":(\d+)', line):
                self.port = int(found[1])
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return json.load(answer)

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Socket:
    """A WebSocket of one client, as little of it as these figures need."""

    def __init__(self, port, path):
        self.tcp = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.tcp.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.tcp.recv(1)
        assert b" 101 " in head, head
        self.number = 0

    def send(self, data, opcode=1):
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self.tcp.sendall(bytes([0x80 | opcode]) + length + bytes(4) + data)

    def exactly(self, size):
        out = bytearray(size)
        view, have = memoryview(out), 0
        while have < size:
            got = self.tcp.recv_into(view[have:])
            assert got, "the end came too early"
            have += got
        return out

    def receive(self):
        out = b""
        while True:
            head = self.exactly(2)
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
            data = self.exactly(size)
            if head[0] & 15 == 9:
                continue
            out = data if not out else out + data
            if head[0] & 128:
                return out

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session := getattr(self, "session", None):
            message["sessionId"] = session
        self.send(json.dumps(message).encode())
        while True:
            answer = self.receive()
            if len(answer) > 10_000_000 or f'"id":{self.number},'.encode() in answer[:40]:
                return answer


def attached(port, path):
    one = Socket(port, path)
    pages = json.loads(one.call("Target.getTargets"))["result"]["targetInfos"]
    page = next(each["targetId"] for each in pages if each["type"] == "page")
    one.session = json.loads(one.call("Target.attachToTarget", targetId=page, flatten=True))["result"]["sessionId"]
    return one


def direct_of(daemon):
    """Chromium's own port and path, past the relay."""
    pid = next(unit["pid"] for unit in daemon.get("/execd/v1/browser")["units"] if unit["name"] == "browser")
    found = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    port = int(re.search(rf"127\.0\.0\.1:(\d+) .*pid={pid},", found)[1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version") as answer:
        return port, "/devtools/browser/" + json.load(answer)["webSocketDebuggerUrl"].rsplit("/", 1)[1]


def ready(program, work):
    times = []
    for attempt in range(3):
        home = f"{work}/ready{attempt}"
        os.mkdir(home)
        os.chmod(home, 0o755)
        daemon = Daemon(program, home)
        begun = time.monotonic()
        daemon.get("/json/version")
        times.append(time.monotonic() - begun)
        daemon.stop()
    print("ready: first call of /json/version of a fresh profile answered after", " ".join(f"{t:.2f}" for t in times), "s")


def round_trips(one, count=1500):
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        one.call("Browser.getVersion")
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


def cdp(program, work):
    daemon = Daemon(program, work)
    daemon.get("/json/version")
    port, path = direct_of(daemon)
    ours, theirs = attached(daemon.port, "/cdp"), attached(port, path)
    for one in (ours, theirs):
        round_trips(one, 200)
    rounds = [(round_trips(theirs), round_trips(ours)) for _ in range(5)]
    added = statistics.median(b - a for a, b in rounds)
    print("cdp: Browser.getVersion p50 direct/relayed ms:", " ".join(f"{a:.3f}/{b:.3f}" for a, b in rounds),
          f"; added {added:.3f} ms")
    expression = f"'x'.repeat({50 << 20})"
    times = {id(ours): [], id(theirs): []}
    ours.call("Runtime.evaluate", expression="1")
    daemon.reset_peak()
    before = daemon.peak_kib()
    for _ in range(5):
        for one in (theirs, ours):
            begun = time.perf_counter()
            assert len(one.call("Runtime.evaluate", expression=expression, returnByValue=True)) > 50 << 20
            times[id(one)].append(time.perf_counter() - begun)
    direct, relayed = statistics.median(times[id(theirs)]), statistics.median(times[id(ours)])
    print(f"cdp: 50 MB message direct {direct:.3f} s, relayed {relayed:.3f} s, {relayed / direct:.2f}x; "
          f"peak memory of the daemon +{daemon.peak_kib() - before} KiB")
    daemon.stop()


def plain(port):
    one = socket.create_connection(("127.0.0.1", port), timeout=60)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def vnc(program, work):
    tools = f"{work}/tools"
    os.mkdir(tools)
    with open(f"{tools}/x11vnc", "w") as script:
        script.write(FAKE_VNC % sys.executable)
    os.chmod(f"{tools}/x11vnc", 0o755)
    daemon = Daemon(program, work, PATH=f"{tools}:{os.environ['PATH']}", EXECD_BROWSER_PROGRAM="/nowhere/chromium")
    relayed = Socket(daemon.port, "/websockify")
    units = {unit["name"]: unit for unit in daemon.get("/execd/v1/browser")["units"]}
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    direct = plain(int(re.search(rf"127\.0\.0\.1:(\d+) .*pid={units['vnc']['pid']},", listening)[1]))

    def echo(relay, count=3000):
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            if relay:
                relayed.send(b"e" * 64, 2)
                relayed.exactly(2 + 64)
            else:
                direct.sendall(b"e" * 64)
                direct.recv(64, socket.MSG_WAITALL)
            times.append(time.perf_counter() - begun)
        return statistics.median(times) * 1000

    def stream(relay, mib=512):
        tcp = relayed.tcp if relay else direct
        begun = time.perf_counter()
        relayed.send(b"S%08d" % mib, 2) if relay else direct.sendall(b"S%08d" % mib)
        have, buffer = 0, bytearray(1 << 20)
        while have < mib << 20:  # frame heads are counted along: a ten thousandth
            have += tcp.recv_into(buffer)
        seconds = time.perf_counter() - begun
        tcp.settimeout(0.3)
        try:
            while tcp.recv_into(buffer):
                pass
        except TimeoutError:
            pass
        tcp.settimeout(60)
        return mib * 1.048576 / seconds

    for relay in (False, True):
        echo(relay, 300)
    trips = [(echo(False), echo(True)) for _ in range(5)]
    rates = [(stream(False), stream(True)) for _ in range(5)]
    print("vnc: 64 bytes there and back, plain TCP/relayed ms:", " ".join(f"{a:.3f}/{b:.3f}" for a, b in trips),
          f"; {statistics.median(b / a for a, b in trips):.2f}x")
    print("vnc: server to client, plain TCP/relayed MB/s:", " ".join(f"{a:.0f}/{b:.0f}" for a, b in rates),
          f"; {statistics.median(a / b for a, b in rates):.2f}x slower")
    daemon.stop()


def recording(program, work):
    daemon = Daemon(program, work)
    daemon.get("/json/version")
    server = next(unit["pid"] for unit in daemon.get("/execd/v1/browser")["units"] if unit["name"] == "display")

    def spent(pid):
        with open(f"/proc/{pid}/stat") as stat:
            words = stat.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def share(pids, seconds):
        begun, before = time.monotonic(), [spent(pid) for pid in pids]
        time.sleep(seconds)
        return [100 * (spent(pid) - was) / (time.monotonic() - begun) for pid, was in zip(pids, before)]

    time.sleep(3)
    quiet, = share([server], 5)
    viewer = Socket(daemon.port, "/ws/automation?recording=true")
    end = time.monotonic() + 20
    while not daemon.get("/recordings")["recordings"]:
        assert time.monotonic() < end
        time.sleep(0.2)
    pid = int(subprocess.run(["pgrep", "-n", "-x", "ffmpeg"], capture_output=True, text=True, check=True).stdout)
    time.sleep(2)
    film, shown = share([pid, server], 15)
    with open(f"/proc/{pid}/status") as status:
        memory = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
    print(f"recording: a quiet 1280x1024 screen, 10 fps: {film:.1f} % of a core, peak {memory / 1024:.0f} MiB; "
          f"the X server for its pictures {shown - quiet:.1f} %; "
          f"{daemon.get('/recordings')['recordings'][0]['size']} bytes after 17 s")
    viewer.tcp.close()
    daemon.stop()


def main():
    chosen = sys.argv[2:] or ["ready", "cdp", "vnc", "recording"]
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="execd-bench-", ignore_cleanup_errors=True) as work:
            os.chmod(work, 0o755)
            {"ready": ready, "cdp": cdp, "vnc": vnc, "recording": recording}[name](os.path.abspath(sys.argv[1]), work)


main()
