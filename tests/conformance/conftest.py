"""Fixtures of the conformance tests; README.md says how to run them and what each knob does."""

import os
from pathlib import Path

import pytest

from harness import daemon as daemon_module
from harness import sdk
from harness.daemon import BINARY, Daemon

HERE = Path(__file__).parent
TOKEN = "conformance-token-4711"
FAILED_LIST = os.environ.get("EXECD_FAILED_LIST")  # scripts/test runs again alone what stands there
named_as_failed = set()
figures = []  # lines for the end of the run: measured, not judged


def later_files():
    """later.txt: "<file> <issue letter> <why>" for tests of promises that no landed step makes yet."""
    rows = []
    for line in (HERE / "later.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            rows.append(line.split(None, 2))
    return rows


def switched_on(letter):
    chosen = os.environ.get("CONFORMANCE_LATER", "").replace(",", " ").split()
    return letter in chosen or "all" in chosen


collect_ignore = [name for name, letter, _ in later_files() if not switched_on(letter)]
if not os.environ.get("EXECD_SERVER_VENV"):  # scripts/test --full
    collect_ignore.append("test_opensandbox_server.py")
if not os.environ.get("EXECD_TEST_FULL"):
    collect_ignore += ["test_browser_full.py", "test_images.py", "test_reproducible.py"]


def pytest_report_header():
    return [f"execd: {BINARY}", f"python for kernels: {daemon_module.PYTHON}"]


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: it measures, so nothing else may run beside it")
    if not BINARY.exists():
        raise pytest.UsageError(f"no daemon at {BINARY}: run scripts/build, or set EXECD_BIN")


def pytest_sessionfinish(session):
    # One of several processes of pytest-xdist: the lines travel to the one that prints.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = figures


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    figures.extend(getattr(node, "workeroutput", {}).get("figures", []))


def pytest_terminal_summary(terminalreporter):
    for line in figures:
        terminalreporter.write_line(line)
    for name, letter, why in later_files():
        if not switched_on(letter):
            terminalreporter.write_line(f"not run yet ({letter}: {why}): {name}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        if FAILED_LIST and item.nodeid not in named_as_failed:
            named_as_failed.add(item.nodeid)
            with open(FAILED_LIST, "a") as names:
                names.write(item.nodeid + "\n")
        for one in daemon_module.live:
            since = item.stash.get(LOG_START, {}).get(id(one), 0)
            report.sections.append(("execd log", one.report(since)))


LOG_START = pytest.StashKey()


@pytest.fixture(autouse=True)
def daemons_survive(request):
    """Whatever a test does to a daemon, the daemon must live on (tests that end one stop it themselves)."""
    request.node.stash[LOG_START] = {id(one): len(one.log) for one in daemon_module.live}
    yield
    said = []
    for one in list(daemon_module.live):
        if one.proc.poll() is None:
            continue
        for reader in one.readers:
            reader.join(5)
        said.append(f"the daemon died with {one.proc.returncode}:\n{one.report()}")
        if one.shared:  # so that one death fails one test and the others still say what they know
            one.spawn()
            one.listening()
        else:
            daemon_module.live.remove(one)
    assert not said, "\n".join(said)


@pytest.fixture(scope="session")
def daemon():
    """The daemon most tests share: no token, a Python kernel available."""
    one = Daemon().listening()
    one.shared = True
    yield one
    one.stop()


@pytest.fixture
def fresh_daemon():
    """A factory of daemons that live for one test: fresh_daemon(env={}, args=[], ...)."""
    started = []

    def start(**options):
        started.append(Daemon(**options))
        return started[-1].listening()

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def daemon_with_token():
    """A protected daemon; its own calls carry the token, `token` is beside it."""
    # Every route of it is walked: no browser is started for that.
    one = Daemon(env={"EXECD_ACCESS_TOKEN": TOKEN, "EXECD_BROWSER": "off"}).listening()
    one.token = TOKEN
    one.shared = True
    one.headers = [("X-EXECD-ACCESS-TOKEN", TOKEN)]
    yield one
    one.stop()


@pytest.fixture
def sync_sdk(daemon):
    """The synchronous services of the published packages, on the shared daemon."""
    with sdk.connect_sync(daemon) as services:
        yield services


@pytest.fixture
def work(daemon, tmp_path):
    """A directory that the daemon and the test both see."""
    return tmp_path


@pytest.fixture
def figure():
    """figure("text"): a measured value, shown at the end of the run and never judged."""
    return figures.append
