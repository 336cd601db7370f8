"""test_chaos.py's gate before the sockets of browser and desktop: slices and delays change nothing, resets leave nothing."""

import json
import os
import shutil

import pytest
from websockets.exceptions import WebSocketException

from harness import chaos, processes
from harness.browser import Cdp, Rfb
from harness.daemon import Daemon

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="scripts/deps --test installs chromium")
FULL = bool(os.environ.get("EXECD_TEST_FULL"))
SEEDS = range(1, 11) if FULL else range(1, 2)
CUTS = range(1, 41) if FULL else range(1, 4)


@pytest.fixture(scope="module")
def daemon():
    one = Daemon(env={"EXECD_BROWSER_SIZE": "320x240"}).listening()
    yield one
    one.stop()


def commands(path):
    def scenario(daemon):
        with Cdp(daemon, path).attach() as page:
            assert page.evaluate("'x'.repeat(60000).length") == 60000
            assert page.evaluate("'y'.repeat(60000)") == "y" * 60000
            text = "z" * 60000
            assert page.evaluate(f"'{text}'.length") == len(text)
    scenario.__name__ = path.strip("/").replace("/", "_")
    return scenario


def page(daemon):
    made = json.loads(daemon.call("PUT", "/json/new?about:blank").body)
    try:
        with Cdp(daemon, f"/devtools/page/{made['id']}") as one:
            assert one.evaluate("2+2") == 4
    finally:
        getattr(daemon, "direct", daemon).call("GET", f"/json/close/{made['id']}")


def viewer(path):
    def scenario(daemon):
        with Rfb(daemon, path) as one:
            assert (one.width, one.height) == (320, 240)
            assert one.picture()
    scenario.__name__ = path.strip("/").replace("/", "_")
    return scenario


def screenshot(daemon):
    shot = daemon.call("GET", "/execd/v1/desktop/screenshot")
    assert shot.status == 200 and shot.body.startswith(b"\x89PNG") and shot.body.endswith(b"IEND\xaeB\x60\x82")


SCENARIOS = [commands("/cdp"), commands("/ws/automation"), page, viewer("/websockify"), viewer("/ws/liveview"), screenshot]


def attempt(scenario, daemon):
    """True: whole and right. False: the client saw that it was cut. A hang or a wrong answer raises."""
    try:
        scenario(daemon)
        return True
    except TimeoutError:
        raise
    except (OSError, EOFError, WebSocketException):
        return False
    except AssertionError as error:  # of harness.wire
        if "connection ended" not in str(error):
            raise
        return False


@pytest.fixture(scope="module")
def at_rest(daemon):
    for scenario in SCENARIOS:
        assert attempt(scenario, daemon), scenario
    return processes.eventually(lambda: processes.open_fds(daemon.pid), what="descriptors")


def back_to(daemon, before):
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before + 3, 20, "descriptors are given back")
    units = daemon.call("GET", "/execd/v1/browser").json()["units"]
    assert all(one["ended"] == 0 for one in units), units


@pytest.mark.parametrize("mood", ["sliced", "slow"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_bad_network_changes_nothing(daemon, at_rest, scenario, seed, mood):
    with chaos.Gate(daemon.port, seed, chaos.SLICED if mood == "sliced" else chaos.SLOW) as gate:
        assert attempt(scenario, chaos.behind(daemon, gate)), "cut without a reason"
    back_to(daemon, at_rest)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_connections_that_are_reset_leave_nothing_behind(daemon, at_rest, scenario):
    cut = 0
    for seed in CUTS:
        mood = chaos.Mood(piece=4000, pause=0.001, stall=0.02, cut=400 if scenario is page else 3_000)
        with chaos.Gate(daemon.port, seed, mood) as gate:
            whole = attempt(scenario, chaos.behind(daemon, gate))
            assert whole or gate.cuts, "the daemon ended it, not the gate"
            cut += not whole
    assert cut, "no seed cut anything"
    back_to(daemon, at_rest)
    assert attempt(scenario, daemon)
