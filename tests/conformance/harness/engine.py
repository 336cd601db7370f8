"""A private Docker engine, OpenSandbox's own server on it, and the images that it is given: for scripts/test --full.

The engine has its own socket, data and bridge and touches no firewall rule: what runs in it is reached through its published
ports and the bridge."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from . import processes
from .daemon import BINARY, REPO

FREE_BYTES = 8e9  # what the images of a test may need at most


def words(*command, seconds=120, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def free_network():
    """The address of a bridge of ours: two engines may be there at once."""
    taken = words("ip", "-o", "-4", "addr")
    return next(address for third in range(100) if (address := f"172.31.{64 + (third + os.getpid()) % 100}.1/24") not in taken)


def bootstrapped(root, *packages):
    """Makes `root` a Debian 12 with what it has at least and `packages`. EXECD_DEBIAN_ROOT names one to be copied instead."""
    given = os.environ.get("EXECD_DEBIAN_ROOT")
    if given:
        words("cp", "-a", given, root)
        return
    more = [f"--include={','.join(packages)}"] if packages else []
    words("debootstrap", "--variant=minbase", *more, "bookworm", root, seconds=900)


def with_own_registries(root):
    """Where and how this machine takes packages, so that a build in `root` does it too: nothing of it is in the tree."""
    chosen = [path for path in Path("/etc/apt/sources.list.d").glob("*.sources") if "debian-archive-keyring" in path.read_text()]
    chosen += [path for path in Path("/etc/apt/apt.conf.d").iterdir()
               if re.search(r"Acquire::(Check|http|https|Retries)", path.read_text())]
    for path in [*chosen, Path("/etc/pip.conf"), Path("/etc/ssl/certs"), Path("/usr/local/share/ca-certificates")]:
        target = Path(f"{root}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        elif path.exists():
            shutil.copy(path, target)
    if any(path.suffix == ".sources" for path in chosen):
        Path(f"{root}/etc/apt/sources.list").unlink(missing_ok=True)  # debootstrap's own


@contextlib.contextmanager
def engine(name):
    """An engine and its directory; when it is left nothing of either is there any more."""
    with tempfile.TemporaryDirectory(prefix=f"execd-{name}-", ignore_cleanup_errors=True) as room:
        one = Engine(room)
        try:
            one.start()
            yield one
        finally:
            one.stop()


class Engine:
    def __init__(self, room):
        self.room = Path(room)
        free = shutil.disk_usage(room).free
        assert free > FREE_BYTES, f"{free / 1e9:.1f} GB are free below {room}, {FREE_BYTES / 1e9:.0f} are needed"
        self.host = f"unix://{room}/sock"
        self.env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}
        self.bridge = f"execd{os.getpid()}"
        self.proc = None

    def start(self):
        words("sh", "-ec", f"ip link add {self.bridge} type bridge; ip addr add {free_network()} dev {self.bridge}; "
                           f"ip link set {self.bridge} up")
        self.log = open(self.room / "engine.log", "wb")
        self.proc = subprocess.Popen(
            ["dockerd", "--iptables=false", "--ip6tables=false", "--ip-forward=false", f"--bridge={self.bridge}",
             f"--data-root={self.room}/data", f"--exec-root={self.room}/exec", "-H", self.host, f"--pidfile={self.room}/pid"],
            stdout=self.log, stderr=self.log, start_new_session=True)
        processes.eventually(self.answers, 60, "the engine")

    def answers(self):
        assert self.proc.poll() is None, Path(self.log.name).read_text()[-3000:]
        return subprocess.run(["docker", "version"], env=self.env, capture_output=True, check=False).returncode == 0

    def docker(self, *command, **options):
        return words("docker", *command, env=self.env, **options)

    def execd_image(self):
        """The Dockerfile's own stage `execd`; what the stages before it make is put in their place ready made."""
        context = self.room / "context"
        (context / "deploy").mkdir(parents=True)
        shutil.copy(BINARY, context / "execd")
        shutil.copy(REPO / "deploy/bootstrap.sh", context / "deploy/bootstrap.sh")
        tools = context / "out/bin"
        tools.mkdir(parents=True)
        (context / "out/tmp").mkdir()
        (context / "out/tmp").chmod(0o1777)
        shutil.copy(shutil.which("busybox"), tools / "busybox")
        for name in words("busybox", "--list").split():
            if name != "busybox":
                os.symlink("busybox", tools / name)
        text = (REPO / "Dockerfile").read_text()
        stage = text[text.index("FROM scratch AS execd"):text.index("FROM debian:12 AS code-interpreter")]
        (context / "Dockerfile").write_text("FROM scratch AS build\nCOPY execd /execd\n\n"
                                            "FROM scratch AS busybox\nCOPY out /out\n\n" + stage)
        self.docker("build", "--target", "execd", "-t", "execd:latest", str(context))

    def imported(self, root, name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        words("sh", "-c", f"tar -C {root} -c . | docker import --change 'ENV PATH={path}' - {name}", env=self.env, seconds=300)

    def debian(self, plain, with_python):
        """Two images of one Debian 12: as it is, and with Python."""
        made = str(self.room / "debian")
        bootstrapped(made, "python3")
        self.imported(made, with_python)
        shutil.rmtree(made)
        context = self.room / "plain"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {with_python}\nRUN rm /usr/bin/python3*\n")
        self.docker("build", "-t", plain, str(context), seconds=300)

    def stop(self):
        """Whatever was started goes, also after a start that failed in the middle."""
        if self.proc is not None and self.proc.poll() is None:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                for ident in self.docker("ps", "-aq").split():
                    self.docker("rm", "-f", ident)
            self.proc.terminate()
            try:
                self.proc.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, signal.SIGKILL)
                self.proc.wait(10)
        if self.proc is not None:
            self.log.close()
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        mounted = [line.split()[1] for line in processes.read("/proc/self/mounts").splitlines()]
        for path in reversed([path for path in mounted if path.startswith(f"{self.room}/")]):
            subprocess.run(["umount", "-l", path], capture_output=True, check=False)


class Server:
    """opensandbox-server as published, with deploy/opensandbox/config.toml but for its port and its database."""

    def __init__(self, engine, venv, port):
        room = engine.room
        text = (REPO / "deploy/opensandbox/config.toml").read_text()
        assert "port = 8090" in text
        text = text.replace("port = 8090", f"port = {port}") + f'\n[store]\ntype = "sqlite"\npath = "{room}/server.db"\n'
        (room / "config.toml").write_text(text)
        self.domain = f"127.0.0.1:{port}"
        self.version = words(f"{venv}/bin/python", "-c", "import importlib.metadata as m; "
                             "print('opensandbox-server', m.version('opensandbox-server'))").strip()
        self.log = open(room / "server.log", "wb")
        self.proc = subprocess.Popen([f"{venv}/bin/opensandbox-server", "--config", str(room / "config.toml")],
                                     env={**engine.env, "OPENSANDBOX_INSECURE_SERVER": "YES"}, stdin=subprocess.DEVNULL,
                                     stdout=self.log, stderr=self.log, start_new_session=True)
        processes.eventually(self.answers, 60, "the server")

    def answers(self):
        assert self.proc.poll() is None, Path(self.log.name).read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"http://{self.domain}/health", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.URLError:
            return False

    def stop(self):
        self.proc.terminate()
        self.proc.wait(30)
        self.log.close()
