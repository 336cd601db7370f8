"""Canaries: no secret of ours shows in a log, an error, a redirect, an argument list or a child's environment."""

import json
import subprocess

import pytest

from harness import frames, processes
from harness.daemon import Daemon
from harness.wire import Wire, build

TOKEN, KEY, GIVEN = "canary-token-7f21", "canary-key-7f22", "canary-wrong-7f23"
CANARIES = (TOKEN, KEY, GIVEN)


@pytest.fixture(scope="module")
def guarded():
    one = Daemon(args=["--log-level", "debug", "--access-token", TOKEN], env={"SANDBOX_API_KEY": KEY}).listening()
    one.headers = [("X-EXECD-ACCESS-TOKEN", TOKEN)]
    yield one
    written = "\n".join(line for line in one.log + one.err if line)
    one.stop()
    for canary in CANARIES:
        assert canary not in written, written


def clean(text, label):
    for canary in CANARIES:
        assert canary not in text, (label, text)


BROKEN = [
    ("GET", "/nope"), ("GET", "/files/info?path=/no/such"), ("POST", "/command"), ("PATCH", "/ping"), ("GET", "/%zz"),
    ("GET", "/proxy/1/x"), ("GET", "/proxy/44772/nope"), ("GET", "/execd/v1/nope"), ("GET", "/execd/v1/openapi.json"),
    ("GET", "/ping/"), ("OPTIONS", "/command"), ("GET", "/code/contexts/none"), ("POST", "/files/upload"),
]


@pytest.mark.parametrize(("method", "target"), BROKEN)
def test_errors_never_quote_a_credential(guarded, method, target):
    for name, value in (("X-EXECD-ACCESS-TOKEN", TOKEN), ("X-EXECD-ACCESS-TOKEN", GIVEN),
                        ("OPEN-SANDBOX-API-KEY", KEY), ("Authorization", f"Bearer {GIVEN}"),
                        ("Authorization", f"Bearer {TOKEN}")):
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


def test_children_see_no_secret_anywhere(guarded):
    # -o: the listing itself must not be what is found.
    text = guarded.shell("env; ps axww -o pid,args; cat /proc/$PPID/environ /proc/$PPID/cmdline | tr '\\0' '\\n'")
    clean(text, "command")
    for name in ("EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY", "JWT_PUBLIC_KEY"):
        assert f"\n{name}=" not in frames.joined(guarded.command("env")), name
    clean(frames.joined(guarded.code("import os; print(dict(os.environ))")), "kernel")


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
