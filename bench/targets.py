"""What is measured: execd, the peers that registries carry, and the floors; started, asked for health and ended here."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

TOKEN = "bench"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                kids = [int(word) for word in task.read_text().split()]
                found += kids
                todo += kids
    return found


def pss_mib(pid):
    total = 0
    for one in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


class Target:
    """`kind` is how bench/load speaks to it; `role` is floor, peer or ours; `health` is its liveness path."""

    def __init__(self, name, role, kind, command=None, health="/", environment=None, headers=""):
        self.name, self.role, self.kind, self.health, self.headers = name, role, kind, health, headers
        self.command, self.environment = command, environment or {}
        self.process, self.port = None, 0

    def start(self, port=None, seconds=60):
        """Milliseconds from the spawn to the first healthy answer."""
        self.port = port or free_port()
        argv = [word.replace("{port}", str(self.port)) for word in self.command]
        begun = time.perf_counter()
        self.process = subprocess.Popen(argv, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        request = f"GET {self.health} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode() + \
            self.headers.replace("\n", "\r\n").encode() + b"\r\n"
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(request)
                said = sock.recv(4096)
                if said[9:12] == b"200" or (said and self.name == "websockify"):  # which serves nothing but WebSockets
                    return (time.perf_counter() - begun) * 1e3
            if self.process.poll() is not None or time.perf_counter() - begun > seconds:
                raise RuntimeError(f"{self.name} did not become healthy: {' '.join(argv)}")
            time.sleep(0.0002 if seconds and time.perf_counter() - begun < 0.1 else 0.005)

    def stop(self):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None


NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.err; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  default_type application/octet-stream; client_body_temp_path {data}/.body;
  proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  map $http_upgrade $upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:@PORT@;
    location = /ping {{ return 200 ""; }}
    location /data/ {{ alias {data}/; autoindex on; autoindex_format json; dav_methods PUT; }}
    location ~ ^/proxy/(\\d+)/(.*)$ {{
      proxy_pass http://127.0.0.1:$1/$2$is_args$args; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrade; proxy_set_header Host $host;
    }}
  }}
}}
"""


def nginx(work, data):
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(program):
        return None
    text = NGINX.format(work=work, data=data, user="user root;" if os.getuid() == 0 else "")
    (work / "nginx.conf").write_text(text)
    script = f"sed s/@PORT@/{{port}}/ {work}/nginx.conf >{work}/nginx-{{port}}.conf && exec {program} -c {work}/nginx-{{port}}.conf"
    return Target("nginx", "floor", "nginx", ["sh", "-c", script], "/ping")


def jupyter(python, work, data):
    if not python.exists():
        return None
    command = [str(python), "-m", "jupyter_server", "--allow-root", "--no-browser", "--ip=127.0.0.1", "--port={port}",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={data}",
               "--ContentsManager.allow_hidden=True"]
    own = {name: str(work / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    return Target("jupyter", "peer", "jupyter", command, "/api/status", own, f"Authorization: token {TOKEN}\n")


def websockify(python, tcp_port):
    program = python.parent / "websockify"
    if not program.exists():
        return None
    return Target("websockify", "peer", "plain", [str(program), "127.0.0.1:{port}", f"127.0.0.1:{tcp_port}"], "/")


def execd(binary, python, name="execd", role="ours", **environment):
    own = {"JUPYTER_PATH": str(python.parents[1] / "share/jupyter"), "EXECD_LINE_TERMINATORS": "strip", **environment}
    return Target(name, role, "execd", [str(binary), "--port", "{port}"], "/ping", own)


def relay_daemon(binary, python, load, work):
    """An execd whose desktop is a display that only answers and a VNC server that echoes: what the relay itself costs."""
    tools = work / "tools"
    tools.mkdir(exist_ok=True)
    shutil.copy(load, tools / "load")  # where the desktop's account may read it
    for name, words in (("Xvfb", "display"), ("openbox", "hold"), ("x11vnc", "vnc")):
        (tools / name).write_text(f"#!/bin/sh\nexec {tools}/load {words}\n")
        (tools / name).chmod(0o755)
    work.chmod(0o755)
    return execd(binary, python, "execd (relay)", "helper", PATH=f"{tools}:{os.environ['PATH']}",
                 EXECD_BROWSER_PROGRAM="/nowhere/chromium")


def labels(port):
    """What runs in an execd, by label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/execd/v1/executions?state=running", timeout=10) as answer:
        return [view["label"] for view in json.loads(answer.read())]
