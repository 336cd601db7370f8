#!/usr/bin/env python3
"""usage: bench/native_kernels.py EXECD [starts]

Native kernels: from the start of `execd kernel NAME` to the reply to kernel_info_request, `1+1` from request to reply (30,
after five that are not counted), and PSS of the kernel's own process. A plain ZeroMQ client, signed as Jupyter
does. The floor beside each is the bare interpreter that starts and ends. Prints medians and minima in milliseconds.

Run it with the test environment's Python: eval "$(scripts/deps --print)"; $EXECD_TEST_VENV/bin/python bench/native_kernels.py ...
"""

import hashlib
import hmac
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import zmq

KEY = b"bench"
FLOOR = {"bash": ["bash", "-c", ":"], "python3": ["python3", "-c", ""], "node": ["node", "-e", ""]}


class Client:
    def __init__(self, context, room):
        self.socket = context.socket(zmq.DEALER)
        self.socket.reconnect_ivl = 1  # ms: the kernel binds only now
        self.socket.connect(f"ipc://{room}/s-1")

    def ask(self, kind, content):
        header = {"msg_id": uuid.uuid4().hex, "session": "bench", "username": "", "date": "", "msg_type": kind, "version": "5.3"}
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        sign = hmac.new(KEY, b"".join(parts), hashlib.sha256).hexdigest().encode()
        self.socket.send_multipart([b"<IDS|MSG>", sign, *parts])
        if not self.socket.poll(30_000):
            raise SystemExit(f"no reply to {kind}")
        return json.loads(self.socket.recv_multipart()[-1])


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024


def once(execd, name, context):
    with tempfile.TemporaryDirectory() as room:
        file = pathlib.Path(room, "c.json")
        ports = dict(shell_port=1, iopub_port=2, stdin_port=3, control_port=4, hb_port=5)
        file.write_text(json.dumps({"transport": "ipc", "ip": f"{room}/s", "key": KEY.decode(),
                                    "signature_scheme": "hmac-sha256", "kernel_name": name, **ports}))
        begun = time.perf_counter()
        kernel = subprocess.Popen([execd, "kernel", name, "-f", file], stdin=subprocess.DEVNULL)
        try:
            client = Client(context, room)
            client.ask("kernel_info_request", {})
            ready = time.perf_counter() - begun
            request = {"code": "1+1" if name != "bash" else "echo $((1+1))", "silent": False, "store_history": True,
                       "user_expressions": {}, "allow_stdin": False, "stop_on_error": False}
            times = []
            for _ in range(35):
                begun = time.perf_counter()
                if client.ask("execute_request", request)["status"] != "ok":
                    raise SystemExit(f"{name}: 1+1 failed")
                times.append(time.perf_counter() - begun)
            memory = pss(kernel.pid)
            client.socket.close(0)
            return ready * 1000, statistics.median(times[5:]) * 1000, memory
        finally:
            kernel.terminate()
            kernel.wait()


def floor(name):
    begun = time.perf_counter()
    subprocess.run(FLOOR[name], stdin=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begun) * 1000


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        raise SystemExit(__doc__)
    execd, starts = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15
    context = zmq.Context()
    print(f"{'kernel':8} {'start ms, p50 (min)':>20} {'bare interpreter ms':>20} {'1+1 ms, p50':>12} {'PSS MB':>7}")
    for name in FLOOR:
        if not shutil.which(FLOOR[name][0]):
            print(f"{name:8} no interpreter")
            continue
        rows, floors = [], []
        for _ in range(starts):  # interleaved: the machine's mood is the same for both
            floors.append(floor(name))
            rows.append(once(execd, name, context))
        ready, sums, memory = zip(*rows)
        print(f"{name:8} {statistics.median(ready):12.1f} ({min(ready):.1f}) {statistics.median(floors):12.1f} ({min(floors):.1f})"
              f" {statistics.median(sums):12.2f} {statistics.median(memory):7.1f}")


if __name__ == "__main__":
    main()
