"""The browser and the desktop in the hands of the published clients, and what breaks them: scripts/test --full.

agentrun-sdk with Playwright, playwright-core, puppeteer-core, noVNC, an RFB viewer; then dead and hanging programs, a full disk,
viewers that stop reading, a thousand that come and go."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness import agentrun, processes
from harness.browser import Cdp, Rfb, png_pixels, with_novnc
from harness.daemon import Daemon

JS = Path(__file__).parent / "js"
PAGE = "data:text/html,<title>T</title><input id=i><button id=b onclick=\"this.textContent='done '+i.value\">go</button>"


@contextlib.contextmanager
def folder_for_all():
    """One that the desktop's account reaches too: pytest's own are for this account alone."""
    with tempfile.TemporaryDirectory(prefix="execd-films-", dir="/tmp", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    with folder_for_all() as films:
        one = Daemon(env={"EXECD_BROWSER_SIZE": "800x600", "EXECD_RECORDINGS": f"{films}/kept",
                          **with_novnc(tmp_path_factory.mktemp("data"))}).listening()
        one.films = films / "kept"
        yield one
        one.stop()


def units(daemon):
    return {one["name"]: one for one in daemon.call("GET", "/execd/v1/browser").json()["units"]}


def recordings(daemon):
    return daemon.call("GET", "/recordings").json()["recordings"]


def node(script, *arguments):
    done = subprocess.run(["node", script, *arguments], cwd=JS, text=True, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Clients ----------------------------------------------------------------------------------------------------


def browser_sandbox(daemon, **options):
    from agentrun.sandbox.browser_sandbox import BrowserSandbox
    return agentrun.sandbox(daemon, BrowserSandbox, **options)


def test_the_agentrun_sdk_with_playwright(desktop, tmp_path):
    sandbox = browser_sandbox(desktop)
    assert sandbox.check_health()["status"] == "ok"
    with sandbox.sync_playwright(record=True) as page:
        page.goto(PAGE)
        page.fill("#i", "W\u00f6rld")
        page.click("#b")
        assert page.title() == "T" and "done W\u00f6rld" in page.html_content()
        page.screenshot(path=str(tmp_path / "shot.png"))
        assert len(page.list_pages()) == 1
        page.wait(3000)
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")
    # As long as the peer's own tests wait.
    listed = processes.eventually(lambda: [one for one in sandbox.list_recordings()["recordings"] if not one["recording"]], 5,
                                  "the recording is finished")
    saved = sandbox.download_recording(listed[0]["filename"], str(tmp_path / "film.mkv"))
    assert saved["size"] == listed[0]["size"] > 1000
    assert duration_of(tmp_path / "film.mkv") >= 3
    assert sandbox.delete_recording(listed[0]["filename"])["deleted"]
    with sandbox.sync_playwright() as page:
        assert page.title() == "T", "the page is still there"


def test_the_agentrun_sdk_asynchronously(desktop):
    async def use():
        async with browser_sandbox(desktop).async_playwright() as page:
            await page.goto(PAGE)
            return await page.title()
    assert asyncio.run(use()) == "T"


def test_signed_sockets(fresh_daemon):
    key = ("LTAI-test", "s3cret/with+signs")
    one = fresh_daemon(env={"EXECD_AGENTRUN_ACCESS_KEY_ID": key[0], "EXECD_AGENTRUN_ACCESS_KEY_SECRET": key[1]})
    sandbox = browser_sandbox(one, key=key)
    with sandbox.sync_playwright() as page:  # it sends a Host of its own, which Chromium never sees
        page.goto(PAGE)
        assert page.title() == "T"

    def look(sandbox):
        url, headers = sandbox.get_vnc_url(with_headers=True)
        return connect(url, open_timeout=40, additional_headers={k: v for k, v in headers.items() if k.lower() != "host"})

    with look(sandbox) as viewer:
        assert viewer.recv(10) == b"RFB 003.008\n"
    with pytest.raises(InvalidStatus) as refused:
        look(browser_sandbox(one, key=(key[0], "other")))
    assert refused.value.response.status_code == 401


def test_all_in_one(desktop):
    sandbox = agentrun.sandbox(desktop, agentrun.AioSandbox)
    assert sandbox.process.cmd(command="echo hi", cwd="/")["stdout"] == "hi\n"
    assert sandbox.get_cdp_url().endswith("/sandboxes/sb1/ws/automation?tenantId=local")
    with connect(sandbox.get_vnc_url(), open_timeout=40) as viewer:
        assert viewer.recv(10) == b"RFB 003.008\n"


def test_playwright_core_and_puppeteer_core(desktop):
    said = node("browser.mjs", f"http://127.0.0.1:{desktop.port}", str(desktop.room))
    assert said.count("ok ") == 10, said


def test_the_page_shows_what_the_desktop_shows(desktop):
    with Cdp(desktop).attach() as page:
        page.whole_screen().evaluate("""document.body.innerHTML =
            '<div style="position:fixed;inset:0;background:linear-gradient(90deg,red,yellow,blue)"></div>'""")

        def blue_at_the_right():
            shot = desktop.call("GET", "/execd/v1/desktop/screenshot?x=794&y=300&width=6&height=6").body
            red, green, blue = png_pixels(shot)[2][0][5]
            return red < 8 and green < 8 and blue > 247

        processes.eventually(blue_at_the_right, 20, "the desktop shows the page")
        for path in ("/static/vnc.html?path=/ws/livestream&autoconnect=true", "/sandboxes/x/static/vnc.html?path=/ws/liveview&autoconnect=1",
                     "/vnc/?autoconnect=true", "/vnc?autoconnect=true&path=//websockify"):
            said = json.loads(node("viewer.mjs", f"http://127.0.0.1:{desktop.port}", path))
            assert (said["width"], said["height"]) == (800, 600) and said["equal"] > 0.99, (path, said)


def test_a_viewer_types_and_clicks(desktop):
    with Cdp(desktop).attach() as page, Rfb(desktop) as viewer:
        page.whole_screen().evaluate("document.body.innerHTML = '<input id=i style=\"position:fixed;left:0;top:0;width:99px;height:99px\">'")
        viewer.click(50, 50)
        processes.eventually(lambda: page.evaluate("document.activeElement.id") == "i", 10, "the focus")
        for letter in "abc":
            viewer.key(ord(letter))
        processes.eventually(lambda: page.evaluate("i.value") == "abc", 10, "the text")


def test_a_viewer_that_asks_for_a_film(desktop):
    known = {one["filename"] for one in recordings(desktop)}
    for query in ("recording=false", "recording=", "recording", "recording=0"):
        with Rfb(desktop, f"/ws/livestream?tenantId=t&{query}") as viewer:
            assert viewer.picture()
    assert {one["filename"] for one in recordings(desktop)} == known
    with Rfb(desktop, "/ws/liveview?tenantId=t&recording=true"):
        processes.eventually(lambda: any(one["recording"] for one in recordings(desktop)), 20, "a recording")
    processes.eventually(lambda: not any(one["recording"] for one in recordings(desktop)), 5, "its end")
    made = {one["filename"] for one in recordings(desktop)} - known
    assert len(made) == 1 and desktop.call("DELETE", f"/recordings/{made.pop()}").status == 200


# Faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_browser_that_dies_or_stands_still(desktop, how):
    with Cdp(desktop) as client:
        client.call("Browser.getVersion")
        before = units(desktop)["browser"]
        os.kill(before["pid"], how)
        with pytest.raises(ConnectionClosed) as end:
            while True:
                client.socket.recv(40)
    assert end.value.rcvd.code == 1012 and "the browser ended" in end.value.rcvd.reason
    with Cdp(desktop, client.socket.request.path).attach() as again:
        assert again.evaluate("1+1") == 2
    after = units(desktop)["browser"]
    assert after["generation"] == before["generation"] + 1 and after["last_end"]


def test_a_renderer_crash(desktop):
    told = desktop.call("GET", "/execd/v1/browser").json()
    with Cdp(desktop).attach() as page:
        page.socket.send(json.dumps({"id": 999, "method": "Page.crash", "sessionId": page.session}))
        processes.eventually(lambda: desktop.call("GET", "/execd/v1/browser").json()["pages_crashed"] > told["pages_crashed"], 20,
                             "the crash to be known")
    made = desktop.call("PUT", "/json/new?about:blank").json()
    with Cdp(desktop, f"/devtools/page/{made['id']}") as page:
        assert page.evaluate("2+2") == 4
    for one in desktop.call("GET", "/json/list").json():
        if one["type"] == "page" and one["id"] != made["id"]:
            desktop.call("GET", f"/json/close/{one['id']}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("name", ["vnc", "display"])
def test_the_vnc_server_or_the_display_dies_or_stands_still(desktop, name, how):
    with Cdp(desktop), Rfb(desktop) as viewer:
        before = units(desktop)
        os.kill(before[name]["pid"], how)
        with pytest.raises(ConnectionClosed) as end:
            while True:
                viewer.socket.recv(60)
        assert end.value.rcvd.code == 1012
    ready = lambda: all(one["state"] == "ready" for one in units(desktop).values())
    processes.eventually(lambda: units(desktop)[name]["generation"] > before[name]["generation"] and ready(), 60, "the desktop is back")
    with Rfb(desktop) as viewer:
        assert viewer.picture()
    with Cdp(desktop).attach() as page:
        assert page.evaluate("1+1") == 2
    after = units(desktop)[name]
    assert after["ended"] == before[name]["ended"] + 1
    if how == signal.SIGSTOP:
        assert after["last_end"].startswith("it hung"), after


def duration_of(path):
    """Seconds to the end of the last picture that ffprobe can read."""
    said = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0",
                           str(path)], capture_output=True, text=True, timeout=60, check=False)
    times = [float(line.strip(",")) for line in said.stdout.split() if line.strip(",") not in ("", "N/A")]
    assert times, said
    return max(times) + 0.1


def drawn(page, pictures):
    """Waits until the page has drawn so many, about sixty a second."""
    page.evaluate(f"""new Promise(done => {{ let left = {pictures};
        (function next() {{ if (left-- === 0) done(true); else requestAnimationFrame(next); }})(); }})""")


@pytest.mark.parametrize("moving", [False, True])
def test_a_recording_whose_writer_is_killed(desktop, moving):
    with Cdp(desktop, "/ws/automation?recording=true").attach() as page:
        page.whole_screen().evaluate("window.stop = true")
        if moving:
            page.evaluate("""window.stop = false; (function turn(t) { if (window.stop) return;
                document.body.style.background = `hsl(${t / 10 % 360}, 90%, 50%)`; requestAnimationFrame(turn); })(0)""")
        for _ in range(3):
            known = {one["filename"] for one in recordings(desktop) if not one["recording"]}
            film = processes.eventually(lambda: next((one for one in desktop.films.glob("*.mkv")
                                                      if one.name not in known and one.stat().st_size > 0), None), 20, "a film")
            begun = time.monotonic()
            drawn(page, random.randrange(100, 300))
            writer = [pid for pid in processes.descendants(desktop.pid) if processes.read(f"/proc/{pid}/comm") == "ffmpeg\n"]
            assert len(writer) == 1, writer
            os.kill(writer[0], signal.SIGKILL)
            filmed = time.monotonic() - begun
            lost = filmed - duration_of(film)
            print(f"killed after {filmed:.2f} s, lost {lost:.2f} s")
            assert lost <= 1.0
        page.evaluate("window.stop = true")
    processes.eventually(lambda: not any(one["recording"] for one in recordings(desktop)), 5, "the end of the recording")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_disk_that_fills_while_it_is_filmed(fresh_daemon):
    with folder_for_all() as place, contextlib.ExitStack() as later:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=1777", "none", str(place)], check=True)
        later.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
        one = fresh_daemon(env={"EXECD_BROWSER_SIZE": "800x600", "EXECD_RECORDINGS": f"{place}/films"})
        with Cdp(one, "/ws/automation?recording=true").attach() as page:
            page.evaluate("""(function turn(t) { document.body.innerHTML = Array.from({length: 400}, () =>
                Math.random().toString(36)).join(' '); requestAnimationFrame(turn); })(0)""")
            processes.eventually(lambda: one.call("GET", "/execd/v1/browser").json().get("recording_trouble"), 60, "the trouble")
            assert "No space" in one.call("GET", "/execd/v1/browser").json()["recording_trouble"]
            assert page.evaluate("1+1") == 2 and one.call("GET", "/health").status == 200
            films = recordings(one)
            assert films and duration_of(place / "films" / films[-1]["filename"]) > 0
        one.stop()


def test_a_viewer_that_stops_reading_holds_up_nobody(desktop):
    with Rfb(desktop) as idle, Rfb(desktop) as other:
        before = processes.memory_kib(desktop.pid)

        # It asks on and reads nothing: the kernel's buffers fill, then the relay waits for it, then it is dropped.
        def dropped():
            try:
                idle.ask()
            except ConnectionClosed:
                return True
            assert other.picture()
            return False

        processes.eventually(dropped, 120, "the one that does not read is dropped")
        for _ in range(5):
            assert other.picture()
        assert processes.memory_kib(desktop.pid) - before < 16 << 10


def test_a_thousand_come_and_go(desktop):
    with Cdp(desktop), Rfb(desktop):
        pass
    before = units(desktop)
    fds = processes.open_fds(desktop.pid)
    for i in range(500):
        one = connect(f"ws://127.0.0.1:{desktop.port}/cdp", open_timeout=40, compression=None)
        two = connect(f"ws://127.0.0.1:{desktop.port}/websockify", open_timeout=40, compression=None)
        if i % 2:
            one.close()
            two.close()
        else:  # without a word
            one.socket.close()
            two.socket.close()
    processes.eventually(lambda: processes.open_fds(desktop.pid) <= fds + 2, 30, "all descriptors back")
    after = units(desktop)
    assert {name: one["pid"] for name, one in after.items()} == {name: one["pid"] for name, one in before.items()}
    with Cdp(desktop).attach() as page:
        assert page.evaluate("1+1") == 2


def test_at_boot_and_an_orderly_end(fresh_daemon):
    one = fresh_daemon(env={"EXECD_BROWSER": "boot"})
    seen = set()
    processes.eventually(lambda: seen.add(one.call("GET", "/health").json()["status"]) or "ok" in seen, 40, "health")
    assert seen == {"starting", "ok"} and one.call("GET", "/execd/v1/ready").status == 200
    client, viewer = Cdp(one), Rfb(one)
    client.call("Browser.getVersion")
    os.kill(one.pid, signal.SIGTERM)
    with pytest.raises(ConnectionClosed) as closed:
        client.socket.recv(20)
    assert closed.value.rcvd.code == 1001
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            viewer.socket.recv(20)
    assert closed.value.rcvd.code == 1000


def test_old_recordings_go(fresh_daemon, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    if os.geteuid() == 0:
        os.chown(films, 65534, 65534)
    names = [f"vnc_global_2025010{day}_000000_seg001.mkv" for day in (1, 2, 3)]
    for name, age in zip(names, (10, 5, 1)):
        (films / name).write_bytes(b"x" * 700_000)
        os.utime(films / name, (time.time() - age * 3600,) * 2)
    one = fresh_daemon(env={"EXECD_RECORDINGS": str(films), "EXECD_RECORDING_AGE": "8h", "EXECD_RECORDING_LIMIT": "1048576"})
    assert [each["filename"] for each in recordings(one)] == [names[2]]
    assert re.match(r"\d{4}-", recordings(one)[0]["modifiedTime"])
