"""The Dockerfile's images, built and started on a private engine, their health probed (issues H 7, I 2): scripts/test --full.
The daemon in them is the one under test, so the stage `build` is left out; everything else comes from Debian's and Python's
registries. Some minutes and 5 GB, of which nothing is left."""

import json
import shutil
import time
import urllib.request

import pytest
from websockets.sync.client import connect

from harness.daemon import BINARY, REPO
from harness.engine import bootstrapped, engine, with_own_registries

TITLES = {"execd": "execd", "code-interpreter": "execd code interpreter", "browser": "execd browser",
          "all-in-one": "execd all in one"}


@pytest.fixture(scope="module")
def images():
    with engine("images") as one:
        root = f"{one.room}/debian"
        bootstrapped(root)
        with_own_registries(root)
        one.imported(root, "debian:12")
        shutil.rmtree(root)
        context = one.room / "images"
        context.mkdir()
        shutil.copy(BINARY, context / "execd")
        shutil.copytree(REPO / "deploy", context / "deploy")
        text = (REPO / "Dockerfile").read_text()
        after = text[text.index("# What the server's init container runs"):]
        (context / "Dockerfile").write_text("FROM scratch AS build\nCOPY execd /execd\n\n" + after)
        yield one


def built(images, stage, tag=None, *options):
    tag = tag or f"execd-{stage}"
    images.docker("build", "--network", "host", "--target", stage, "--build-arg", "EXECD_COMMIT=c0ffee", *options, "-t", tag,
                  str(images.room / "images"), seconds=1800)
    shown = json.loads(images.docker("inspect", tag))[0]["Config"]
    label = {name.removeprefix("org.opencontainers.image."): text for name, text in shown["Labels"].items()}
    assert (label["title"], label["licenses"], label["revision"]) == (TITLES[stage], "Apache-2.0", "c0ffee")
    return tag, shown


def eventually(what, seconds):
    end = time.monotonic() + seconds
    while not (seen := what()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return seen


class Box:
    """A container of an image; `with` ends it, and looks how it ended."""

    def __init__(self, images, tag, *words, options=()):
        self.images, self.ident = images, images.docker("run", "-d", *options, tag, *words).strip()

    def __enter__(self):
        return self

    def state(self):
        return json.loads(self.images.docker("inspect", self.ident))[0]

    def up(self, status="running"):
        def is_up():
            told = self.state()
            assert told["State"]["Running"], self.images.docker("logs", self.ident)
            return told if status in (told["State"]["Status"], told["State"].get("Health", {}).get("Status")) else None
        self.address = eventually(is_up, 120)["NetworkSettings"]["IPAddress"]
        return self

    def healthy(self):
        return self.up("healthy")

    def get(self, target, port=8080):
        with urllib.request.urlopen(f"http://{self.address}:{port}{target}", timeout=60) as answer:
            return answer.read()

    def post(self, target, port=8080, **fields):
        asked = urllib.request.Request(f"http://{self.address}:{port}{target}", json.dumps(fields).encode(),
                                       {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return answer.read()

    def shell(self, text):
        done = json.loads(self.post("/execd/v1/executions", shell=text, wait_ms=60_000))
        assert done["verdict"]["kind"] == "exited" and done["verdict"]["exit_code"] == 0, done
        return self.get(f"/execd/v1/executions/{done['id']}/output").decode()

    def code(self, text, language="python"):
        done = json.loads(self.post("/contexts/execute", code=text, language=language))
        assert done["exitCode"] == 0, done
        return done["stdout"]

    def __exit__(self, failed, *_):
        try:
            if not failed:
                self.images.docker("stop", "-t", "20", self.ident)
                assert self.state()["State"]["ExitCode"] == 0, self.images.docker("logs", self.ident)[-3000:]
        finally:
            self.images.docker("rm", "-f", self.ident)


def test_the_image_that_servers_take_it_from(images):
    tag, shown = built(images, "execd")
    assert shown["Entrypoint"] == ["./execd"] and shown["WorkingDir"] == "/"
    with Box(images, tag, "tail", "-f", "/dev/null") as box:  # what OpenSandbox's injector appends
        eventually(lambda: json.loads(box.up().get("/health"))["status"] == "ok", 20)
        assert box.shell("echo $((6 * 7))") == "42\n"
    # An init container of Kubernetes runs this.
    copied = images.docker("run", "--rm", "--entrypoint", "/bin/sh", tag, "-c",
                           "cp ./execd /tmp/a && cp ./bootstrap.sh /tmp/b && chmod +x /tmp/a /tmp/b && /tmp/a --version && "
                           "test -x /bootstrap.sh && stat -c %a execd bootstrap.sh")
    assert copied.startswith("execd ") and copied.splitlines()[1:] == ["755", "755"]


# One Python for the shell, its pip and the kernel, and what it has.
MODULES = "ipykernel, pandas, numpy, matplotlib, PIL, requests, playwright.sync_api, markdownify"
PLOT = "import matplotlib.pyplot as plt; plt.plot([1, 2, 4]); plt.show()"


def test_the_code_interpreter(images):
    tag, shown = built(images, "code-interpreter")
    assert shown["User"] == "sandbox" and "EXECD_PREWARM=python" in shown["Env"]
    with Box(images, tag) as box:
        box.healthy()
        assert box.shell("id -un; pwd") == "sandbox\n/home/sandbox\n"
        assert box.code("print(6 * 7)") == "42\n"
        assert box.code(f"import {MODULES}, sys; print(sys.prefix)") == "/opt/python\n"
        assert box.code("import pandas; print(pandas.DataFrame({'a': [1, 2]}).sum().a)") == "3\n"
        assert box.code("import markdownify; print(markdownify.markdownify('<b>x</b>'))") == "**x**\n"
        assert box.shell("command -v python3 pip; python3 -c 'import pandas; print(pandas.__version__)'; node -p 6*7; "
                         "npm --version >/dev/null && git --version | cut -c 1-3; bash -c 'echo $BASH_VERSION' | cut -c 1") == \
            "/opt/python/bin/python3\n/opt/python/bin/pip\n" + pinned("pandas") + "\n42\ngit\n5\n"
        assert b"image/png" in box.post("/code", code=PLOT, context={"language": "python"})
        assert box.code("console.log(6 * 7)", "javascript") == "42\n"
        # The sandbox's user may install into that Python.
        box.shell("echo answer = 42 >$(python3 -c 'import site; print(site.getsitepackages()[0])')/own_thing.py")
        assert box.code("import own_thing; print(own_thing.answer)") == "42\n"
    with Box(images, tag, "tail", "-f", "/dev/null", options=("--user", "0")) as box:
        box.healthy()
        assert box.shell("id -u") == "0\n" and box.code("import os; print(os.getuid())") == "0\n"
    assert built(images, "code-interpreter", "as-root", "--build-arg", "SANDBOX_USER=root")[1]["User"] == "root"


def pinned(name):
    lines = (REPO / "deploy/code-interpreter.txt").read_text().splitlines()
    return next(line.split("==")[1] for line in lines if line.startswith(f"{name}=="))


@pytest.mark.parametrize("stage", ["browser", "all-in-one"])
def test_it_becomes_healthy_and_serves(images, stage):
    tag, shown = built(images, stage)
    assert shown["User"] == "sandbox"
    with Box(images, tag) as box:
        box.healthy()
        for port in [8080, 5000] + [3000] * (stage == "browser"):
            assert json.loads(box.get("/health", port))["status"] == "ok"
        with connect(f"ws://{box.address}:5000/ws/automation", open_timeout=30) as cdp:
            cdp.send(json.dumps({"id": 1, "method": "Browser.getVersion"}))
            assert json.loads(cdp.recv(20))["result"]["product"].startswith("Chrome/")
        with connect(f"ws://{box.address}:5000/ws/liveview", open_timeout=30) as viewer:
            assert viewer.recv(20) == b"RFB 003.008\n"
        assert b"export default class RFB" in box.get("/static/novnc/core/rfb.js", 5000)
        assert json.loads(box.get("/execd/v1/desktop"))["missing"] == {}
        if stage == "all-in-one":
            assert box.code("print(6*7)") == "42\n"
