"""Figures of the file rooms against a running daemon: content search beside `rg -j1`, the delay of a watcher, memory
while 4 GiB go up and come down. Needs a release build, ripgrep and 5 GiB of /dev/shm.

usage: bench/files_figures.py <execd> [search] [watch] [memory]
"""

import http.client
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BASE = "/execd/v1/files"


class Daemon:
    def __init__(self, program, work):
        environment = {**os.environ, "HOME": work}
        self.process = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        cwd=work, env=environment)
        for line in self.process.stdout:
            if found := re.search(rb'"port":(\d+)', line):
                self.port = int(found[1])
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def call(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201), text
        return json.loads(text)

    def memory_kib(self, name):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(rf"{name}:\s+(\d+)", status.read())[1])


def make_tree(root):
    """20,000 files in 400 directories, 180 MB of words; one line in 2,000 holds the needle."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(2, 11))) for _ in range(5000)]
    lines = [" ".join(chance.choices(words, k=chance.randint(3, 14))) for _ in range(20_000)]
    for index in range(20_000):
        folder = f"{root}/d{index // 50:03}"
        if index % 50 == 0:
            os.makedirs(folder)
        chosen = chance.choices(lines, k=chance.randint(20, 240))
        if index % 20 == 0:
            chosen[len(chosen) // 2] = f"call needle_{index}(Value);"
        with open(f"{folder}/file{index}.c", "w") as out:
            out.write("\n".join(chosen) + "\n")


def search(daemon, work):
    root = f"{work}/tree"
    make_tree(root)
    rows = [("literal, 1,000 lines", "needle_", {}, []),
            ("expression with a literal", r"needle_[0-9]+\(Value\)", {}, []),
            ("expression without one", r"[a-z]+_[0-9]{3,5}\(", {}, []),
            ("ignoring case", "NEEDLE_", {"ignore_case": True}, ["-i"]),
            ("nothing found", "there is no such text", {}, [])]
    for name, pattern, options, flags in rows:
        ours, theirs = [], []
        for _ in range(7):
            start = time.perf_counter()
            raw = subprocess.run(["rg", "-j1", "--no-ignore", "--hidden", "-n", "--no-heading", *flags, pattern, root],
                                 capture_output=True)
            theirs.append(time.perf_counter() - start)
            start = time.perf_counter()
            found = daemon.call("POST", f"{BASE}/search", {"path": root, "pattern": pattern, "hidden": True,
                                                           "max_matches": 5000, **options})
            ours.append(time.perf_counter() - start)
            assert len(found["matches"]) == raw.stdout.count(b"\n"), (len(found["matches"]), name)
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"search, {name}: {a * 1e3:.0f} ms, rg -j1 {b * 1e3:.0f} ms, {a / b:.2f}", flush=True)


def watch(daemon, work):
    folder = f"{work}/watched"
    os.makedirs(f"{folder}/deep/er")
    for debounce in (0, 50):
        made = daemon.call("POST", f"{BASE}/watches", {"path": folder, "debounce_ms": debounce})
        cursor, delays = 0, []
        for index in range(100):
            begun = {}

            def write(name=f"{folder}/deep/er/{index}", begun=begun):
                time.sleep(0.02)  # the reader waits by then
                begun["at"] = time.perf_counter()
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY))

            writer = threading.Thread(target=write)
            writer.start()
            seen = False
            while not seen:
                answer = daemon.call("GET", f"{BASE}/watches/{made['id']}?cursor={cursor}&wait_ms=5000")
                now = time.perf_counter()
                cursor = answer["cursor"]
                seen = any(event["path"].endswith(f"/{index}") for event in answer["events"])
            delays.append((now - begun["at"]) * 1e3 - debounce)
            writer.join()
        delays.sort()
        print(f"watch, debounce {debounce} ms: median {delays[50]:.2f} ms and p99 {delays[98]:.2f} ms beyond it", flush=True)


def memory(daemon, work):
    size = 4 << 30
    name = f"{work}/big"
    head = (b'--bound\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{"path": "%s"}\r\n'
            b'--bound\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' % name.encode())
    tail = b"\r\n--bound--\r\n"
    daemon.call("GET", "/metrics")
    before = daemon.memory_kib("VmRSS")
    with open(f"/proc/{daemon.process.pid}/clear_refs", "w") as peak:
        peak.write("5")
    block = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        client.sendall(b"POST /files/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=bound\r\n"
                       b"Content-Length: %d\r\n\r\n" % (len(head) + size + len(tail)) + head)
        for _ in range(size >> 20):
            client.sendall(block)
        client.sendall(tail)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    up = daemon.memory_kib("VmHWM")
    assert os.path.getsize(name) == size
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        client.sendall(b"GET /files/download?path=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % name.encode())
        received = 0
        while piece := client.recv(1 << 20):
            received += len(piece)
    assert received > size
    both = daemon.memory_kib("VmHWM")
    print(f"4 GiB: RSS {before} KiB before, at most +{up - before} KiB up, +{both - before} KiB up and down", flush=True)


def main():
    wanted = sys.argv[2:] or ["search", "watch", "memory"]
    work = tempfile.mkdtemp(prefix="execd-figures-", dir="/dev/shm")
    daemon = Daemon(sys.argv[1], work)
    try:
        for name in wanted:
            {"search": search, "watch": watch, "memory": memory}[name](daemon, work)
    finally:
        daemon.process.terminate()
        daemon.process.wait()
        shutil.rmtree(work)


main()
