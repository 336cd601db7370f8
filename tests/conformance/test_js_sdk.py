"""The published npm package, unmodified: opensandbox.md 5.2. Needs `npm install` in js/ (node_modules is not kept)."""

import subprocess
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"


def test_the_javascript_sdk(daemon, work):
    assert (JS / "node_modules").is_dir(), f"run: npm install --prefix {JS}"
    done = subprocess.run(["node", "sdk.mjs", f"http://127.0.0.1:{daemon.port}", str(work)], cwd=JS, text=True,
                          capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 8, done.stdout


@pytest.mark.parametrize("mode", ["direct", "proxy"])
def test_the_javascript_sdk_creates_a_sandbox(daemon, work, mode):
    done = subprocess.run(["node", "lifecycle.mjs", f"127.0.0.1:{daemon.port}", str(work), mode], cwd=JS, text=True,
                          capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 4, done.stdout
