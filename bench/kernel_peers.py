"""usage: kernel_peers.py client COUNT PRINTS | server PORT TOKEN COUNT PRINTS

The kernel rows for Jupyter's own clients: jupyter_client without a server, and a Jupyter Server over its WebSocket. Prints
{"name": [milliseconds]} with the names of load/kernels.cpp; ends with 1 and the reason when the work was not done.
"""

import json
import sys
import threading
import time
import urllib.request
import uuid

INTERRUPTED = "import time\nprint('go', flush=True)\ntime.sleep(20)"


class Client:
    def __init__(self):
        from jupyter_client.manager import start_new_kernel
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code, said):
        self.client.execute_interactive(code, output_hook=lambda m: said(m["msg_type"], m["content"]), timeout=60)

    def interrupt(self):
        self.manager.interrupt_kernel()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class Server:
    def __init__(self, port, token):
        from websockets.sync.client import connect
        self.base, self.headers = f"http://127.0.0.1:{port}", {"Authorization": f"token {token}"}
        self.id = self.ask("POST", "/api/kernels", b'{"name":"python3"}')["id"]
        self.socket = connect(f"ws://127.0.0.1:{port}/api/kernels/{self.id}/channels", compression=None, max_size=None,
                              additional_headers=self.headers)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, body, {**self.headers, "Content-Type": "application/json"},
                                         method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def run(self, code, said):
        ident = uuid.uuid4().hex
        self.socket.send(json.dumps({
            "channel": "shell", "parent_header": {}, "metadata": {}, "buffers": [],
            "header": {"msg_id": ident, "msg_type": "execute_request", "session": "bench", "username": "", "version": "5.3",
                       "date": "2026-01-01T00:00:00Z"},
            "content": {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                        "allow_stdin": False, "stop_on_error": False}}))
        idle = replied = False
        while not (idle and replied):
            message = json.loads(self.socket.recv(timeout=60))
            if message["parent_header"].get("msg_id") != ident:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            idle = idle or (kind == "status" and content["execution_state"] == "idle")
            replied = replied or kind == "execute_reply"
            said(kind, content)

    def interrupt(self):
        self.ask("POST", f"/api/kernels/{self.id}/interrupt", b"{}")

    def close(self):
        self.socket.close()
        self.ask("DELETE", f"/api/kernels/{self.id}")


def main():
    count, prints = int(sys.argv[-2]), int(sys.argv[-1])
    rows = {"kernel_sum_ms": []}
    begun = time.perf_counter()
    kernel = Client() if sys.argv[1] == "client" else Server(sys.argv[2], sys.argv[3])

    def total():
        got = []
        asked = time.perf_counter()
        kernel.run("1+1", lambda kind, content: got.append(content["data"]["text/plain"]) if kind == "execute_result" else 0)
        if got != ["2"]:
            sys.exit(f"1+1 gave {got}")
        return (time.perf_counter() - asked) * 1e3

    total()
    rows["kernel_first_ms"] = [(time.perf_counter() - begun) * 1e3]
    rows["kernel_sum_ms"] = [total() for _ in range(count)]
    lines = []
    asked = time.perf_counter()
    kernel.run(f"for i in range({prints}): print('line', i, flush=i%100==99)",
               lambda kind, content: lines.append(content["text"]) if kind == "stream" else 0)
    rows["kernel_prints_ms"] = [(time.perf_counter() - asked) * 1e3]
    if (got := "".join(lines).count("line ")) != prints:
        sys.exit(f"{got} of {prints} lines came")
    pressed = []

    def press():
        time.sleep(0.02)
        pressed.append(time.perf_counter())
        kernel.interrupt()

    kernel.run(INTERRUPTED, lambda kind, _: threading.Thread(target=press).start() if kind == "stream" else 0)
    took = (time.perf_counter() - pressed[0]) * 1e3
    if took > 15_000:
        sys.exit("the sleep was not interrupted")
    rows["kernel_interrupt_ms"] = [took]
    kernel.close()
    print(json.dumps(rows))


main()
