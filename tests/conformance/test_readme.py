"""README's client example is run as it stands, against a daemon on a free port, and prints what README says."""

import os
import re
import subprocess
import sys

import pytest

from harness.daemon import REPO


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


@pytest.mark.parametrize("script", ["run", "test", "build", "deps", "format", "tidy", "check-rooms", "check-headers",
                                    "check-binary"])
def test_scripts_explain_themselves(script):
    ran = subprocess.run([str(REPO / "scripts" / script), "--help"], capture_output=True, text=True, timeout=30,
                         stdin=subprocess.DEVNULL)
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"usage: scripts/{script}")
    assert len(ran.stdout.splitlines()) >= 3
