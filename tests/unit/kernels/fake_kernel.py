# A kernel that misbehaves on command: the code of a run says how. Usage: fake_kernel.py CONNECTION_FILE [HOW]
import hashlib
import hmac
import json
import os
import signal
import sys
import time
import uuid

import zmq

HOW = sys.argv[2] if len(sys.argv) > 2 else ""
if HOW == "die_at_start":
    print("no such display", file=sys.stderr)
    sys.exit(9)
if HOW == "silent":
    time.sleep(600)

if HOW == "once":
    flag = os.path.join(os.path.dirname(sys.argv[1]), "came-once")
    if os.path.exists(flag):
        print("only once", file=sys.stderr)
        sys.exit(9)
    open(flag, "w").close()

with open(sys.argv[1]) as f:
    conn = json.load(f)
ABORTED = []
KEY = conn["key"].encode()
ctx = zmq.Context()


def bind(kind, name):
    sock = ctx.socket(kind)
    separator = "-" if conn["transport"] == "ipc" else ":"
    sock.linger = 1000
    sock.bind(f"{conn['transport']}://{conn['ip']}{separator}{conn[name + '_port']}")
    return sock


if HOW == "port_lost":  # the second start finds its port taken
    import socket

    flag = os.path.join(os.path.dirname(sys.argv[1]), "starts")
    with open(flag, "a+") as starts:
        starts.write("x")
        starts.seek(0)
        second = starts.read() == "xx"
    if second:
        taker = socket.create_server((conn["ip"], conn["shell_port"]))

if HOW == "late":
    time.sleep(0.4)
shell, control, stdin = bind(zmq.ROUTER, "shell"), bind(zmq.ROUTER, "control"), bind(zmq.ROUTER, "stdin")
iopub, heartbeat = bind(zmq.PUB, "iopub"), bind(zmq.ROUTER, "hb")


def frames(kind, content, parent, key=KEY, raw=None):
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "session": "fake", "username": "fake", "version": "5.0",
              "date": "2026-01-01T00:00:00Z"}
    parts = [json.dumps(header).encode(), json.dumps(parent).encode(), b"{}",
             raw if raw is not None else json.dumps(content).encode()]
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        mac.update(part)
    return [b"<IDS|MSG>", mac.hexdigest().encode(), *parts]


def publish(kind, content, parent, **more):
    iopub.send_multipart([b"topic", *frames(kind, content, parent, **more)])


def publish_faults(how, code, header):
    global iopub
    number = int(code.split()[1]) if len(code.split()) > 1 else 0
    if how == "rubbish":
        # None of these may harm the run: each is dropped and counted.
        publish("stream", {"name": "stdout", "text": "forged"}, header, key=b"wrong")
        publish("stream", {}, header, raw=b"{not json")
        publish("stream", {}, header, raw=b'{"text":' + b"[" * 5000 + b"]" * 5000 + b"}")
        publish("stream", {"name": "stdout"}, header)
        iopub.send_multipart([b"a", b"b"])
        iopub.send_multipart([b""])
        publish("no_such_type", {"x": 1}, header)
        publish("stream", {"name": "stdout", "text": "good"}, {**header, "msg_id": "somebody else's"})
        publish("stream", {"name": "stdout", "text": "good"}, header)
    if how == "big":
        publish("stream", {"name": "stdout", "text": "x" * number}, header)
    if how == "flood":
        for i in range(number):
            publish("stream", {"name": "stdout", "text": "%099d\n" % i}, header)
    if how == "torrent":
        for i in range(number):
            if i % 100 == 0:
                time.sleep(0.005)  # a kernel computes too; without a pause its own socket may drop some
            publish("stream", {"name": "stdout", "text": "y" * 66_000}, header)
    if how == "deep":
        publish("display_data", {}, header, raw=b'{"data":' + b"[" * 300 + b"]" * 300 + b"}")
    if how == "rebind":
        iopub.close(0)
        for _ in range(200):  # libzmq closes in its own time
            try:
                iopub = bind(zmq.PUB, "iopub")
                break
            except zmq.ZMQError:
                time.sleep(0.01)
    if how == "last_words":  # all of it has left the process when that ends
        publish("stream", {"name": "stdout", "text": "z" * number}, header)
        for each in (shell, control, stdin, iopub, heartbeat):
            each.close(10_000)
        ctx.term()
        os._exit(3)
    if how == "orphan":
        if os.fork() == 0:
            time.sleep(4)
        os._exit(3)


def execute(ident, header, content):
    code = content["code"]
    how = code.split()[0] if code else ""
    publish("status", {"execution_state": "busy"}, header)
    reply = {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
    if how == "no_reply":
        publish("status", {"execution_state": "idle"}, header)
        return
    if how == "never":
        return
    if how == "idle_first":
        publish("status", {"execution_state": "idle"}, header)
        time.sleep(0.2)
        shell.send_multipart([ident, *frames("execute_reply", reply, header)])
        return
    if how == "die":
        os._exit(int(code.split()[1]))
    if how == "sleep":  # the only thread: heartbeats wait too
        time.sleep(float(code.split()[1]))
    if how == "second_press":
        presses = []
        old = signal.signal(signal.SIGINT, lambda *_: presses.append(1))
        publish("stream", {"name": "stdout", "text": "on"}, header)
        while len(presses) < 2:
            signal.pause()
        signal.signal(signal.SIGINT, old)
    if how == "ask":
        content = {"prompt": "Who? " * int((code.split() + ["1"])[1]), "password": False}
        stdin.send_multipart([ident, *frames("input_request", content, header)])
        answer = json.loads(stdin.recv_multipart()[-1])["value"] if stdin.poll(5000) else "nobody answered"
        publish("stream", {"name": "stdout", "text": answer}, header)
    if how == "bytes":  # what Python writes for a broken file name: neither UTF-8 nor a proper surrogate pair
        publish("stream", {}, header, raw=b'{"name":"stdout","text":"a\xff\xfeb\\udc80c"}')
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "aborted":
        reply = {"status": "aborted"}
    if how == "aborted_once" and not ABORTED:
        ABORTED.append(1)
        reply = {"status": "abort"}
    elif how == "aborted_once":
        publish("stream", {"name": "stdout", "text": "done"}, header)
    if how == "reply_error":
        reply = {"status": "error", "ename": "E", "evalue": "only in the reply", "traceback": []}
    if how == "big_reply":
        reply["user_expressions"] = {"x": {"data": "x" * int(code.split()[1])}}
    publish_faults(how, code, header)
    shell.send_multipart([ident, *frames("execute_reply", reply, header)])
    if how == "no_idle":
        return
    if how == "late_output":
        time.sleep(0.2)
        publish("stream", {"name": "stdout", "text": "late"}, header)
    publish("status", {"execution_state": "idle"}, header)
    if how == "die_after":
        time.sleep(0.05)
        os._exit(int(code.split()[1]))


poller = zmq.Poller()
for each in (shell, control, heartbeat):
    poller.register(each, zmq.POLLIN)
while True:
    for sock, _ in poller.poll():
        parts = sock.recv_multipart()
        if sock is heartbeat:
            sock.send_multipart(parts)
            continue
        at = parts.index(b"<IDS|MSG>")
        ident = parts[0]
        header, content = json.loads(parts[at + 2]), json.loads(parts[at + 5])
        kind = header["msg_type"]
        if kind == "execute_request":
            execute(ident, header, content)
        elif kind == "kernel_info_request":
            publish("status", {"execution_state": "busy"}, header)
            info = {"status": "ok", "protocol_version": "5.0", "implementation": "fake", "language_info": {"name": "fake"}}
            sock.send_multipart([ident, *frames("kernel_info_reply", info, header)])
            publish("status", {"execution_state": "idle"}, header)
        elif kind == "shutdown_request" and HOW != "stubborn":
            sock.send_multipart([ident, *frames("shutdown_reply", content, header)])
            if HOW == "lingering":  # as ipykernel: its channels close one after the other, then it ends
                shell.close(0)
                iopub.close(0)
                time.sleep(0.6)
            time.sleep(0.05)
            sys.exit(0)
