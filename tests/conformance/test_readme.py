"""README's client examples are run as they stand, against a daemon on a free port, and print what README says.

Its first command is run as well: scripts/run builds the release, and has nothing to build when scripts/test did it.
"""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from harness.daemon import REPO
from harness.wire import Wire

RUN = str(REPO / "scripts" / "run")
READY = re.compile(r"execd is ready on http://127\.0\.0\.1:(\d+)")


def marked_block(name):
    """The fenced block that follows `<!-- test: name -->` in README.md."""
    found = re.findall(rf"<!-- test: {re.escape(name)} -->\n```\w*\n(.*?)^```$", (REPO / "README.md").read_text(),
                       re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"README.md has {len(found)} blocks marked {name}"
    return found[0]


def test_readme_client(daemon, tmp_path):
    source = marked_block("readme-client")
    assert source.count("127.0.0.1:8080") == 1
    example = tmp_path / "example.py"
    example.write_text(source.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}"))
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == marked_block("readme-client-output")


def test_readme_sandbox(daemon, tmp_path):
    example = tmp_path / "example.py"
    example.write_text(marked_block("readme-sandbox").replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}"))
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["blue", "Running"]


def test_readme_agentrun(daemon, tmp_path):
    source = marked_block("readme-agentrun")
    assert source.count("127.0.0.1:8080") == 1
    example = tmp_path / "example.py"
    example.write_text(source.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}"))
    quiet = {**os.environ, "DISABLE_BREAKING_CHANGES_WARNING": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=90, cwd=tmp_path,
                         env=quiet)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-3:] == ["6", "hello from Linux", "kept on disk"]


if os.environ.get("EXECD_TEST_FULL"):  # half a minute of pip
    def test_readme_client_as_a_stranger_runs_it(tmp_path):
        """scripts/run's own daemon, and an environment that holds what README's pip line installs and nothing else."""
        install = re.search(r"^    pip (install opensandbox==.*)$", (REPO / "README.md").read_text(), re.MULTILINE)[1]
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
        python = str(tmp_path / "venv/bin/python")
        subprocess.run([python, "-m", "pip", "-q", *install.split()], check=True, timeout=300)
        one = subprocess.Popen([RUN], env={**os.environ, "EXECD_PORT": "0"}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, start_new_session=True)
        late = threading.Timer(120, os.killpg, (one.pid, signal.SIGKILL))
        late.start()
        try:
            port = next(found for found in map(READY.search, one.stdout) if found)[1]
            source = marked_block("readme-client").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            ran = subprocess.run([python, "-c", source], capture_output=True, text=True, timeout=60, cwd=tmp_path)
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout == marked_block("readme-client-output")
        finally:
            late.cancel()
            os.killpg(one.pid, signal.SIGTERM)
            one.wait(30)
            one.stdout.close()


def test_readme_cloud_sandbox(daemon, tmp_path):
    source = marked_block("readme-cloud-sandbox")
    assert source.count("127.0.0.1:8080") == 1
    example = tmp_path / "example.py"
    example.write_text(source.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}"))
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "42\n3\n"), ran.stderr


@pytest.mark.parametrize("script", ["run", "test", "build", "deps", "format", "tidy", "check-rooms", "check-awaits",
                                    "check-headers", "check-binary"])
def test_scripts_explain_themselves(script):
    ran = subprocess.run([str(REPO / "scripts" / script), "--help"], capture_output=True, text=True, timeout=30,
                         stdin=subprocess.DEVNULL)
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"usage: scripts/{script}")
    assert len(ran.stdout.splitlines()) >= 3



@pytest.mark.parametrize("own_log", [False, True])
def test_run_says_once_that_it_is_ready_and_ends_on_ctrl_c(tmp_path, own_log):
    log = tmp_path / "execd.log"
    env = {**os.environ, "EXECD_PORT": "0", "TMPDIR": str(tmp_path)}
    if own_log:  # above the level of the line that tells of readiness
        env.update({"EXECD_LOG_FILE": str(log), "EXECD_LOG_LEVEL": "error"})
    # A signal that was ignored at its start could not be trapped by a shell.
    one = subprocess.Popen([RUN], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, start_new_session=True,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    late = threading.Timer(60, os.killpg, (one.pid, signal.SIGKILL))
    late.start()
    try:
        ready = next((found for found in map(READY.search, one.stdout) if found), None)
        assert ready, one.stderr.read()
        with Wire(int(ready[1])) as wire:
            assert wire.request("GET", "/ping").status == 200
        if own_log:
            one.send_signal(signal.SIGINT)
        else:
            os.killpg(one.pid, signal.SIGINT)  # as a terminal does: the daemon hears it too
        rest, errors = one.stdout.read(), one.stderr.read()
        one.wait()
    finally:
        late.cancel()
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
    assert one.returncode == 0, errors
    assert "ready" not in rest and "To mend it" not in errors
    assert log.exists() == own_log and (not own_log or '"event":"listener.open"' in log.read_text())


def test_run_hands_on_what_does_not_serve():
    for word, said in (("--version", "execd "), ("help", "execd "), ("kernel", "")):
        words = [word, "list"] if word == "kernel" else [word]
        ran = subprocess.run([RUN, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert ran.returncode == 0 and ran.stdout.startswith(said), ran.stderr
        assert "==>" not in ran.stdout
