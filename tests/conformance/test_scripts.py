"""What the project's scripts say when something is wrong, and that the Dockerfile copies what the build reads."""

import os
import re
import socket
import subprocess

from harness.daemon import REPO


def refused(script, *args, **env):
    ran = subprocess.run([str(REPO / "scripts" / script), *args], capture_output=True, text=True, timeout=60,
                         stdin=subprocess.DEVNULL, env={**os.environ, **env})
    assert ran.returncode != 0, ran.stdout
    return ran.stdout + ran.stderr


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        taken = other.getsockname()[1]
        said = refused("run", EXECD_PORT=str(taken))
    assert str(taken) in said and "To mend it" in said and "EXECD_PORT=" in said, said


def test_a_tree_that_does_not_exist():
    said = refused("build", "nonsense")
    assert "no preset 'nonsense'" in said and "To mend it" in said and "--help" in said, said


def test_a_cache_that_cannot_be_written():
    said = refused("deps", EXECD_CACHE="/proc/execd")
    assert "/proc/execd" in said and "To mend it" in said and "EXECD_CACHE" in said, said


def test_the_dockerfile_copies_what_the_build_reads():
    lines = (REPO / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]]
    assert copied and all((REPO / source).exists() for source in copied), copied
    build = (REPO / "CMakeLists.txt").read_text()
    rooms = [room for room in re.findall(r"add_subdirectory\((\w+)\)", build) if room not in ("tests", "bench")]
    assert len(rooms) >= 6 and set(rooms) | {"cmake", "scripts", "CMakeLists.txt", "CMakePresets.json"} <= set(copied)
    listed = set(re.findall(r"\bscripts/[\w.-]+", " ".join(copied)))
    assert {f"scripts/{name}" for name in ("deps", "common.sh", "packages.txt", "libzmq.sh")} <= listed
