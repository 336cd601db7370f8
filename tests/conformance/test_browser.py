"""The browser and the desktop: DESIGN 10, agentrun.md 2 and 3. The real Chromium, Xvfb, x11vnc and ffmpeg, driven by raw
CDP and RFB; what happens when they never come or stand still is tested in virtual time (tests/unit/browser_proxy)."""

import base64
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

from harness import processes
from harness.browser import Cdp, Rfb, png_pixels, with_novnc
from harness.daemon import Daemon

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="scripts/deps --test installs chromium")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    """A daemon of its own: what is done to its browser disturbs no other test."""
    one = Daemon(env={"EXECD_BROWSER_SIZE": "800x600", **with_novnc(tmp_path_factory.mktemp("data"))}).listening()
    yield one
    one.stop()


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
    headers = [("X-Forwarded-Host", "front.example"), ("X-Forwarded-Port", "8443"), ("X-Forwarded-Prefix", "/box/7")]
    version = desktop.call("GET", f"/json/version{slash}", headers=headers).json()
    assert version["webSocketDebuggerUrl"].startswith("ws://front.example:8443/box/7/devtools/browser/")
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
    # "Target is closing", says Chromium, and lists it until it has.
    processes.eventually(lambda: made["id"] not in [page["id"] for page in desktop.call("GET", "/json").json()],
                         what="the closed page is gone")
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
    with Cdp(desktop).attach() as page:
        page.whole_screen().evaluate("document.body.style.background = 'rgb(250, 120, 10)'")
        for path in ("/ws/liveview", "/ws/livestream", "/websockify"):
            with Rfb(desktop, path, subprotocols=["binary"]) as viewer:
                assert viewer.socket.subprotocol == "binary" and (viewer.width, viewer.height) == (800, 600)
                end = time.monotonic() + 10
                while path == "/websockify" and viewer.picture()(100, 300) != (250, 120, 10):  # the pointer is in the middle
                    assert time.monotonic() < end
    with Rfb(desktop, "/ws/liveview") as viewer:
        assert viewer.socket.subprotocol is None


def test_the_page_that_shows_it(desktop, fresh_daemon):
    for where in ("/vnc", "/vnc/", "/static/vnc.html", "/sandboxes/x/static/vnc.html?path=/ws/livestream&autoconnect=true"):
        page = desktop.call("GET", where)
        assert page.status == 200 and page.header("Content-Type").startswith("text/html"), page
        script = re.search(r'src="([^"]+)"', page.text)[1]
        assert script == ("vnc/viewer.js" if where == "/vnc" else "viewer.js")
    for path in ("/vnc/viewer.js", "/static/viewer.js", "/vnc/novnc/core/rfb.js", "/sandboxes/x/static/novnc/core/util/logging.js"):
        answer = desktop.call("GET", path)
        assert answer.status == 200 and answer.header("Content-Type").startswith("text/javascript"), path
    for trick in ("/vnc/novnc/../../etc/passwd", "/vnc/novnc/core/..%2f..%2fpackage.json", "/vnc/novnc/package.json", "/static/",
                  "/vnc/novnc/core/.hidden.js", "/vnc/novnc//etc/passwd.js", "/vnc/novnc/core/none.js", "/static/x.html"):
        assert desktop.call("GET", trick).status in (400, 404), trick
    bare = fresh_daemon(env={"XDG_DATA_DIRS": "/nowhere:relative"})
    answer = bare.call("GET", "/vnc/")
    assert answer.status == 503 and "noVNC is not installed" in answer.text


def test_hands_and_eyes(desktop):
    told = desktop.call("GET", "/execd/v1/desktop").json()
    assert (told["width"], told["height"], told["missing"]) == (800, 600, {})

    def act(what, status=204, **body):
        answer = desktop.call("PUT" if what == "clipboard" else "POST", f"/execd/v1/desktop/{what}", json=body)
        assert answer.status == status, answer
        return answer

    with Cdp(desktop).attach() as page:
        page.whole_screen().evaluate("""document.body.innerHTML = `<style>* { margin: 0 }</style>
            <textarea id=t style="position:fixed;left:0;top:0;width:400px;height:300px"></textarea>
            <div style="position:fixed;left:500px;top:400px;width:100px;height:100px;background:rgb(10,200,30)"></div>`;
            window.seen = []; for (const kind of ["click", "dblclick", "contextmenu", "wheel"])
              addEventListener(kind, e => { seen.push([kind, e.clientX, e.clientY, Math.sign(e.deltaY || 0)]); })""")

        def until(expression, value):
            processes.eventually(lambda: page.evaluate(expression) == value, what=f"{expression} is {value!r}")

        act("mouse", action="click", x=100, y=100)
        until("document.activeElement.id", "t")
        assert desktop.call("GET", "/execd/v1/desktop/pointer").json() == {"x": 100, "y": 100}
        act("mouse", action="double_click", x=600, y=10)
        act("mouse", action="scroll", down=2)
        until("seen.filter(e => e[0] == 'dblclick')", [["dblclick", 600, 10, 0]])
        until("seen.filter(e => e[0] == 'wheel').length > 0 && seen.filter(e => e[0] == 'wheel').every(e => e[3] == 1)", True)
        act("mouse", action="click", x=100, y=100)
        text = "Hello, W\u00f6rld \u20ac \u4e16\u754c \U0001f600!\n\t-- 'x' \"y\" $HOME"
        act("text", text=text.replace("\t", ""))
        until("t.value", text.replace("\t", ""))
        act("keys", keys=["ctrl+a", "Delete", "a", "shift+b", "/"])
        until("t.value", "aB/")
        act("clipboard", text=text)
        assert desktop.call("GET", "/execd/v1/desktop/clipboard").json() == {"text": text}
        act("keys", keys=["ctrl+a", "ctrl+v"])
        until("t.value", text)
        act("mouse", action="drag", x=500, y=400, to_x=599, to_y=499)
        # A region, all of it, and as a JPEG.
        shot = desktop.call("GET", "/execd/v1/desktop/screenshot?x=498&y=398&width=6&height=6")
        assert shot.header("Content-Type") == "image/png"
        width, height, rows = png_pixels(shot.body)
        assert (width, height) == (6, 6) and rows[4][4] == (10, 200, 30) and rows[0][0] != (10, 200, 30)
        whole = desktop.call("GET", "/execd/v1/desktop/screenshot").body
        assert (int.from_bytes(whole[16:20], "big"), int.from_bytes(whole[20:24], "big")) == (800, 600)
        assert desktop.call("GET", "/execd/v1/desktop/screenshot?format=jpeg&quality=50").body.startswith(b"\xff\xd8\xff")
    for query in ("x=800", "width=801", "x=799&width=2", "format=gif", "quality=0", "x=-1", "height=99999999999"):
        assert desktop.call("GET", f"/execd/v1/desktop/screenshot?{query}").status == 400, query
    for body in ({"action": "click", "x": 800, "y": 0}, {"action": "click", "x": 1}, {"action": "drag", "x": 1, "y": 1},
                 {"action": "fly"}, {"action": "scroll"}, {"action": "move"}, {"action": "click", "count": 9}):
        act("mouse", 400, **body)
    act("keys", 400, keys=["NoSuchKey"])
    act("keys", 400, keys=["-x"])
    act("text", 400, text="a\u001b[0m")


def test_a_dead_browser_is_told_and_replaced(desktop):
    client = Cdp(desktop)
    client.call("Browser.getVersion")
    os.kill(unit(desktop, "browser")["pid"], signal.SIGKILL)
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
        def film():
            client.evaluate("document.body.innerHTML += 'more '")
            found = desktop.call("GET", "/recordings").json()["recordings"]
            return found if found and found[0]["size"] >= 1000 else None

        growing = processes.eventually(film, seconds=20, what="the recording has its first kilobyte")
        assert growing[0]["recording"]
        name = growing[0]["filename"]
        assert re.fullmatch(r"vnc_global_\d{8}_\d{6}_seg001\.mkv", name)
        part = desktop.call("GET", f"/recordings/{name}", headers=[("Range", "bytes=0-3")])
        assert part.status == 206 and part.body == b"\x1a\x45\xdf\xa3"
        assert desktop.call("DELETE", f"/recordings/{name}").status == 409
    processes.eventually(lambda: not desktop.call("GET", "/recordings").json()["recordings"][0]["recording"], seconds=5,
                         what="it ends soon after the last one who asked for it")
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
    processes.eventually(lambda: one.call("GET", "/execd/v1/ready").status == 200, what="readiness")
    for path in ("/execd/v1/desktop/pointer", "/recordings"):
        assert one.call("GET", path).status == 200, "these need no Chromium"
    off = fresh_daemon(env={"EXECD_BROWSER": "off"})
    assert off.call("GET", "/execd/v1/desktop").status == 503 and off.call("GET", "/vnc/").status == 503
    assert off.call("GET", "/json/version").status == 503
    assert off.call("GET", "/execd/v1/browser").json()["mode"] == "off"
