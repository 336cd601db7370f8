"""The Dockerfile's stages `browser` and `all-in-one`, built and started on a private engine, their health probed (issue H 7):
scripts/test --full. The daemon in them is the one under test; everything else comes from Debian's and Python's registries."""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from harness.daemon import BINARY, REPO
from harness.engine import Engine, words


def own_configuration(root):
    """Where this machine takes packages from, so that a build can do it too."""
    for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/etc/pip.conf", "/etc/ssl/certs",
                 "/usr/local/share/ca-certificates", "/etc/resolv.conf"):
        source, target = Path(path), Path(f"{root}{path}")
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        else:
            shutil.copy(source, target)


@pytest.fixture(scope="module")
def engine():
    with tempfile.TemporaryDirectory(prefix="execd-images-", ignore_cleanup_errors=True) as room:
        one = Engine(room)
        try:
            root = f"{room}/debian"
            words("debootstrap", "--variant=minbase", "bookworm", root, seconds=900)
            own_configuration(root)
            one.imported(root, "debian:12")
            shutil.rmtree(root)
            yield one
        finally:
            one.stop()


def built(engine, stage):
    context = engine.room / "images"
    if not context.exists():
        context.mkdir()
        shutil.copy(BINARY, context / "execd")
        shutil.copytree(REPO / "deploy", context / "deploy")
        text = (REPO / "Dockerfile").read_text()
        after = text[text.index("# What the server's init container runs"):]
        (context / "Dockerfile").write_text("FROM scratch AS build\nCOPY execd /execd\n\n" + after)
    engine.docker("build", "--network", "host", "--target", stage, "-t", f"execd-{stage}", str(context), seconds=2400)
    return f"execd-{stage}"


def eventually(what, seconds):
    end = time.monotonic() + seconds
    while not (seen := what()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return seen


@pytest.mark.parametrize("stage", ["browser", "all-in-one"])
def test_it_becomes_healthy_and_serves(engine, stage):
    name = built(engine, stage)
    ident = engine.docker("run", "-d", name).strip()
    try:
        def state():
            told = json.loads(engine.docker("inspect", ident))[0]
            assert told["State"]["Running"], engine.docker("logs", ident)
            return told if told["State"]["Health"]["Status"] == "healthy" else None
        address = eventually(state, 120)["NetworkSettings"]["IPAddress"]
        for port in [8080, 5000] + [3000] * (stage == "browser"):
            said = subprocess.run(["curl", "-fsS", f"http://{address}:{port}/health"], capture_output=True, check=True).stdout
            assert json.loads(said)["status"] == "ok"
        with connect(f"ws://{address}:5000/ws/automation", open_timeout=30) as cdp:
            cdp.send(json.dumps({"id": 1, "method": "Browser.getVersion"}))
            assert json.loads(cdp.recv(20))["result"]["product"].startswith("Chrome/")
        with connect(f"ws://{address}:5000/ws/liveview", open_timeout=30) as viewer:
            assert viewer.recv(20) == b"RFB 003.008\n"
        page = subprocess.run(["curl", "-fsS", f"http://{address}:5000/static/novnc/core/rfb.js"], capture_output=True, check=True)
        assert b"export default class RFB" in page.stdout
        desktop = json.loads(subprocess.run(["curl", "-fsS", f"http://{address}:8080/execd/v1/desktop"], capture_output=True,
                                            check=True).stdout)
        assert desktop["missing"] == {}
        if stage == "all-in-one":
            body = json.dumps({"code": "print(6*7)", "language": "python"})
            ran = subprocess.run(["curl", "-fsS", "-d", body, f"http://{address}:5000/contexts/execute"], capture_output=True,
                                 check=True).stdout
            assert json.loads(ran)["stdout"] == "42\n"
    finally:
        engine.docker("rm", "-f", ident)
