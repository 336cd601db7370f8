"""The N-th operation of the running daemon fails: it answers, goes on, ends in order and leaks nothing.

The seam exists in debug builds only (EXECD_FAULT=name:n:errno), so these tests run the sanitizer build's daemon.
"""

import errno
import json
import os
import socket

import pytest

from harness import daemon as daemon_module
from harness.daemon import BINARY, Daemon
from harness.wire import Wire, build, query

ROOT = daemon_module.Path(__file__).resolve().parents[2]
DEBUG = BINARY if "/dev/" in str(BINARY) else ROOT / "build/dev/bin/execd"

FULL = bool(os.environ.get("EXECD_TEST_FULL"))  # every one of them; else the first two of each name
POINTS = [
    ("accept", errno.EMFILE, 4), ("http.read", errno.ECONNRESET, 8), ("http.write", errno.ECONNRESET, 8),
    ("http.watch", errno.ENOMEM, 3), ("buffer", errno.ENOMEM, 4), ("sendfile", errno.EIO, 2), ("connect", errno.ENETUNREACH, 2),
    ("pipe", errno.EMFILE, 3), ("spawn.dup", errno.EMFILE, 3), ("spawn.clone", errno.EAGAIN, 3),
    ("terminal", errno.EMFILE, 1), ("memfd", errno.EMFILE, 1), ("thread", errno.EAGAIN, 2),
    ("open", errno.EMFILE, 3), ("read", errno.EIO, 2), ("read.cached", errno.EAGAIN, 2), ("write", errno.ENOSPC, 3),
    ("rename", errno.EIO, 2),  # no route asks for fsync
    ("journal.read", errno.EIO, 2), ("journal.spill.open", errno.ENOSPC, 1), ("journal.spill.write", errno.ENOSPC, 2),
    ("journal.spill.read", errno.EIO, 1),
]


@pytest.fixture
def upstream():
    listener = socket.create_server(("127.0.0.1", 0))
    yield listener.getsockname()[1]
    listener.close()


def attempt(port, method, target, headers=(), body=b""):
    """A status, or None when the connection was cut."""
    try:
        with Wire(port, timeout=20) as wire:
            return wire.request(method, target, headers, body).status
    except (AssertionError, ConnectionError):
        return None


def in_a_session(port):
    try:
        with Wire(port, timeout=20) as wire:
            made = wire.request("POST", "/session")
            if made.status != 200:
                return made.status
            ident = made.json()["session_id"]
            status = wire.request("POST", f"/session/{ident}/run", [], b'{"command":"true"}').status
            wire.request("DELETE", f"/session/{ident}")
            return status
    except (AssertionError, ConnectionError):
        return None


def scenario(one, tmp_path):
    form = [("Content-Type", "multipart/form-data; boundary=b")]
    meta = json.dumps({"path": f"{tmp_path}/up"}).encode()
    upload = (b'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n' + meta +
              b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 300_000 +
              b"\r\n--b--\r\n")
    big = tmp_path / "big"
    big.write_bytes(b"y" * (2 << 20))
    small = tmp_path / "small"
    small.write_bytes(b"y\n" * 50_000)
    script = json.dumps({"command": "true #" + "x" * 200_000}).encode()
    return [
        attempt(one.port, "GET", "/ping"),
        attempt(one.port, "POST", "/command", [], b'{"command":"echo hi; seq 1 2000"}'),
        # More than the ring in front of the spill file, looked at from its begin afterwards.
        attempt(one.port, "PUT", "/execd/v1/executions/much", [],
                b'{"shell":"head -c 4000000 /dev/zero | tr \\\\0 m","wait_ms":20000}'),
        attempt(one.port, "GET", "/execd/v1/executions/much/output?stream=stdout"),
        attempt(one.port, "PUT", "/execd/v1/executions/screen", [],
                b'{"shell":"echo hi","pty":{"columns":80,"rows":24},"wait_ms":20000}'),
        attempt(one.port, "POST", "/command", [], script),
        in_a_session(one.port),
        attempt(one.port, "POST", "/files/upload", form, upload),
        attempt(one.port, "GET", query("/files/download", path=str(big))),
        attempt(one.port, "GET", query("/files/download", path=str(small))),
        attempt(one.port, "GET", query("/files/download", path=str(small), offset=1, limit=2)),
        attempt(one.port, "POST", "/files/replace", [], json.dumps({str(small): {"old": "y", "new": "z"}}).encode()),
        attempt(one.port, "PUT", query("/execd/v1/files/content", path=f"{tmp_path}/kept"), [], b"kept"),
        attempt(one.port, "PUT", query("/execd/v1/files/content", path=f"{tmp_path}/kept"), [], b"again"),
        attempt(one.port, "GET", "/proxy/1/x"),
        attempt(one.port, "POST", "/directories", [], json.dumps({f"{tmp_path}/d": {"mode": 755}}).encode()),
        attempt(one.port, "GET", query("/directories/list", path=str(tmp_path))),
        attempt(one.port, "GET", query("/files/search", path=str(tmp_path), pattern="s*")),
        attempt(one.port, "GET", query("/execd/v1/files/archive", path=str(tmp_path), format="tar")),
        *([attempt(one.port, "POST", "/code", [], b'{"code":"echo hi","context":{"language":"bash"}}')] if FULL else []),
    ]


@pytest.mark.parametrize(("name", "number", "most"), POINTS)
def test_the_nth_operation_fails(monkeypatch, tmp_path, name, number, most):
    assert DEBUG.exists(), "scripts/build dev makes the daemon with the fault seam"
    monkeypatch.setattr(daemon_module, "BINARY", DEBUG)
    for nth in range(1, (most if FULL else min(most, 2)) + 1):
        one = Daemon(env={"EXECD_FAULT": f"{name}:{nth}:{number}"}).listening()
        statuses = scenario(one, tmp_path)
        assert all(status is None or 200 <= status < 600 for status in statuses), (nth, statuses)
        # One failure is one request's trouble: what was asked after it is served.
        assert statuses.count(None) <= 1, (nth, statuses)
        with one.wire() as wire:
            assert wire.request("GET", "/ping").status == 200
        assert one.shell("echo alive") == "alive\n"
        one.stop()
        assert not any("outstanding at exit" in line for line in one.err if line), (nth, one.err)
        # Only what was reached has been tried.
        assert nth > 1 or f"fault: {name} struck" in one.err, one.err


def test_a_wrong_fault_is_refused_by_the_debug_build_and_unknown_to_the_other():
    done = daemon_module.subprocess.run([str(DEBUG), "--version"], env={**os.environ, "EXECD_FAULT": "nonsense"},
                                        capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "EXECD_FAULT" in done.stderr


def test_the_fault_variable_reaches_no_child(monkeypatch):
    monkeypatch.setattr(daemon_module, "BINARY", DEBUG)
    one = Daemon(env={"EXECD_FAULT": "nothing:1:5"}).listening()
    assert "EXECD_FAULT" not in one.shell("env")
    one.stop()


def test_nothing_is_outstanding_after_an_orderly_end(monkeypatch, tmp_path):
    monkeypatch.setattr(daemon_module, "BINARY", DEBUG)
    one = Daemon().listening()
    assert all(scenario(one, tmp_path))
    with one.wire() as wire:
        wire.send(build("GET", "/ping") * 10)
        for _ in range(10):
            assert wire.response().status == 200
        one.stop()
    assert not any("outstanding" in line for line in one.err if line)
