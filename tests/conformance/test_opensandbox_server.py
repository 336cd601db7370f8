"""OpenSandbox's own server 1.1.1 with our image as its `execd_image`, driven by the SDK 1.1.1 (issue I 4): scripts/test --full.
The dated output is docs/real-server-*.md; README's fleet section says what this does."""

import datetime
import os
import socket
import tempfile
import time
import urllib.request

import pytest
from code_interpreter import CodeInterpreterSync
from opensandbox.config.connection_sync import ConnectionConfigSync
from opensandbox.models.filesystem import WriteEntry
from opensandbox.sync.sandbox import SandboxSync

from harness.engine import Engine, Server

VENV = os.environ.get("EXECD_SERVER_VENV")  # conftest.py leaves this file out where it is not set
IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
said = []


def say(text):
    said.append(text)


@pytest.fixture(scope="module")
def fleet(request):
    with tempfile.TemporaryDirectory(prefix="execd-fleet-", ignore_cleanup_errors=True) as room:
        engine = Engine(room)
        server = None
        try:
            engine.execd_image()
            engine.imported(f"{room}/context/out", "busybox:test", "/bin")
            engine.debian("debian:test", "python:test")
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            server = Server(engine, VENV, port)
            yield server
        finally:
            if server:
                server.stop()
            engine.stop()
    out = os.environ.get("EXECD_REAL_SERVER_LOG")
    if out:
        with open(out, "w", encoding="utf-8") as file:
            file.write(f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n" + "\n".join(said) + "\n")


def config(fleet, **options):
    return ConnectionConfigSync(domain=fleet.domain, protocol="http", **options)


def text(done):
    return "".join(message.text for message in done.logs.stdout)


@pytest.fixture(params=["busybox:test", "debian:test", "python:test"])
def box(request, fleet):
    begun = time.monotonic()
    one = SandboxSync.create(request.param, timeout=datetime.timedelta(minutes=10), env={"COLOUR": "blue"}, entrypoint=IDLE,
                             connection_config=config(fleet))
    say(f"{request.param}: created and ready in {time.monotonic() - begun:.2f} s")
    one.image = request.param
    yield one
    one.kill()
    say(f"{request.param}: killed")


def test_a_sandbox_of_the_server(fleet, box):
    assert text(box.commands.run("echo $COLOUR; id -u; pwd")) == "blue\n0\n/\n"
    done = box.commands.run("echo wrong >&2; exit 3")
    assert done.exit_code == 3 and done.logs.stderr[0].text == "wrong\n"
    session = box.commands.create_session()
    box.commands.run_in_session(session, "x=1; cd /tmp")
    assert text(box.commands.run_in_session(session, "echo $x; pwd")) == "1\n/tmp\n"
    box.files.write_files([WriteEntry(path="/tmp/a.txt", data="kept", mode=644)])
    assert box.files.read_file("/tmp/a.txt") == "kept"
    say(f"{box.image}: commands, session, files")
    begun = time.monotonic()
    box.pause()
    assert box.get_info().status.state == "Paused"
    again = SandboxSync.resume(box.id, connection_config=config(fleet))
    assert again.get_info().status.state == "Running" and again.files.read_file("/tmp/a.txt") == "kept"
    before = box.get_info().expires_at
    box.renew(datetime.timedelta(minutes=30))
    assert box.get_info().expires_at > before
    say(f"{box.image}: paused, resumed, renewed in {time.monotonic() - begun:.2f} s")
    # Through the server's own proxy, and through the published port of the sandbox.
    proxied = SandboxSync.connect(box.id, connection_config=config(fleet, use_server_proxy=True))
    assert text(proxied.commands.run("echo by proxy")) == "by proxy\n"
    endpoint = box.get_endpoint(44772).endpoint
    with urllib.request.urlopen(f"http://{endpoint}/ping", timeout=10) as answer:
        assert answer.status == 200
    say(f"{box.image}: server proxy, endpoint {endpoint.split('/', 1)[-1]}")
    if box.image == "python:test":
        codes = CodeInterpreterSync.create(box).codes
        context = codes.create_context("python")
        codes.run("numbers = [1, 2, 3]", context=context)
        assert codes.run("sum(numbers)", context=context).result[0].text == "6"
        say(f"{box.image}: code in a context, by the native kernel on the image's bare Python")


def test_init_mode(fleet):
    """EXECD_INIT makes execd the first process, and the program's status the container's."""
    one = SandboxSync.create("busybox:test", timeout=datetime.timedelta(minutes=10), env={"EXECD_INIT": "1"}, entrypoint=IDLE,
                             connection_config=config(fleet))
    try:
        assert text(one.commands.run("tr '\\0' ' ' </proc/1/cmdline")).startswith("/opt/opensandbox/execd --port 44772 ")
        one.commands.run("(sleep 0 &) ; (sleep 0 &)")
        assert text(one.commands.run("ps -o stat | grep -c Z || true")).strip() == "0"
        say("init mode: execd is process 1, no zombie is left")
    finally:
        one.kill()
