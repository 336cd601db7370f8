"""ANY /proxy/{port}: opensandbox.md 1.11, 0.3, 10; DESIGN 6. The SDK through the daemon's own /proxy/44772."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

from harness import frames, sdk

SELF = "/proxy/44772"


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lines = [f"{self.command} {self.path}", *(f"{k}: {v}" for k, v in self.headers.items())]
        data = "\n".join(lines).encode() + b"\n\n" + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Upstream", "yes")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_any

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_path_and_query_reach_the_port(daemon, upstream, method):
    answer = daemon.call(method, f"/proxy/{upstream}/a/b?x=1&y=%20", body=b"body" if method != "GET" else b"")
    assert answer.status == 200
    assert answer.header("X-Upstream") == "yes"
    assert answer.text.splitlines()[0] == f"{method} /a/b?x=1&y=%20"
    assert method == "GET" or answer.body.endswith(b"\n\nbody")


def test_the_bare_port_is_the_root(daemon, upstream):
    for target in (f"/proxy/{upstream}", f"/proxy/{upstream}/"):
        assert daemon.call("GET", target).text.splitlines()[0] == "GET /"


def test_hop_headers_and_credentials_stay_here(daemon, upstream):
    answer = daemon.call("GET", f"/proxy/{upstream}/", headers=[
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Proxy-Authorization", "p"), ("TE", "trailers"),
        ("X-EXECD-ACCESS-TOKEN", "canary"), ("X-Mine", "kept")])
    names = [line.split(":")[0].lower() for line in answer.text.split("\n\n")[0].splitlines()[1:]]
    assert not {"x-hop", "proxy-authorization", "te", "x-execd-access-token"} & set(names), names
    assert "x-mine" in names and "x-forwarded-for" in names and "x-forwarded-proto" in names
    assert "canary" not in answer.text


def test_a_dead_port_is_502_that_names_it_and_may_be_retried_at_once(daemon):
    answer = daemon.call("GET", "/proxy/1/x")
    assert answer.status == 502
    assert "1" in answer.text
    assert answer.header("Retry-After") == "0"


@pytest.fixture
def fickle():
    """A server that answers the first request of a connection and closes it at the second, unanswered."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve(sock):
        with sock:
            for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b""):
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = sock.recv(4096)
                    if not piece:
                        return
                    head += piece
                seen.append(head.split()[0].decode())
                sock.sendall(answer)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1], seen
    listener.close()


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)])
def test_only_what_may_be_done_twice_is_sent_again(daemon, fickle, method, times):
    """A kept connection that the server closes under a request: nobody knows whether it was carried out."""
    port, seen = fickle
    assert daemon.call("GET", f"/proxy/{port}/first").text == "ok"
    assert daemon.call(method, f"/proxy/{port}/second").text == "ok"
    assert seen == ["GET"] + [method] * times


@pytest.mark.parametrize(("target", "status"), [("/proxy", 404), ("/proxy/x/", 502),
                                                ("/proxy/99999/", 502), ("/proxy/0/", 502), ("/proxy/-1/", 502)])
def test_bad_ports(daemon, target, status):
    assert daemon.call("GET", target).status == status


def test_any_other_port_of_the_daemons_own_is_forbidden(daemon):
    assert daemon.call("GET", f"/proxy/{daemon.port}/ping").status == 403


def test_44772_is_the_daemon_itself(daemon):
    assert daemon.call("GET", SELF + "/ping").status == 200
    answer = daemon.call("POST", SELF + "/command", json={"command": "echo through"})
    assert frames.joined(frames.split(answer.body)) == "through\n"


@pytest.fixture
def impostor():
    """A program that listens where /proxy/44772 would dial; what it heard."""
    heard = []
    try:
        listener = socket.create_server(("127.0.0.1", 44772))
    except OSError:  # somebody else's test has it: then nobody can have heard us
        yield heard
        return

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            heard.append(sock.recv(4096))
            sock.close()

    threading.Thread(target=accept, daemon=True).start()
    yield heard
    listener.close()


@pytest.mark.parametrize("spelling", [SELF + SELF, "/proxy/4477%32", "/%70roxy/44772", "/proxy/%34%34772",
                                      SELF + "/%70roxy/44772", SELF + SELF + SELF])
def test_ourselves_is_recognised_once_and_no_other_spelling_gets_out(daemon, impostor, spelling):
    assert daemon.call("GET", spelling + "/ping").status == 403
    assert not impostor


@pytest.mark.parametrize("port", ["044772", "+44772", "0044772", "44772x", "0x2ae4", " 44772", "4477２"])
def test_a_port_has_one_spelling(daemon, impostor, port):
    assert daemon.call("GET", f"/proxy/{quote(port)}/ping").status == 502
    assert not impostor


@sdk.asynchronous
async def test_the_sdk_through_the_docker_bridge_path(daemon, work):
    async with sdk.connect(daemon, path=SELF) as services:
        assert await services.health.ping("x")
        assert (await services.commands.run("echo hi; exit 3")).exit_code == 3
        await services.files.write_file(f"{work}/f", "text")
        assert await services.files.read_file(f"{work}/f") == "text"
        assert (await services.codes.run("1+1")).result[0].text == "2"


def test_the_token_guards_the_proxy_and_itself(daemon_with_token):
    one = daemon_with_token
    with one.wire() as wire:
        assert wire.request("POST", SELF + "/command", body=b"{}").status == 401
        assert wire.request("GET", "/proxy/8000/").status == 401
    assert one.call("POST", SELF + "/command", json={"command": "true"}).status == 200
