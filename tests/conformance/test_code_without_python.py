"""A machine without Python: code contexts say so, everything else works (DESIGN 1, 11; issue A)."""

import os
import shutil

import pytest

from harness import processes
from harness.daemon import Daemon, write_kernelspec


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A daemon whose PATH has a shell and a few tools, and no kernelspec anywhere in reach."""
    tools = tmp_path_factory.mktemp("bin")
    for name in ("bash", "sh", "cat", "echo", "sleep"):
        os.symlink(shutil.which(name), tools / name)
    installed = [d for d in ("/usr/share/jupyter", "/usr/local/share/jupyter") if os.path.isdir(d)]
    hide = "".join(f"mount -t tmpfs none {d} && " for d in installed)
    wrapper = ["unshare", "-m", "sh", "-c", hide + 'export PATH="$0"; exec "$@"', str(tools)] if installed else []
    one = Daemon(env={} if installed else {"PATH": str(tools)}, python=False, wrapper=wrapper).listening()
    yield one
    one.stop()


@pytest.mark.parametrize(("target", "body"), [
    ("/code", {"code": "1", "context": {"language": "python"}}), ("/code/context", {"language": "python"})])
def test_python_code_is_a_clear_error_at_once(bare, target, body):
    answer = bare.call("POST", target, json=body)
    assert answer.status in (500, 503), answer
    if answer.status == 503:
        assert answer.header("Retry-After") == "0"
    said = answer.json()
    assert said["code"] == "RUNTIME_ERROR"
    assert "python" in said["message"].lower()


def test_the_rest_works(bare):
    assert bare.call("GET", "/ping").status == 200
    processes.eventually(lambda: bare.call("GET", "/health").json()["status"] == "ok", what="healthy without Python")
    assert bare.shell("echo ok") == "ok\n"
    assert bare.call("GET", "/code/contexts").json() == []


def test_a_missing_program_behind_a_kernelspec_is_a_clear_error(fresh_daemon):
    one = fresh_daemon()
    write_kernelspec(one.room, "/no/such/python")
    answer = one.call("POST", "/code/context", json={"language": "python"})
    assert answer.status in (500, 503)
    assert answer.json()["code"] == "RUNTIME_ERROR"
    assert "/no/such/python" in answer.json()["message"]


def test_a_kernel_that_dies_while_starting_is_a_clear_error(fresh_daemon):
    one = fresh_daemon()
    write_kernelspec(one.room, "/bin/false")
    answer = one.call("POST", "/code/context", json={"language": "python"})
    assert answer.status in (500, 503)
    assert answer.json()["code"] == "RUNTIME_ERROR"
    assert one.shell("echo ok") == "ok\n"


def test_without_bash_commands_run_in_sh(fresh_daemon, tmp_path):
    for name in ("sh", "cat"):
        os.symlink(shutil.which(name), tmp_path / name)
    one = fresh_daemon(env={"PATH": str(tmp_path)})
    assert one.shell("echo ok; echo ${BASH_VERSION-none}") == "ok\nnone\n"
