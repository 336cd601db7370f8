"""A private Docker engine, OpenSandbox's own server on it, and the images that it is given: for scripts/test --full.

The engine has its own socket, data and bridge and touches no firewall rule: what runs in it is reached through its published
ports and the bridge."""

import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from . import processes
from .daemon import BINARY, REPO

BRIDGE = "execd-br0"
ADDRESS = "172.31.99.1/24"


def words(*command, seconds=120, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **options)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


class Engine:
    def __init__(self, room):
        self.room = Path(room)
        self.host = f"unix://{room}/sock"
        self.env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}
        words("sh", "-c", f"ip link add {BRIDGE} type bridge; ip addr add {ADDRESS} dev {BRIDGE}; ip link set {BRIDGE} up")
        self.log = open(self.room / "engine.log", "wb")
        self.proc = subprocess.Popen(
            ["dockerd", "--iptables=false", "--ip6tables=false", "--ip-forward=false", f"--bridge={BRIDGE}",
             f"--data-root={room}/data", f"--exec-root={room}/exec", "-H", self.host, f"--pidfile={room}/pid"],
            stdout=self.log, stderr=self.log, start_new_session=True)
        processes.eventually(lambda: subprocess.run(["docker", "version"], env=self.env, capture_output=True,
                                                    check=False).returncode == 0, 60, "the engine")

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

    def debian(self, plain, with_python, root=os.environ.get("EXECD_DEBIAN_ROOT")):
        """Two images of one Debian 12: as it is, and with Python. EXECD_DEBIAN_ROOT names one that is there already."""
        made = root or str(self.room / "debian")
        if not root:
            words("debootstrap", "--variant=minbase", "--include=python3", "bookworm", made, seconds=900)
        self.imported(made, with_python)
        context = self.room / "plain"
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {with_python}\nRUN rm /usr/bin/python3*\n")
        self.docker("build", "-t", plain, str(context), seconds=300)
        if not root:
            shutil.rmtree(made)

    def stop(self):
        for ident in self.docker("ps", "-aq").split():
            self.docker("rm", "-f", ident)
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(60)
        self.log.close()
        words("ip", "link", "del", BRIDGE)


class Server:
    """opensandbox-server as published, with deploy/opensandbox/config.toml but for its port and its database."""

    def __init__(self, engine, venv, port):
        room = engine.room
        text = (REPO / "deploy/opensandbox/config.toml").read_text()
        assert "port = 8090" in text
        text = text.replace("port = 8090", f"port = {port}") + f'\n[store]\ntype = "sqlite"\npath = "{room}/server.db"\n'
        (room / "config.toml").write_text(text)
        self.domain = f"127.0.0.1:{port}"
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
