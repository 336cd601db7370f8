"""Native kernels in a root with hardly anything in it: only busybox, only Python (issue J)."""

import os
import re
import shutil
import subprocess

import pytest

from harness import frames
from harness.daemon import BINARY, Daemon

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


def put(root, file):
    """A file at its own place below `root`, and the libraries that it is linked with."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
    for each in [file, *re.findall(r"(/\S+) \(0x", said)]:
        target = root / each.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(each, target)


def rooted(root, *mounts):
    """A daemon whose / is `root`. /proc and /dev/null are there as in any container, and /tmp for the test's own files."""
    for name in ("proc", "tmp", "dev"):
        (root / name).mkdir(exist_ok=True)
    (root / "dev/null").touch()
    put(root, str(BINARY))
    script = "".join(f"mount --bind {each} {root}{each} && " for each in ("/tmp", "/dev/null", *mounts))
    script += f"mount -t proc none {root}/proc && " + 'exec /usr/sbin/chroot "$0" "$@"'
    return Daemon(python=False, env={"PATH": "/usr/bin:/bin"}, wrapper=["unshare", "-m", "sh", "-c", script, str(root)]).listening()


def kernel_command(root, *words):
    return subprocess.run(["/usr/sbin/chroot", str(root), str(BINARY), "kernel", *words], env={"PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, timeout=60)


@ROOT
def test_only_busybox(tmp_path):
    root = tmp_path / "root"
    put(root, "/bin/busybox")
    for name in ("sh", "echo"):
        os.symlink("busybox", root / "bin" / name)
    one = rooted(root)
    try:
        assert one.call("GET", "/execd/v1/kernelspecs").json()["kernelspecs"] == []
        for language, mend in (("bash", "install bash"), ("python", "install python3"), ("javascript", "install Node")):
            answer = one.call("POST", "/code/context", json={"language": language})
            assert answer.status >= 400 and mend in answer.json()["message"], answer
        assert frames.joined(one.events_of("/command", {"command": "echo $((6 * 7))"})) == "42\n"
    finally:
        one.stop()
    listed = kernel_command(root, "list")
    assert listed.returncode == 0 and "there is no bash on PATH" in listed.stdout
    checked = kernel_command(root, "check", "bash", "python3")
    assert checked.returncode == 1 and checked.stderr.count("there is no ") == 2, checked


@ROOT
def test_only_python(tmp_path):
    root = tmp_path / "root"
    python = os.path.realpath("/usr/bin/python3")
    put(root, python)
    os.symlink(os.path.basename(python), root / "usr/bin/python3")
    library = "/usr/lib/" + os.path.basename(python)
    (root / library.lstrip("/")).mkdir(parents=True)
    one = rooted(root, library)
    try:
        assert [s["name"] for s in one.call("GET", "/execd/v1/kernelspecs").json()["kernelspecs"]] == ["execd-python3"]
        for _ in range(3):  # fresh kernels, each answers
            ident = one.call("POST", "/code/context", json={"language": "python"}).json()["id"]
            code = "import os; print(os.listdir('/usr/bin'), os.path.exists('/bin/sh'))"
            events = one.events_of("/code", {"code": code, "context": {"id": ident, "language": "python"}})
            assert "python3" in frames.joined(events) and frames.joined(events).endswith("False\n")
            assert one.call("DELETE", f"/code/contexts/{ident}").status == 200
        answer = one.call("POST", "/code/context", json={"language": "bash"})
        assert answer.status >= 400 and "install bash" in answer.json()["message"], answer
    finally:
        one.stop()
