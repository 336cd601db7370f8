"""The published npm package, unmodified: opensandbox.md 5.2. Needs `npm install` in js/ (node_modules is not kept)."""

import os
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


@pytest.mark.parametrize("mode", ["direct", "proxy", "through", "token direct"])
def test_the_javascript_sdk_creates_a_sandbox(request, work, mode):
    daemon = request.getfixturevalue("daemon_with_token" if "token" in mode else "daemon")
    env = dict(os.environ, **({"OPEN_SANDBOX_API_KEY": daemon.token} if "token" in mode else {}))
    domain = f"127.0.0.1:{daemon.port}" + ("/proxy/44772" if "through" in mode else "")
    done = subprocess.run(["node", "lifecycle.mjs", domain, str(work), mode.split()[-1]], cwd=JS, text=True, env=env,
                          capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 4, done.stdout
