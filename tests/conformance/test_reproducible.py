"""The same source makes the same bytes wherever it is built (issue I 1): objects compiled as the release's are, in two
directories, once through a compiler cache and once without; scripts/test --full. Not the whole program (ten minutes more):
each object is compiled with the same options, and these four have what names places in it."""

import hashlib
import os
import shutil
import subprocess

from harness.daemon import REPO

SOURCES = ("CMakeLists.txt", "CMakePresets.json", "cmake", "scripts", "base", "shell", "kernels", "fs", "browser_proxy",
           "execd")
# Required conditions name their file, the log has spdlog's templates in it, and all of it has debug information.
OBJECTS = [f"base/CMakeFiles/room_base.dir/{name}.cpp.o" for name in ("ids", "clock", "lag_probe", "log")]


def tree(place):
    place.mkdir(parents=True)
    for name in SOURCES:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, place / name)
        else:
            shutil.copy(REPO / name, place / name)
    deps = subprocess.run([f"{REPO}/scripts/deps", "--print"], capture_output=True, text=True, check=True).stdout
    prefix = next(line.split("=", 1)[1] for line in deps.splitlines() if "EXECD_DEPS_DIR=" in line)
    cmake(place, "cmake", "-S", ".", "--preset", "release", f"-DEXECD_DEPS_DIR={prefix}", "-DEXECD_COMMIT=x",
          "-DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON")
    return place


def cmake(place, *words, **env):
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("CCACHE_", "CMAKE_"))}
    done = subprocess.run(words, cwd=place, env={**keep, **env}, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])


def digests(place):
    return {name: hashlib.sha256((place / "build/release" / name).read_bytes()).hexdigest() for name in OBJECTS}


def test_two_directories_make_the_same_objects(tmp_path):
    plain = tree(tmp_path / "a")
    cached = tree(tmp_path / "somewhere" / "deeper")
    cmake(plain, "ninja", "-C", "build/release", *OBJECTS, CCACHE_DISABLE="1")
    cmake(cached, "ninja", "-C", "build/release", *OBJECTS, CCACHE_DIR=str(tmp_path / "cache"))
    assert digests(plain) == digests(cached)
    for place in (plain, cached):
        for name in OBJECTS:
            assert str(tmp_path).encode() not in (place / "build/release" / name).read_bytes(), name
