"""The browser and the desktop: DESIGN 10, agentrun.md 2 and 3. The real Chromium, Xvfb, x11vnc and ffmpeg, driven by raw
CDP and RFB; what happens when they never come or stand still is tested in virtual time (tests/unit/browser_proxy)."""

import base64
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from harness.daemon import Daemon

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="scripts/deps --test installs chromium")


@pytest.fixture(scope="module")
def desktop():
    """A daemon of its own: what is done to its browser disturbs no other test."""
    one = Daemon(env={"EXECD_BROWSER_SIZE": "800x600"}).listening()
    yield one
    one.stop()


class Cdp:
    """One client of the browser; `session` is a page that it is attached to."""

    def __init__(self, daemon, path="/cdp"):
        self.socket = connect(f"ws://127.0.0.1:{daemon.port}{path}", max_size=None, open_timeout=40, compression=None)
        self.ids = itertools.count(1)
        self.session = None

    def call(self, method, **params):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(20))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def pages(self):
        return [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]

    def attach(self):
        target = self.pages()[0]["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def evaluate(self, text):
        return self.call("Runtime.evaluate", expression=text, returnByValue=True)["result"].get("value")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def unit(daemon, name):
    return next(one for one in daemon.call("GET", "/execd/v1/browser").json()["units"] if one["name"] == name)


def test_two_clients_at_once_on_the_page_that_is_open(desktop):
    with Cdp(desktop, "/ws/automation?tenantId=t").attach() as one, Cdp(desktop, "/sandboxes/x/ws/automation").attach() as two:
        assert one.evaluate("window.mark = 41 + 1") == 42
        assert two.evaluate("window.mark") == 42
        shot = base64.b64decode(one.call("Page.captureScreenshot")["data"])
        assert shot.startswith(b"\x89PNG")
    with Cdp(desktop).attach() as again:
        assert again.evaluate("window.mark") == 42, "the page outlives its clients"


def test_a_message_of_any_size_passes(desktop):
    with Cdp(desktop).attach() as client:
        size = (100 if os.environ.get("EXECD_TEST_FULL") else 12) << 20
        assert len(client.evaluate(f"'x'.repeat({size})")) == size
        text = "y" * (3 << 20)
        assert client.evaluate(f"'{text}'.length") == len(text)


def test_the_browser_is_closed_by_nobody(desktop):
    before = unit(desktop, "browser")["pid"]
    with Cdp(desktop) as client:
        assert client.call("Browser.close") == {}
        assert client.call("Browser.getVersion")["product"]
    assert unit(desktop, "browser")["pid"] == before


def test_the_last_tab_is_replaced(desktop):
    with Cdp(desktop) as client:
        client.call("Target.setDiscoverTargets", discover=True)
        gone = {page["targetId"] for page in client.pages()}
        for page in gone:
            client.call("Target.closeTarget", targetId=page)
        while True:
            event = json.loads(client.socket.recv(20))
            info = event.get("params", {}).get("targetInfo", {})
            if event.get("method") == "Target.targetCreated" and info["type"] == "page" and info["targetId"] not in gone:
                break


@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_speaks_of_us(desktop, slash):
    headers = [("Host", "sandbox.example:7"), ("X-Forwarded-Proto", "https")]
    version = desktop.call("GET", f"/json/version{slash}", headers=headers).json()
    assert version["Browser"].startswith("Chrome/")
    assert version["webSocketDebuggerUrl"].startswith("wss://sandbox.example:7/devtools/browser/")
    pages = desktop.call("GET", f"/json/list{slash}").json()
    assert pages == desktop.call("GET", f"/json{slash}").json()
    url = next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"]
    assert url.startswith(f"ws://127.0.0.1:{desktop.port}/devtools/page/")
    with Cdp(desktop, url[url.index("/devtools"):]) as page:
        assert page.evaluate("1+1") == 2
    made = desktop.call("PUT", f"/json/new{slash}?about:blank%23new").json()
    assert made["type"] == "page" and made["url"] == "about:blank#new"
    assert desktop.call("GET", f"/json/activate/{made['id']}").status == 200
    assert desktop.call("GET", f"/json/close/{made['id']}").status == 200
    assert desktop.call("GET", "/json/close/0000").status == 404
    assert desktop.call("GET", "/json/new?about:blank").status == 405


def test_no_proxy_leads_to_it(desktop):
    with Cdp(desktop):
        listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
        pid = unit(desktop, "browser")["pid"]
        ports = re.findall(rf"127\.0\.0\.1:(\d+) .*pid={pid},", listening)
        assert ports, listening
        for port in ports:
            assert desktop.call("GET", f"/proxy/{port}/json/version").status == 403


def test_the_desktop_is_shown(desktop):
    for path in ("/ws/liveview", "/ws/livestream", "/websockify"):
        with connect(f"ws://127.0.0.1:{desktop.port}{path}", subprotocols=["binary"], open_timeout=40) as viewer:
            assert viewer.subprotocol == "binary"
            assert viewer.recv(10) == b"RFB 003.008\n"
            viewer.send(b"RFB 003.008\n")
            assert viewer.recv(10) == b"\x01\x01"
            viewer.send(b"\x01")
            assert viewer.recv(10) == b"\0\0\0\0"
            viewer.send(b"\x01")
            start = viewer.recv(10)
            assert (int.from_bytes(start[:2], "big"), int.from_bytes(start[2:4], "big")) == (800, 600)
            # One picture, uncompressed: all of it arrives.
            viewer.send(b"\x02\0\0\x01\0\0\0\0")
            viewer.send(b"\x03\0\0\0\0\0" + (800).to_bytes(2, "big") + (600).to_bytes(2, "big"))
            have = 0
            while have < 800 * 600 * 4:
                have += len(viewer.recv(20))
    with connect(f"ws://127.0.0.1:{desktop.port}/ws/liveview") as viewer:
        assert viewer.subprotocol is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP] if os.environ.get("EXECD_TEST_FULL") else [signal.SIGKILL])
def test_a_dead_browser_is_told_and_replaced(desktop, how):
    client = Cdp(desktop)
    client.call("Browser.getVersion")
    os.kill(unit(desktop, "browser")["pid"], how)
    with pytest.raises(ConnectionClosed) as end:
        while True:
            client.socket.recv(40)
    assert end.value.rcvd.code == 1012 and "the browser ended" in end.value.rcvd.reason
    with Cdp(desktop).attach() as again:
        assert again.evaluate("1+1") == 2
    assert unit(desktop, "browser")["last_end"]


def test_a_recording_while_somebody_asks_for_one(desktop):
    with Cdp(desktop, "/ws/automation?recording=false"):
        assert desktop.call("GET", "/recordings").json()["recordings"] == []
    with Cdp(desktop, "/ws/automation?recording=true").attach() as client:
        end = time.monotonic() + 20
        while not (growing := desktop.call("GET", "/recordings").json()["recordings"]) or growing[0]["size"] < 1000:
            assert time.monotonic() < end, growing
            client.evaluate("document.body.innerHTML += 'more '")
            time.sleep(0.2)
        assert growing[0]["recording"]
        name = growing[0]["filename"]
        assert re.fullmatch(r"vnc_global_\d{8}_\d{6}_seg001\.mkv", name)
        part = desktop.call("GET", f"/recordings/{name}", headers=[("Range", "bytes=0-3")])
        assert part.status == 206 and part.body == b"\x1a\x45\xdf\xa3"
        assert desktop.call("DELETE", f"/recordings/{name}").status == 409
    left = time.monotonic()
    while desktop.call("GET", "/recordings").json()["recordings"][0]["recording"]:
        assert time.monotonic() - left < 5
        time.sleep(0.1)
    film = desktop.call("GET", f"/recordings/{name}")
    assert film.headers and film.header("Content-Type") == "video/x-matroska"
    said = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", "-"],
                          input=film.body, capture_output=True, timeout=30)
    assert said.stdout.decode().strip() == "800,600", said
    for trick in ("..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "vnc_global_20250101_000000_seg001.mkv%00", "x.mkv"):
        assert desktop.call("GET", f"/recordings/{trick}").status in (400, 404)
        assert desktop.call("DELETE", f"/recordings/{trick}").status in (400, 404)
    assert desktop.call("DELETE", f"/recordings/{name}").json() == {"filename": name, "deleted": True}
    assert desktop.call("GET", f"/recordings/{name}").status == 404


def test_what_is_missing_refuses_only_its_own(fresh_daemon):
    one = fresh_daemon(env={"EXECD_BROWSER_PROGRAM": "/nowhere/chromium"})
    answer = one.call("GET", "/json/version")
    assert answer.status == 503 and "/nowhere/chromium is not installed" in answer.text
    assert one.call("GET", "/execd/v1/ready").status == 200
    off = fresh_daemon(env={"EXECD_BROWSER": "off"})
    assert off.call("GET", "/json/version").status == 503
    assert off.call("GET", "/execd/v1/browser").json()["mode"] == "off"


def test_at_boot_and_an_orderly_end(fresh_daemon):
    one = fresh_daemon(env={"EXECD_BROWSER": "boot"})
    one.wait_event("desktop.ready")
    end = time.monotonic() + 40
    while one.call("GET", "/health").json()["status"] != "ok":
        assert time.monotonic() < end
        time.sleep(0.1)
    client = Cdp(one)
    client.call("Browser.getVersion")
    os.kill(one.pid, signal.SIGTERM)
    with pytest.raises(ConnectionClosed) as closed:
        client.socket.recv(20)
    assert closed.value.rcvd.code == 1001
