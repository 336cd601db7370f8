"""Bare roots: what an image may lack. A daemon in one of them is an ordinary `Daemon` behind `unshare -m` and chroot."""

import os
import re
import shutil
import subprocess

from .daemon import BINARY, Daemon

PROGRAM = "/opt/opensandbox/execd"  # where OpenSandbox's server puts it
TOOLS = ("sh", "cat", "sleep", "stty", "id", "grep", "head", "dd", "ls")


def put(root, file, at=None):
    """A file below `root`, at its own place or `at`, and the libraries that it is linked with."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    pairs = [(file, at or file), *((each, each) for each in re.findall(r"(/\S+) \(0x", said))]
    for source, place in pairs:
        target = root / str(place).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(source, target)


def busybox(root, source=None):
    """Only busybox, under the names of TOOLS: the static one where it is installed, else with the libraries it needs."""
    put(root, source or shutil.which("busybox"), "/bin/busybox")
    for name in TOOLS:
        os.symlink("busybox", root / "bin" / name)


# Programs that musl's loader has to load. mksh has no printf of its own; of its formats the octal escapes, %d and %s.
MUSL_TOOLS = {"id": 'int main() { printf("%d\\n", (int)getuid()); }\n', "printf": r"""
int main(int count, char** words) {
    int next = 2;
    for (char* c = count > 1 ? words[1] : ""; *c; ++c) {
        if (*c == '\\' && c[1] == 'n') { putchar('\n'); ++c; }
        else if (*c == '\\' && c[1] >= '0' && c[1] <= '7') { putchar(c[1] - '0'); ++c; }
        else if (*c == '%' && (c[1] == 'd' || c[1] == 's')) { fputs(next < count ? words[next] : "", stdout); ++next; ++c; }
        else putchar(*c);
    }
    return fflush(stdout) != 0;
}
"""}


def musl(root):
    """As Alpine: musl's loader is the only one, and every program is linked with musl. Debian has no busybox of that
    kind, so mksh's static musl build is the shell (cat and sleep are its own)."""
    put(root, "/usr/lib/x86_64-linux-musl/bin/mksh", "/bin/mksh")
    os.symlink("mksh", root / "bin/sh")
    shutil.copytree("/lib/x86_64-linux-musl", root / "lib", dirs_exist_ok=True, ignore=lambda _, names:
                    [name for name in names if name != "libc.so"])
    os.symlink("libc.so", root / "lib/ld-musl-x86_64.so.1")
    for name, text in MUSL_TOOLS.items():
        source = root / f"{name}.c"
        source.write_text("#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n" + text)
        subprocess.run(["musl-gcc", "-o", root / "bin" / name, source], check=True)
    (root / "etc").mkdir()
    (root / "etc/alpine-release").write_text("3.19\n")


def debian(root):
    """This machine's own system, read-only; a Debian 12 where the build is supported."""
    for name in ("bin", "lib", "lib64", "sbin"):
        os.symlink(f"usr/{name}", root / name)
    for name in ("usr", "etc"):
        (root / name).mkdir()


# What is mounted over a root's own folders.
BINDS = {debian: ("/usr", "/etc")}


class Rooted(Daemon):
    """A daemon whose / is `root` until it ends. Everything that is False is not there. `stamp` makes the first line of its
    stderr the nanosecond in which its start began (chroot's own start is part of it)."""

    def __init__(self, root, kind=busybox, proc=True, pts=True, null=True, tmp=True, writable=True, user=None, before=(),
                 env=None, stamp=False, **options):
        root.mkdir()
        kind(root)
        root.chmod(0o755)
        self.root = root
        steps = [f"mount --bind {root} {root}"]
        (root / PROGRAM.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BINARY, root / PROGRAM.lstrip("/"))
        for each in BINDS.get(kind, ()):
            steps.append(f"mount --bind -o ro {each} {root}{each}")
        if proc:
            (root / "proc").mkdir()
            steps.append(f"mount -t proc none {root}/proc")
        if null or pts:
            (root / "dev").mkdir()
        if null:
            (root / "dev/null").touch()
            steps.append(f"mount --bind /dev/null {root}/dev/null")
        if pts:
            (root / "dev/pts").mkdir()
            os.symlink("pts/ptmx", root / "dev/ptmx")
            steps.append(f"mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts {root}/dev/pts")
        if tmp:
            (root / "tmp").mkdir()
            (root / "tmp").chmod(0o1777)
        if not writable:
            steps.append(f"mount -o remount,ro,bind {root}")
        if stamp:
            steps.append("date +%s%N >&2")
        who = f"--userspec={user}:{user} --groups={user} " if user else ""
        steps.append(f'root=$0; shift; exec /usr/sbin/chroot {who}"$root" {PROGRAM} "$@"')
        wrapper = [*before, "unshare", "-m", "sh", "-ec", "; ".join(steps), str(root)]
        super().__init__(python=False, wrapper=wrapper, env={"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp", "HOME": "/", **(env or {})},
                         **options)

    @property
    def pid(self):
        return self.proc.pid  # each step of the wrapper becomes the next one


