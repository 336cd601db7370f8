"""The classes of advisories of this field (docs/security.md), one test for each that no other file holds.

The walks over every route are in test_auth_walk.py, smuggling in test_smuggling.py, slow clients in
test_many_connections.py, secrets in test_secrets.py and test_log_privacy.py, archives in test_own_files.py.
"""

import base64
import os
import stat

import pytest

from harness import processes
from harness.wire import Wire

UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", base64.b64encode(bytes(16)).decode())]
NAME = "X-EXECD-ACCESS-TOKEN"


# CVE-2024-28179: HTTP was checked, the upgrade was not.
@pytest.mark.parametrize("path", ["/proxy/1", "/proxy/1/deep/path", "/pty/any/ws", "/processes/tty", "/no/such/socket"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_an_upgrade_is_asked_for_its_credential_too(daemon_with_token, path, token):
    with daemon_with_token.wire() as wire:
        answer = wire.request("GET", path, UPGRADE + ([(NAME, token)] if token else []))
        assert answer.status == 401, answer


# Daytona #5147: 02280 was another text and the same port.
@pytest.mark.parametrize("port", ["0{0}", "+{0}", "%20{0}", "{0}%20", "{0}.0", "0x{0:x}", "{0}%00", "-{0}", "{0}e0", "٢"])
def test_a_port_that_is_spelled_otherwise_is_no_port(daemon, port):
    spelled = "".join(c if ord(c) < 128 else "".join(f"%{b:02X}" for b in c.encode()) for c in port.format(daemon.port))
    assert daemon.call("GET", f"/proxy/{spelled}/ping").status in (400, 404, 502), spelled


# CVE-2026-40110 and cross-site hijacking of WebSockets: origins are compared whole.
@pytest.mark.parametrize("origin", ["https://one.example.evil.org", "https://evil.org/https://one.example", "https://ONE.example.",
                                    "http://one.example", "https://one.example:444", "null", "https://oneXexample", ""])
def test_an_origin_is_compared_whole(fresh_daemon, origin):
    one = fresh_daemon(env={"EXECD_ALLOWED_ORIGINS": "https://one.example"})
    with one.wire() as wire:
        assert wire.request("GET", "/proxy/1/x", [*UPGRADE, ("Origin", origin)]).status == 401
    with one.wire() as wire:
        answer = wire.request("POST", "/command", [("Origin", "https://one.example")], b'{"command":"true"}')
        assert answer.status == 200


# Ambient authority: a cookie that a browser adds by itself opens nothing.
def test_cookies_open_nothing(daemon_with_token):
    for cookie in (f"{NAME}={daemon_with_token.token}", f"execd_session={daemon_with_token.token}",
                   f"token={daemon_with_token.token}; Authorization=Bearer {daemon_with_token.token}"):
        with daemon_with_token.wire() as wire:
            assert wire.request("GET", "/code/contexts", [("Cookie", cookie)]).status == 401


# Server-side request forgery through the preview proxy: only ports of this host, and nobody's redirect is followed.
@pytest.mark.parametrize("path", ["/proxy/169.254.169.254/latest", "/proxy/[::1]:80/", "/proxy/http://one.example/",
                                  "/proxy/localhost/", "/proxy/1@one.example/", "/proxy/127.0.0.1:80/"])
def test_the_proxy_goes_nowhere_else(daemon, path):
    with daemon.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert wire.response().status in (400, 404, 502)


def test_an_absolute_target_is_still_ours(daemon):
    with daemon.wire() as wire:
        wire.send(b"GET http://169.254.169.254/ping HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
        assert wire.response().status in (200, 400), "answered here or refused, never sent on"


# The length of a WebSocket frame is a promise, not a size to allocate.
def test_a_frame_that_promises_much_costs_nothing(fresh_daemon):
    one = fresh_daemon()
    session = one.call("POST", "/pty", json={}).json()["session_id"]
    before = processes.memory_kib(one.pid, "Rss")
    with one.wire() as wire:
        wire.send(f"GET /pty/{session}/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {UPGRADE[3][1]}\r\n\r\n".encode())
        assert wire.head().status == 101
        wire.send(b"\x82\xff" + (2 ** 62).to_bytes(8, "big") + bytes(4) + b"x" * 1000)
        while wire.fill():  # a close frame, then the end
            pass
    assert processes.memory_kib(one.pid, "Rss") < before + 8_000
    assert one.call("GET", "/ping").status == 200


# Stored scripts: what a sandbox wrote is not shown as a page of ours.
def test_a_page_in_the_sandbox_is_a_download(daemon):
    page = daemon.work / "page.html"
    page.write_text("<script>alert(1)</script>")
    answer = daemon.call("GET", f"/files/download?path={page}")
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Content-Disposition", "").startswith("attachment")


# Sockets and files that let another local user in.
def test_what_lies_in_temporary_folders_is_the_owners_alone(fresh_daemon):
    one = fresh_daemon()
    events = one.code("1+1", language="python")
    assert any(event["type"] == "result" for event in events), events
    one.command("head -c 3000000 /dev/zero")
    open_to_others = []
    for root, folders, files in os.walk(one.tmp):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            if root == str(one.tmp) and stat.S_ISDIR(mode):
                if mode & 0o066:  # a kernel of another account may pass through one, whose names nobody can list
                    open_to_others.append((path, oct(mode)))
            elif "connection" in name or name.endswith(".json"):
                if mode & 0o077:
                    open_to_others.append((path, oct(mode)))
    assert not open_to_others


# A warm container before its initialization: closed, not open.
def test_before_its_initialization_nothing_works(fresh_daemon):
    one = fresh_daemon(env={"EXECD_RUNTIME_INIT": "1"})
    for method, path, body in [("POST", "/command", {"command": "true"}), ("GET", "/files/info?path=/", None),
                               ("POST", "/contexts", {}), ("GET", "/execd/v1/executions", None)]:
        assert one.call(method, path, **({} if body is None else {"json": body})).status == 503, path
    assert one.call("GET", "/health").status == 200


# Privilege: a child has no descriptor of the daemon's, no secret, and default signals.
def test_a_child_inherits_nothing(daemon_with_token):
    out = daemon_with_token.shell("ls -l /proc/self/fd | grep -c -v total; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    lines = out.split("\n")
    assert int(lines[0]) <= 5, out  # three streams, and those of ls
    assert lines[1].split()[-1].strip("0") == "" and lines[2].split()[-1].strip("0") == "", out
