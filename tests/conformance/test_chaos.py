"""A bad network before every streaming route: what arrives whole is right, what is cut says so, what can be resumed is
complete in the end, and nothing is left behind. Seeds are in the names of the tests; EXECD_TEST_FULL takes many more."""

import hashlib
import io
import json
import os
import random
import tarfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedOK, WebSocketException
from websockets.sync.client import connect
from websockets.sync.server import serve

from harness import chaos, frames, processes
from harness.daemon import Daemon
from harness.wire import build, chunked, query

FULL = bool(os.environ.get("EXECD_TEST_FULL"))
SEEDS = range(1, 41) if FULL else range(1, 2)
CUTS = range(1, 101) if FULL else range(1, 4)
OWN = "/execd/v1"
BIG = bytes(random.Random(5).randbytes(300_000))
TEXT = "".join(f"line {number} {'x' * (number % 90)} \u00e9\n" for number in range(1500))


@pytest.fixture(scope="module")
def daemon():
    one = Daemon().listening()
    one.context = one.call("POST", OWN + "/contexts", json={}).json()["id"]
    one.python = one.call("POST", "/code/context", json={"language": "python"}).json()["id"]
    yield one
    one.stop()


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(BIG), 50_000):
            piece = BIG[at:at + 50_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self):
        data = hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What the scenarios need around them: files, a server and a WebSocket server behind the proxy."""
    class Places:
        work = tmp_path_factory.mktemp("chaos")
        text = work / "text"
        big = work / "big"
        tree = work / "tree"
    Places.text.write_text(TEXT)
    Places.big.write_bytes(BIG)
    Places.tree.mkdir()
    (Places.tree / "inside").write_bytes(BIG)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    http.daemon_threads = True
    http.handle_error = lambda *_: None
    sockets = serve(lambda socket: [socket.send(message) for message in socket], "127.0.0.1", 0, compression=None)
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in (http, sockets)]
    for thread in threads:
        thread.start()
    Places.http, Places.ws = http.server_address[1], sockets.socket.getsockname()[1]
    yield Places
    http.shutdown()
    sockets.shutdown()
    http.server_close()


# One function a route: whole or an error; a wrong answer that looks whole fails the assertion marked by `is_right`.
class Wrong(Exception):
    pass


def is_right(holds, *seen):
    if not holds:
        raise Wrong(repr(seen)[:3000])


def direct(daemon):
    """Past the gate: what outlives its client on purpose is made and ended there, or nobody would know its id."""
    return getattr(daemon, "direct", daemon)


def answered(daemon, method, target, status=200, headers=(), **options):
    answer = daemon.call(method, target, headers=headers, **options)
    is_right(answer.status == status, answer)
    return answer


def event_stream(daemon, target, body, expected):
    events = frames.split(answered(daemon, "POST", target, json=body).body)
    is_right(frames.joined(events) == expected and frames.exit_of(events) == 0, events[-3:])


def command(daemon, places):
    event_stream(daemon, "/command", {"command": f"cat {places.text}"}, TEXT)


def session(daemon, places):
    ident = answered(direct(daemon), "POST", "/session").json()["session_id"]
    try:
        event_stream(daemon, f"/session/{ident}/run", {"command": f"cat {places.text}"}, TEXT)
    finally:
        answered(direct(daemon), "DELETE", f"/session/{ident}")


def code(daemon, places):
    event_stream(daemon, "/code", {"code": f"print(open('{places.text}').read(), end='')",
                                   "context": {"id": daemon.python, "language": "python"}}, TEXT)


def run_events(daemon, places):
    body = {"context": daemon.context, "code": f"print(open('{places.text}').read(), end='')"}
    answer = answered(daemon, "POST", OWN + "/runs", 200, [("Accept", "text/event-stream")], json=body)
    text, ended = read_events(answer.body)
    is_right(ended and text == TEXT, answer.body[-300:])


def read_events(body):
    """Text of the `stream` events, and the last event's data if that is `end`."""
    text, end = "", None
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if fields.get("event") == "stream":
            text += json.loads(fields["data"])["text"]
        if fields.get("event") == "end":
            end = json.loads(fields["data"])
    return text, end


def background_log(daemon, places):
    answer = daemon.call("POST", "/command", json={"command": f"cat {places.text}", "background": True})
    ident = next(event["text"] for event in frames.split(answer.body) if event["type"] == "init")
    # A background command says its init and completion at once; its output is asked for.
    for _ in range(200):
        status = daemon.call("GET", f"/command/status/{ident}").json()
        if not status["running"]:
            break
    log = answered(daemon, "GET", f"/command/{ident}/logs")
    is_right(status["exit_code"] == 0 and log.text == TEXT, status, log)


def execution_output(daemon, places):
    ident = "chaos-" + uuid.uuid4().hex
    answered(daemon, "PUT", f"{OWN}/executions/{ident}", 201, json={"argv": ["cat", str(places.big)]})
    body = answered(daemon, "GET", f"{OWN}/executions/{ident}/output?follow=true").body
    is_right(body == BIG, len(body))


def execution_input(daemon, _places):
    ident = "chaos-" + uuid.uuid4().hex
    answered(daemon, "PUT", f"{OWN}/executions/{ident}", 201, json={"argv": ["sha256sum"], "stdin": "pipe"})
    answered(daemon, "POST", f"{OWN}/executions/{ident}/input?eof=true", headers=[("Transfer-Encoding", "chunked")],
             body=chunked(BIG[:100_000], BIG[100_000:]))
    body = answered(daemon, "GET", f"{OWN}/executions/{ident}/output?follow=true").body
    is_right(body.split()[0] == hashlib.sha256(BIG).hexdigest().encode(), body)


def event_feed(daemon, _places):
    ident = "chaos-" + uuid.uuid4().hex
    with daemon.wire() as wire:
        wire.send(build("GET", OWN + "/events", [], b"", wire.host))
        wire.head()
        seen = wire.chunk()
        is_right(b"event: ready" in seen, seen)
        answered(daemon, "PUT", f"{OWN}/executions/{ident}", 201, json={"argv": ["true"], "wait_ms": 20_000})
        while f'"{ident}"'.encode() not in seen or b"event: ended" not in seen[seen.index(ident.encode()):]:
            piece = wire.chunk()
            assert piece, "connection ended"
            seen += piece


def watch_stream(daemon, places):
    folder = places.work / uuid.uuid4().hex
    folder.mkdir()
    ask = {"path": str(folder), "debounce_ms": 1}
    made = answered(direct(daemon), "POST", OWN + "/files/watches", 201, json=ask).json()
    try:
        with daemon.wire() as wire:
            wire.send(build("GET", f"{OWN}/files/watches/{made['id']}/stream?cursor=0", [], b"", wire.host))
            is_right(wire.head().status == 200)
            (folder / "new-file").write_text("x")
            seen = b""
            while b"new-file" not in seen:
                piece = wire.chunk()
                assert piece, "connection ended"
                seen += piece
    finally:
        answered(direct(daemon), "DELETE", f"{OWN}/files/watches/{made['id']}", 204)


def metrics_watch(daemon, _places):
    with daemon.wire() as wire:
        wire.send(build("GET", "/metrics/watch", [], b"", wire.host))
        wire.head()
        line = wire.chunk()
        assert line, "connection ended"
        is_right(json.loads(line)["cpu_count"] > 0, line)


def terminal(daemon, _places):
    ident = answered(direct(daemon), "POST", "/pty", 201, json={}).json()["session_id"]
    try:
        with connect(f"ws://127.0.0.1:{daemon.port}/pty/{ident}/ws", compression=None, max_size=None) as socket:
            socket.send(b"\0stty -echo; seq 1 4000; echo $((40+2))-done\n")
            seen = b""
            while b"42-done" not in seen:
                frame = socket.recv(timeout=20)
                seen += frame[1:] if isinstance(frame, bytes) else b""
            is_right(b"".join(b"%d\r\n" % n for n in range(1, 4001)) in seen, seen[:300], seen[-300:])
            socket.send(b"\0exit 3\n")
            exits = [json.loads(frame) for frame in socket if isinstance(frame, str) and '"exit"' in frame]
            is_right(not exits or exits[0]["exit_code"] == 3, exits)
    finally:
        answered(direct(daemon), "DELETE", f"/pty/{ident}")


def agentrun_terminal(daemon, _places):
    with connect(f"ws://127.0.0.1:{daemon.port}/processes/tty", compression=None, max_size=None) as socket:
        socket.send(json.dumps({"type": "input", "data": "stty -echo; seq 1 4000; echo $((40+2))-done\n"}))
        seen = ""
        while "42-done" not in seen:
            frame = json.loads(socket.recv(timeout=20))
            seen += frame.get("data", "") if frame["type"] == "output" else ""
        is_right("".join(f"{n}\r\n" for n in range(1, 4001)) in seen, seen[:300], seen[-300:])


def form(target, fields):
    parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        name.encode(), b'; filename="f"' if name in ("file", "metadata") else b"", value) for name, value in fields)
    return parts + b"--b--\r\n", [("Content-Type", "multipart/form-data; boundary=b")]


def upload(daemon, places):
    target = places.work / uuid.uuid4().hex
    body, headers = form(target, [("metadata", json.dumps({"path": str(target)}).encode()), ("file", BIG)])
    try:
        answered(daemon, "POST", "/files/upload", headers=headers, body=body)
    finally:
        # Whatever the client was told: the old state (none) or the whole file.
        is_right(not target.exists() or target.read_bytes() == BIG, target)
    is_right(target.exists())


def download(daemon, places):
    for route, field in (("/files/download", "path"), ("/filesystem/download", "path"),
                         (f"/v1/filesystem/{os.getuid()}/{os.getgid()}/files/download", "path")):
        is_right(answered(daemon, "GET", query(route, **{field: str(places.big)})).body == BIG, route)


def agentrun_upload(daemon, places):
    target = places.work / uuid.uuid4().hex
    body, headers = form(target, [("path", str(target).encode()), ("file", BIG)])
    try:
        answered(daemon, "POST", "/filesystem/upload", headers=headers, body=body)
    finally:
        is_right(not target.exists() or target.read_bytes() == BIG, target)


def content(daemon, places):
    target = places.work / uuid.uuid4().hex
    try:
        answered(daemon, "PUT", query(OWN + "/files/content", path=str(target)), 201,
                 [("Transfer-Encoding", "chunked")], body=chunked(BIG[:1000], BIG[1000:]))
    finally:
        is_right(not target.exists() or target.read_bytes() == BIG, target)


def archive(daemon, places):
    packed = answered(daemon, "GET", query(OWN + "/files/archive", path=str(places.tree), format="tar.gz")).body
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        inside = next(member for member in tar.getmembers() if member.name.endswith("inside"))
        is_right(tar.extractfile(inside).read() == BIG)
    target = places.work / uuid.uuid4().hex
    target.mkdir()
    answered(daemon, "PUT", query(OWN + "/files/archive", path=str(target), format="tar.gz"), body=packed)
    found = [file for file in target.rglob("inside") if file.read_bytes() == BIG]
    is_right(len(found) == 1, list(target.rglob("*")))


def proxied(daemon, places):
    is_right(answered(daemon, "GET", f"/proxy/{places.http}/big").body == BIG)
    seen = answered(daemon, "POST", f"/proxy/{places.http}/digest", body=BIG).text
    is_right(seen == hashlib.sha256(BIG).hexdigest(), seen)


def proxied_websocket(daemon, places):
    with connect(f"ws://127.0.0.1:{daemon.port}/proxy/{places.ws}/", compression=None, max_size=None) as socket:
        for message in ("text", BIG, b"", "x" * 70_000):
            socket.send(message)
            is_right(socket.recv(timeout=20) == message)


SCENARIOS = [command, session, code, run_events, background_log, execution_output, execution_input, event_feed,
             watch_stream, metrics_watch, terminal, agentrun_terminal, upload, download, agentrun_upload, content, archive,
             proxied, proxied_websocket]
# operation ids of the document whose answers or bodies are streams, and which scenario has them
COVERED = {
    "opensandbox_runCommand": command, "opensandbox_runInSession": session, "opensandbox_runCode": code,
    "opensandbox_getBackgroundCommandLogs": background_log, "opensandbox_connectPty": terminal,
    "opensandbox_downloadFile": download, "opensandbox_downloadFileAsUser": download,
    "opensandbox_uploadFile": upload, "opensandbox_uploadFileAsUser": upload, "opensandbox_watchMetrics": metrics_watch,
    "agentrun_uploadFile": agentrun_upload, "agentrun_sandboxUploadFile": agentrun_upload,
    "agentrun_downloadFile": download, "agentrun_sandboxDownloadFile": download,
    "agentrun_openTerminal": agentrun_terminal, "agentrun_sandboxOpenTerminal": agentrun_terminal,
    "execd_packDirectory": archive, "execd_unpackArchive": archive, "execd_putFile": content,
    "execd_readExecutionOutput": execution_output, "execd_writeExecution": execution_input,
    "execd_executionEvents": event_feed,
}
NO_STREAM = {"opensandbox_reportClientEvent", "execd_metrics"}  # a small body of no promised type
# What needs a browser: test_browser.py.
NO_STREAM |= {f"agentrun_{name}" for each in ("Automation", "Liveview", "Livestream")
              for name in (f"open{each}", f"sandboxOpen{each}")}
NO_STREAM |= {"agentrun_downloadRecording", "agentrun_sandboxDownloadRecording", "execd_takeScreenshot"}
NO_STREAM |= {"execd_viewDesktop", "agentrun_viewDesktopPage", "agentrun_sandboxViewDesktopPage"}  # pages


def test_every_streaming_route_has_a_scenario(daemon):
    document = daemon.call("GET", OWN + "/openapi.json").json()
    streaming = set()
    for item in document["paths"].values():
        for method, operation in item.items():
            if method == "x-also" or operation.get("x-any-method"):
                continue  # the proxy's are `proxied` and `proxied_websocket`
            types = {kind for answer in operation["responses"].values() for kind in answer.get("content", {})}
            types |= set(operation.get("requestBody", {}).get("content", {}))
            if types - {"application/json"} or "101" in operation["responses"]:
                streaming.add(operation["operationId"])
    assert streaming - NO_STREAM == set(COVERED)


def attempt(scenario, daemon, places):
    """True: whole and right. False: the client saw that it was cut. Anything else raises."""
    try:
        scenario(daemon, places)
        return True
    except (TimeoutError, Wrong):
        raise  # a hang, or a wrong answer that looks whole
    except (OSError, EOFError, WebSocketException):
        return False
    except AssertionError as error:  # of harness.wire
        assert "connection ended" in str(error), error
        return False


def kept_upstreams(places):
    """Descriptors of connections to the server behind the proxy: some are kept for half a minute, as they should be."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{places.http:04X}") and row[9] != "0" for row in rows)


def counts(daemon, places):
    return {"fds": processes.open_fds(daemon.pid) - kept_upstreams(places), "children": len(processes.children(daemon.pid)),
            "files": len(list(daemon.tmp.rglob("*")))}


def tidy(daemon):
    """Ends what a cut client could not end itself, as it may: those things outlive their clients on purpose."""
    for view in daemon.call("GET", OWN + "/executions?state=running").json():
        if view["label"] not in ("kernel", "zygote"):
            daemon.call("DELETE", f"{OWN}/executions/{view['id']}?grace_ms=0")


@pytest.fixture(scope="module")
def at_rest(daemon, places):
    """Every scenario without a gate first: that it is right, and what stays open after it."""
    for scenario in SCENARIOS:
        assert attempt(scenario, daemon, places), scenario
    return processes.eventually(lambda: counts(daemon, places), what="counts")


def back_to(daemon, places, before):
    tidy(daemon)
    grown = {}

    def rested():
        grown.clear()
        grown.update({name: (before[name], n) for name, n in counts(daemon, places).items() if n > before[name] + SPARE[name]})
        return not grown
    try:
        processes.eventually(rested, 20)
    except AssertionError:
        raise AssertionError(f"left behind (before, now): {grown}\n{daemon.report()}") from None


SPARE = {"fds": 2, "children": 0, "files": 0}  # the asking connection


@pytest.mark.parametrize("mood", ["sliced", "slow"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_bad_network_changes_nothing(daemon, places, at_rest, scenario, seed, mood):
    with chaos.Gate(daemon.port, seed, chaos.SLICED if mood == "sliced" else chaos.SLOW) as gate:
        assert attempt(scenario, chaos.behind(daemon, gate), places), "cut without a reason"
    back_to(daemon, places, at_rest)


LONG = {"proxied": 300_000, "download": 300_000, "archive": 300_000, "execution_output": 300_000, "metrics_watch": 600}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_connections_that_are_reset_leave_nothing_behind(daemon, places, at_rest, scenario):
    cut = 0
    for seed in CUTS:
        mood = chaos.Mood(piece=4000, pause=0.001, stall=0.02, cut=LONG.get(scenario.__name__, 30_000))
        with chaos.Gate(daemon.port, seed, mood) as gate:
            whole = attempt(scenario, chaos.behind(daemon, gate), places)
            assert whole or gate.cuts, "the daemon ended it, not the gate"
            cut += not whole
    assert cut, "no seed cut anything"
    back_to(daemon, places, at_rest)
    assert attempt(scenario, daemon, places)


@pytest.mark.parametrize("seed", SEEDS)
def test_output_is_resumed_at_its_offset(daemon, places, seed):
    ident = "chaos-" + uuid.uuid4().hex
    spec = {"shell": f"cat {places.big}; sleep 0.1; cat {places.big}"}
    assert daemon.call("PUT", f"{OWN}/executions/{ident}", json=spec).status == 201
    got, cuts = b"", 0
    mood = chaos.Mood(piece=60_000, pause=0.001, stall=0.01, cut=100_000)
    with chaos.Gate(daemon.port, seed, mood) as gate:
        while len(got) < 2 * len(BIG) and cuts < 2000:
            with chaos.behind(daemon, gate).wire() as wire:
                try:
                    wire.send(build("GET", f"{OWN}/executions/{ident}/output?follow=true&offset={len(got)}", [], b"", wire.host))
                    answer = wire.head()
                    assert answer.status == 200 and int(answer.header("X-Execd-Lost", "0")) == 0, answer
                    while piece := part(wire):
                        got += piece
                except (ConnectionResetError, BrokenPipeError, AssertionError) as error:
                    assert not isinstance(error, AssertionError) or "connection ended" in str(error), error
                    cuts += 1
    assert got == BIG + BIG, (len(got), cuts)
    assert cuts


def part(wire):
    """What has come of a chunk: also of one that is never finished."""
    size = int(wire.line().split(b";")[0], 16)
    left, data = size, b""
    while left:
        try:
            if not wire.pending and not wire.fill():
                return data or wire.exactly(1)
        except ConnectionResetError:
            if data:
                return data
            raise
        data += wire.take(min(left, len(wire.pending)))
        left = size - len(data)
    wire.line()
    return data


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_is_resumed_at_its_last_event(daemon, seed):
    code = "import sys\nfor i in range(400):\n    print(i, flush=True)"
    run = daemon.call("POST", OWN + "/runs", json={"context": daemon.context, "code": code}).json()["id"]
    numbers, text, ended, tries = [], "", False, 0
    mood = chaos.Mood(piece=4000, pause=0.001, stall=0.01, cut=20_000)
    with chaos.Gate(daemon.port, seed, mood) as gate:
        while not ended and tries < 500:
            tries += 1
            headers = [("Accept", "text/event-stream")] + ([("Last-Event-ID", str(numbers[-1]))] if numbers else [])
            seen = until_cut(chaos.behind(daemon, gate), f"{OWN}/runs/{run}/outputs", headers)
            for block in seen.decode(errors="ignore").split("\n\n")[:-1]:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if "id" in fields:
                    numbers.append(int(fields["id"]))
                if fields.get("event") == "stream":
                    text += json.loads(fields["data"])["text"]
                ended = ended or fields.get("event") == "end"
    assert ended and numbers == list(range(len(numbers))), numbers
    assert text == "".join(f"{n}\n" for n in range(400)), (tries, text[:200])


def until_cut(daemon, target, headers, enough=lambda body: False):
    body = b""
    with daemon.wire() as wire:
        try:
            wire.send(build("GET", target, headers, b"", wire.host))
            if wire.head().status == 200:
                while not enough(body) and (piece := part(wire)):
                    body += piece
        except (ConnectionResetError, BrokenPipeError, AssertionError) as error:
            assert not isinstance(error, AssertionError) or "connection ended" in str(error), error
    return body


@pytest.mark.parametrize("seed", SEEDS)
def test_the_event_feed_is_resumed_at_its_cursor(daemon, seed):
    start = daemon.call("PUT", f"{OWN}/executions/chaos-{uuid.uuid4().hex}", json={"argv": ["true"], "wait_ms": 20_000})
    assert start.status == 201
    cursor = newest_event(daemon)
    wanted = [f"chaos-{uuid.uuid4().hex}" for _ in range(20)]
    for ident in wanted:
        daemon.call("PUT", f"{OWN}/executions/{ident}", json={"argv": ["true"], "wait_ms": 20_000})
    last = newest_event(daemon)
    newest = f"id: {last}\n".encode()
    numbers, tries = [], 0
    mood = chaos.Mood(piece=400, pause=0.001, stall=0.01, cut=3000)
    with chaos.Gate(daemon.port, seed, mood) as gate:
        while (not numbers or numbers[-1] < last) and tries < 500:
            tries += 1
            target = f"{OWN}/events?cursor={numbers[-1] if numbers else cursor}"
            seen = until_cut(chaos.behind(daemon, gate), target, [], lambda body: newest in body and body.endswith(b"\n\n"))
            for block in seen.decode().split("\n\n")[:-1]:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if fields.get("event") in ("started", "ended"):
                    numbers.append(int(fields["id"]))
    assert numbers == list(range(cursor + 1, last + 1)), (cursor, last, numbers)


def newest_event(daemon):
    with daemon.wire() as wire:
        wire.send(build("GET", OWN + "/events", [], b"", wire.host))
        wire.head()
        seen = wire.chunk().decode()
    return json.loads(seen.split("data: ", 1)[1].split("\n")[0])["last"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_terminal_is_resumed_at_its_offset(daemon, seed):
    """Each attachment says which offset it holds; what all of them saw is what the program wrote."""
    ident = daemon.call("POST", "/pty", json={}).json()["session_id"]
    url = f"ws://127.0.0.1:%d/pty/{ident}/ws"
    with connect(url % daemon.port, compression=None, max_size=None) as socket:
        socket.send(b"\0stty -echo; for i in $(seq 1 3000); do echo $i; done; echo $((40+2))-done\n")
        begun = b""
        while b"\n100\r\n" not in begun:
            frame = socket.recv(timeout=20)
            begun += frame[9 if frame[0] == 3 else 1:] if isinstance(frame, bytes) else b""
    whole, tries = b"", 0
    mood = chaos.Mood(piece=4000, pause=0.001, stall=0.01, cut=20_000)
    with chaos.Gate(daemon.port, seed, mood) as gate:
        while b"42-done" not in whole and tries < 300:
            tries += 1
            try:
                with connect(url % gate.port + f"?since={len(whole)}&takeover=1", compression=None, max_size=None) as socket:
                    while b"42-done" not in whole:
                        frame = socket.recv(timeout=20)
                        if not isinstance(frame, bytes):
                            continue
                        if frame[0] == 3:  # replay: 8 bytes of offset, then what was there
                            assert int.from_bytes(frame[1:9], "big") == len(whole), (frame[:9], len(whole))
                            whole += frame[9:]
                        else:
                            whole += frame[1:]
            except TimeoutError:
                raise
            except ConnectionClosedOK:
                break
            except (OSError, EOFError, WebSocketException):
                pass
    assert b"".join(b"%d\r\n" % n for n in range(1, 3001)) in whole, (tries, len(whole))
    daemon.call("DELETE", f"/pty/{ident}")
