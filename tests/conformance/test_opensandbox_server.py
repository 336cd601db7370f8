"""OpenSandbox's own server 1.1.1 with our image as its `execd_image`, driven by the SDK 1.1.1 (issue I 4): scripts/test --full.
With EXECD_REAL_SERVER_LOG=FILE what was seen is written there, for docs/real-server-*.md. README's fleet section is run here
as it stands."""

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from code_interpreter import CodeInterpreterSync
from opensandbox.config.connection_sync import ConnectionConfigSync
from opensandbox.exceptions import SandboxException
from opensandbox.models.filesystem import WriteEntry
from opensandbox.sync.sandbox import SandboxSync

from harness import processes
from harness.daemon import REPO
from harness.engine import Server, engine

VENV = os.environ.get("EXECD_SERVER_VENV")  # conftest.py leaves this file out where it is not set
IDLE = ["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.2; done"]
UNTIL = ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.2; done; exit 7"]
LONG = datetime.timedelta(minutes=10)
BUSYBOX, DEBIAN, PYTHON = "busybox:1.35", "debian:12", "python:3.11"
said = []


def say(text):
    said.append(text)


@pytest.fixture(scope="module")
def fleet():
    with engine("fleet") as one:
        one.execd_image()
        one.imported(f"{one.room}/context/out", BUSYBOX, "/bin")
        one.debian(DEBIAN, PYTHON)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = Server(one, VENV, port)
        server.engine = one
        say(f"engine {one.docker('version', '--format', '{{.Server.Version}}').strip()}, {server.version}")
        try:
            yield server
        finally:
            server.stop()
    out = os.environ.get("EXECD_REAL_SERVER_LOG")
    if out:
        with open(out, "w", encoding="utf-8") as file:
            file.write(f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n" + "\n".join(said) + "\n")


def config(fleet, **options):
    return ConnectionConfigSync(domain=fleet.domain, protocol="http", **options)


def created(fleet, image, entrypoint=IDLE, **options):
    begun = time.monotonic()
    one = SandboxSync.create(image, timeout=LONG, entrypoint=entrypoint, connection_config=config(fleet), **options)
    say(f"{image}: created and ready in {time.monotonic() - begun:.2f} s")
    return one


def text(done):
    return "".join(message.text for message in done.logs.stdout)


def container(fleet, box):
    """What the engine says of a sandbox's container; None when it is gone."""
    ids = fleet.engine.docker("ps", "-aq", "--filter", f"label=opensandbox.io/id={box.id}").split()
    return json.loads(fleet.engine.docker("inspect", ids[0]))[0] if ids else None


def ended(fleet, box):
    state = container(fleet, box)["State"]
    return None if state["Running"] else state


@pytest.fixture(params=[BUSYBOX, DEBIAN, PYTHON])
def box(request, fleet):
    one = created(fleet, request.param, env={"COLOUR": "blue"})
    one.image = request.param
    yield one
    one.kill()
    processes.eventually(lambda: container(fleet, one) is None, 30, "no container")
    with pytest.raises(SandboxException):
        SandboxSync.connect(one.id, connection_config=config(fleet))
    say(f"{one.image}: killed, its container is gone")


def test_a_sandbox_of_the_server(fleet, box):
    commands_and_files(box)
    pause_resume_renew(fleet, box)
    from_outside(fleet, box)
    code(box)


def commands_and_files(box):
    assert text(box.commands.run("echo $COLOUR; id -u; pwd")) == "blue\n0\n/\n"
    done = box.commands.run("echo wrong >&2; exit 3")
    assert done.exit_code == 3 and "".join(message.text for message in done.logs.stderr) == "wrong\n"
    first = text(box.commands.run("tr '\\0' ' ' </proc/1/cmdline"))
    assert "/opt/opensandbox/bootstrap.sh sh -c trap" in first, first
    session = box.commands.create_session()
    box.commands.run_in_session(session, "x=1; cd /tmp")
    assert text(box.commands.run_in_session(session, "echo $x; pwd")) == "1\n/tmp\n"
    box.files.write_files([WriteEntry(path="/tmp/a.txt", data="kept", mode=644)])
    assert box.files.read_file("/tmp/a.txt") == "kept" and text(box.commands.run("cat /tmp/a.txt")) == "kept"
    say(f"{box.image}: commands, an exit status, a session, files; process 1 is {first.strip()[:60]}...")


def pause_resume_renew(fleet, box):
    begun = time.monotonic()
    box.pause()
    assert box.get_info().status.state == "Paused" and container(fleet, box)["State"]["Paused"]
    again = SandboxSync.resume(box.id, connection_config=config(fleet))
    assert again.get_info().status.state == "Running" and again.files.read_file("/tmp/a.txt") == "kept"
    before = box.get_info().expires_at
    box.renew(3 * LONG)
    assert box.get_info().expires_at > before
    say(f"{box.image}: paused, resumed, renewed in {time.monotonic() - begun:.2f} s")


def from_outside(fleet, box):
    """Through the server's own proxy, through the published port of the sandbox, and to another port of it."""
    proxied = SandboxSync.connect(box.id, connection_config=config(fleet, use_server_proxy=True))
    assert text(proxied.commands.run("echo by proxy")) == "by proxy\n"
    by_server, published = proxied.get_endpoint(44772).endpoint, box.get_endpoint(44772).endpoint
    assert by_server.startswith(fleet.domain)
    for endpoint in (by_server, published):
        with urllib.request.urlopen(f"http://{endpoint}/ping", timeout=10) as answer:
            assert answer.status == 200
    say(f"{box.image}: the server's proxy {by_server.replace(box.id, 'ID')}, the endpoint {published}")
    if box.image != PYTHON:
        return
    box.commands.run("nohup python3 -m http.server 8123 -d /tmp >/dev/null 2>&1 &")
    other = box.get_endpoint(8123).endpoint

    def fetched():
        try:
            with urllib.request.urlopen(f"http://{other}/a.txt", timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            return None  # it does not listen yet
    assert processes.eventually(fetched, 20, "the server in the sandbox") == b"kept"
    say(f"{box.image}: a server of its own on port 8123 by {other}")


def code(box):
    if box.image == BUSYBOX:
        return  # no interpreter in it
    codes = CodeInterpreterSync.create(box).codes
    if box.image == DEBIAN:
        assert text(codes.run("x=41; echo $((x + 1))", language="bash")) == "42\n"
        say(f"{box.image}: bash code, by the native kernel")
        return
    context = codes.create_context("python")
    codes.run("numbers = [1, 2, 3]", context=context)
    assert codes.run("sum(numbers)", context=context).result[0].text == "6"
    say(f"{box.image}: Python code in a context, by the native kernel on the image's bare Python")


@pytest.mark.parametrize("init", ["", "1"])
def test_the_programs_status_is_the_containers(fleet, init):
    one = created(fleet, BUSYBOX, UNTIL, env={"EXECD_INIT": init})
    try:
        one.commands.run("(sleep 0.5; touch /tmp/end) >/dev/null 2>&1 &")
        state = processes.eventually(lambda: ended(fleet, one), 20, "the end of the program")
        assert state["ExitCode"] == 7
        say(f"EXECD_INIT={init}: the program's status 7 is the container's")
    finally:
        one.kill()


def test_init_mode(fleet):
    """EXECD_INIT makes execd the first process, and the program's answer to TERM the container's status."""
    one = created(fleet, BUSYBOX, env={"EXECD_INIT": "1"})
    try:
        first = text(one.commands.run("tr '\\0' ' ' </proc/1/cmdline"))
        assert first.startswith("/opt/opensandbox/execd --port 44772 --lifecycle off --init -- sh -c trap"), first
        one.commands.run("for i in 1 2 3 4 5; do (sleep 0 &); done")
        left = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z ' || true"
        processes.eventually(lambda: text(one.commands.run(left)) == "0\n", 20, "no zombie")
        fleet.engine.docker("stop", "-t", "20", container(fleet, one)["Id"])
        assert container(fleet, one)["State"]["ExitCode"] == 9
        say(f"init mode: process 1 is {first.strip()[:60]}..., no zombie is left, its status after TERM is the program's, 9")
    finally:
        one.kill()


def test_readme(fleet):
    source = re.search(r"<!-- test: readme-fleet -->\n```python\n(.*?)^```$", (REPO / "README.md").read_text(),
                       re.DOTALL | re.MULTILINE)[1]
    assert source.count("127.0.0.1:8090") == 1
    ran = subprocess.run([sys.executable, "-c", source.replace("127.0.0.1:8090", fleet.domain)], capture_output=True, text=True,
                         timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "blue\ndebian 12\nRunning\n"
    say("README's fleet section: " + ", ".join(ran.stdout.split("\n")[:3]))
