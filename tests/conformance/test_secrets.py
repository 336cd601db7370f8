"""Canaries: no secret of ours shows in a log, an error, a redirect, an argument list or a child's environment."""

import base64
import contextlib
import json
import subprocess
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from harness import processes
from harness.daemon import Daemon
from harness.wire import Wire, build

TOKEN, KEY, GIVEN = "canary-token-7f21", "canary-key-7f22", "canary-wrong-7f23"
AGENTRUN_ID, AGENTRUN_SECRET = "canary-agentrun-id", "canary-agentrun-secret-7f24"
SUBJECT = "canary-subject-7f25"


class Jwt:
    """An RSA key and tokens signed by it; `spurned` is signed by another."""

    def __init__(self, room):
        self.room = room
        self.key = self.make("ours")
        self.public = self.openssl("pkey", "-in", self.key, "-pubout").decode()
        self.token = self.sign(self.key)
        self.spurned = self.sign(self.make("other"))

    def openssl(self, *args, data=None):
        return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout

    def make(self, name):
        path = str(self.room / name)
        self.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        return path

    def sign(self, key):
        def text(raw):
            return base64.urlsafe_b64encode(raw).rstrip(b"=")

        claims = {"sub": SUBJECT, "exp": int(time.time()) + 3600}
        body = text(b'{"alg":"RS256","typ":"JWT"}') + b"." + text(json.dumps(claims).encode())
        return (body + b"." + text(self.openssl("dgst", "-sha256", "-sign", key, data=body))).decode()


JWT = None  # made by the fixture


def canaries():
    # Of a token each part; of the key a line of its text.
    parts = [part for token in (JWT.token, JWT.spurned) for part in token.split(".")[1:]]
    return [TOKEN, KEY, GIVEN, AGENTRUN_SECRET, *parts, JWT.public.splitlines()[1]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    global JWT
    JWT = Jwt(tmp_path_factory.mktemp("jwt"))
    one = Daemon(args=["--log-level", "debug", "--access-token", TOKEN],
                 env={"SANDBOX_API_KEY": KEY, "JWT_PUBLIC_KEY": JWT.public,
                      "EXECD_AGENTRUN_ACCESS_KEY_ID": AGENTRUN_ID,
                      "EXECD_AGENTRUN_ACCESS_KEY_SECRET": AGENTRUN_SECRET}).listening()
    one.headers = [("X-EXECD-ACCESS-TOKEN", TOKEN)]
    yield one
    written = "\n".join(line for line in one.log + one.err if line)
    one.stop()
    for canary in canaries():
        assert canary not in written, written


def clean(text, label):
    for canary in canaries():
        assert canary not in text, (label, text)


BROKEN = [
    ("GET", "/nope"), ("GET", "/files/info?path=/no/such"), ("POST", "/command"), ("PATCH", "/ping"), ("GET", "/%zz"),
    ("GET", "/proxy/1/x"), ("GET", "/proxy/44772/nope"), ("GET", "/execd/v1/nope"), ("GET", "/execd/v1/openapi.json"),
    ("GET", "/ping/"), ("OPTIONS", "/command"), ("GET", "/code/contexts/none"), ("POST", "/files/upload"),
    ("POST", "/api/sandboxes/create"), ("GET", "/api/sandboxes/x/status"), ("POST", "/api/v1/execute"),
    ("GET", "/api/v1/sessions/x"),
]


@pytest.mark.parametrize(("method", "target"), BROKEN)
def test_errors_never_quote_a_credential(guarded, method, target):
    for name, value in (("X-EXECD-ACCESS-TOKEN", TOKEN), ("X-EXECD-ACCESS-TOKEN", GIVEN),
                        ("OPEN-SANDBOX-API-KEY", KEY), ("Authorization", f"Bearer {GIVEN}"),
                        ("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {JWT.token}"),
                        ("Authorization", f"Bearer {JWT.spurned}"), ("X-EXECD-ACCESS-TOKEN", JWT.spurned),
                        ("Agentrun-Authorization", f"AGENTRUN4-HMAC-SHA256 Credential={AGENTRUN_ID}, Signature={GIVEN}")):
        with guarded.wire() as wire:
            answer = wire.request(method, target, [(name, value)], b"{broken" if method == "POST" else b"")
        clean(answer.text + repr(answer.headers), f"{method} {target} with {name}")


@pytest.mark.parametrize("query", ["ticket", "Authorization", "token"])
def test_nor_one_in_the_query(guarded, query):
    with guarded.wire() as wire:
        answer = wire.request("GET", f"/nope?{query}={GIVEN}")
    assert answer.status == 401
    clean(answer.text + repr(answer.headers), query)


def test_heads_that_break_http_are_not_quoted(guarded):
    for head in (f"GET /ping HTTP/1.1\r\nHost: x\r\nX-EXECD-ACCESS-TOKEN : {TOKEN}\r\n\r\n",
                 f"GET /ping HTTP/1.1\r\nHost: x\r\nX-EXECD-ACCESS-TOKEN: {TOKEN}\r\n folded\r\n\r\n",
                 f"GET /{TOKEN} HTTP/9\r\n\r\n"):
        with guarded.wire() as wire:
            wire.send(head.encode())
            clean(wire.response().text, head)


def test_a_json_web_token_opens_and_a_foreign_one_does_not(guarded):
    for token, status in ((JWT.token, 200), (JWT.spurned, 401)):
        with guarded.wire() as wire:
            answer = wire.request("GET", "/execd/v1/executions", [("Authorization", f"Bearer {token}")])
        assert answer.status == status, answer
        clean(answer.text + repr(answer.headers), "token")


HIDDEN = ("EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY", "JWT_PUBLIC_KEY", "EXECD_AGENTRUN_ACCESS_KEY_ID",
          "EXECD_AGENTRUN_ACCESS_KEY_SECRET")
# What a process can learn of itself, its parents and everybody's arguments; the variable is there so that the listing of
# environments is seen to work.
LOOK = ("SEEN=indeed; export SEEN; { env; echo ----; ps axww -o pid,args; cat /proc/self/environ /proc/$PPID/environ /proc/$PPID/cmdline "
        "| tr '\\0' '\\n'; } > %s.part 2>/dev/null; mv %s.part %s")


def in_python(script):
    return f"import subprocess; _ = subprocess.run(['sh', '-c', {script!r}])"


def in_a_session(one, script):
    ident = one.call("POST", "/session").json()["session_id"]
    one.events_of(f"/session/{ident}/run", {"command": script})
    one.call("DELETE", f"/session/{ident}")


def in_a_terminal(one, script):
    ident = one.call("POST", "/pty", json={}).json()["session_id"]
    with connect(f"ws://127.0.0.1:{one.port}/pty/{ident}/ws", compression=None, additional_headers=one.headers) as socket:
        socket.send(b"\0" + script.encode() + b"; exit\n")
        with contextlib.suppress(ConnectionClosed):
            while True:
                socket.recv(timeout=20)
    one.call("DELETE", f"/pty/{ident}")


def in_a_native_kernel(one, script):
    answer = one.call("POST", "/code/context", json={"language": "bash"})
    assert answer.status == 200, answer
    one.events_of("/code", {"code": script, "context": {"id": answer.json()["id"], "language": "bash"}})


CHILDREN = {
    "command": lambda one, script: one.command(script),
    "background": lambda one, script: one.command(script, background=True),
    "session": in_a_session,
    "terminal": in_a_terminal,
    "own execution": lambda one, script: one.call("POST", "/execd/v1/executions", json={"shell": script, "wait_ms": 20_000}),
    "own terminal": lambda one, script: one.call("POST", "/execd/v1/executions",
                                                 json={"shell": script, "pty": {"columns": 80, "rows": 24}, "wait_ms": 20_000}),
    "agentrun process": lambda one, script: one.call("POST", "/processes/cmd", json={"command": script, "cwd": "/"}),
    "agentrun code": lambda one, script: one.call("POST", "/contexts/execute", json={"code": in_python(script)}),
    "python": lambda one, script: one.code(in_python(script)),
    "native bash kernel": in_a_native_kernel,
}


@pytest.mark.parametrize("kind", list(CHILDREN))
def test_children_see_no_secret_anywhere(guarded, kind, tmp_path):
    out = str(tmp_path / "out")
    CHILDREN[kind](guarded, LOOK % (out, out, out))
    text = processes.eventually(lambda: processes.read(out), 20, f"{kind} writes {out}")
    assert "SEEN=indeed" in text and "ps axww" in text, text
    clean(text, kind)
    own = text.split("----")[0]  # the daemon's own environment keeps the names, with their values overwritten
    for name in HIDDEN:
        assert f"\n{name}=" not in "\n" + own, name


def test_neither_environ_nor_the_arguments_of_the_daemon(guarded):
    clean(processes.read(f"/proc/{guarded.pid}/environ"), "environ")
    clean(processes.read(f"/proc/{guarded.pid}/cmdline"), "cmdline")
    clean(subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout, "ps")


def test_the_proxy_passes_none_on(guarded, tmp_path):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    seen = []

    class Show(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path + str(self.headers))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Show) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in (("X-EXECD-ACCESS-TOKEN", TOKEN), ("OPEN-SANDBOX-API-KEY", KEY),
                            ("Authorization", f"Bearer {TOKEN}")):
            with guarded.wire() as wire:
                assert wire.request("GET", f"/proxy/{server.server_port}/", [(name, value)]).status == 204, name
        # The user's own authorization is not ours to take away.
        assert guarded.call("GET", f"/proxy/{server.server_port}/",
                            headers=[("Authorization", "Bearer user-own"), ("X-API-KEY", "user-key")]).status == 204
        server.shutdown()
    for one in seen:
        clean(one, "upstream")
    assert "Bearer user-own" in seen[-1]


def test_a_refused_upgrade_says_nothing(guarded):
    with Wire(guarded.port) as wire:
        wire.send(build("GET", f"/pty/x/ws?Authorization={GIVEN}",
                        [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                         ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        answer = wire.response()
    assert answer.status == 401
    clean(json.dumps(answer.headers) + answer.text, "upgrade")
