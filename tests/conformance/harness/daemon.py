"""The daemon as a process: start, wait for its own word that it listens, call it, stop it, look for leftovers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from . import frames, processes
from .wire import Wire, build

REPO = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("EXECD_BIN", REPO / "build/release/bin/execd")).resolve()
PYTHON = os.environ.get("EXECD_TEST_PYTHON", sys.executable)
MARK = "EXECD_CONFORMANCE_RUN"
START_SECONDS = 20.0
STOP_SECONDS = 20.0
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS")
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer", "runtime error:")

live = []  # daemons that run now, for failure reports


def write_kernelspec(home, python=PYTHON):
    """A JUPYTER_PATH folder with one kernelspec: `python`'s ipykernel, whatever is installed on the machine."""
    spec = Path(home) / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({
        "argv": argv, "display_name": "Python 3", "language": "python", "metadata": {"debugger": True}}))
    return spec.parents[1]


class Daemon:
    """Owns one execd process and a private directory with its HOME, TMPDIR and working directory."""

    def __init__(self, env=None, args=(), python=True, wrapper=(), preexec=None, port="0"):
        self.room = Path(tempfile.mkdtemp(prefix="execd-conformance-"))
        self.home, self.tmp, self.work = self.room / "home", self.room / "tmp", self.room / "work"
        for folder in (self.home, self.tmp, self.work):
            folder.mkdir()
            folder.chmod(0o755)
        self.room.chmod(0o755)
        self.run_id = uuid.uuid4().hex
        self.wrapped = bool(wrapper)
        self.argv = [*wrapper, str(BINARY), *(["--port", port] if port is not None else []), *args]
        self.env = self.environment(python)
        self.env.update(env or {})
        self.cwd, self.preexec = self.work, preexec
        self.headers = []
        self.shared = False
        self.spawn()

    def spawn(self):
        """Starts the process; again, after its death, for a daemon that many tests share."""
        self.port = None
        self.log, self.err, self.log_grew = [], [], threading.Condition()
        self.proc = subprocess.Popen(
            self.argv, env=self.env, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=self.preexec, start_new_session=True)
        self.readers = [threading.Thread(target=self.pump, args=pair, daemon=True)
                        for pair in ((self.proc.stdout, self.log), (self.proc.stderr, self.err))]
        for reader in self.readers:
            reader.start()
        if self not in live:
            live.append(self)

    def environment(self, python):
        keep = {k: v for k, v in os.environ.items() if k in KEPT_ENVIRONMENT and k != "HOME"}
        # Freed memory that AddressSanitizer holds back would look like growth; other builds ignore this.
        keep.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4")
        keep.update({"HOME": str(self.home), "TMPDIR": str(self.tmp), MARK: self.run_id})
        keep.setdefault("LANG", "C.UTF-8")
        if python:
            keep["JUPYTER_PATH"] = str(write_kernelspec(self.room))
        return keep

    def pump(self, pipe, lines):
        for line in pipe:
            with self.log_grew:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.log_grew.notify_all()
        with self.log_grew:
            lines.append(None)
            self.log_grew.notify_all()

    def events(self):
        found = []
        for line in self.log:
            if line and line.startswith("{"):
                found.append(json.loads(line))
        return found

    def wait_event(self, name, seconds=START_SECONDS):
        """The first log line with this "event"; fails when the daemon ends or the deadline passes."""
        end = time.monotonic() + seconds
        with self.log_grew:
            while True:
                for event in self.events():
                    if event.get("event") == name:
                        return event
                ended = None in self.log
                left = end - time.monotonic()
                assert not ended and left > 0, f"no {name} in the log:\n{self.report()}"
                self.log_grew.wait(left)

    def listening(self):
        """Waits for the daemon's own word that it listens; returns self."""
        self.port = int(self.wait_event("listener.open")["port"])
        return self

    @property
    def pid(self):
        """The daemon's pid as seen from here, also below `unshare`."""
        pid = self.proc.pid
        while self.wrapped and os.readlink(f"/proc/{pid}/exe") != str(BINARY):
            pid = processes.children(pid)[0]
        return pid

    def report(self, since=0):
        """The log for a failure report."""
        out = [line for line in self.log[since:] if line is not None][-60:]
        err = [line for line in self.err if line is not None]
        err = err if len(err) < 60 else [*err[:25], "...", *err[-15:]]  # a sanitizer's first lines say most
        return "\n".join([f"$ {' '.join(self.argv)}", *out, *([] if not err else ["-- stderr", *err])])

    # calls -------------------------------------------------------------------------------------------------
    def wire(self):
        return Wire(self.port)

    def call(self, method, target, body=b"", headers=(), **options):
        """One request on its own connection; `json=` encodes a body."""
        if "json" in options:
            body = json.dumps(options.pop("json")).encode()
        assert not options, options
        with self.wire() as wire:
            return wire.request(method, target, [*self.headers, *headers], body)

    @contextmanager
    def stream(self, target, body, headers=()):
        """Opens an event stream and yields a frames.Stream; the connection closes at the end."""
        with self.wire() as wire:
            data = json.dumps(body).encode()
            wire.send(build("POST", target, [*self.headers, *headers], data, wire.host))
            answer = wire.head()
            assert answer.status == 200, (answer, wire.pending)
            assert answer.header("Content-Type") == "text/event-stream", answer
            assert answer.header("Transfer-Encoding") == "chunked", answer
            yield frames.Stream(wire, answer)

    def events_of(self, target, body, headers=()):
        answer = self.call("POST", target, json=body, headers=headers)
        assert answer.status == 200, answer
        assert answer.header("Content-Type") == "text/event-stream", answer
        return frames.split(answer.body)

    def command(self, command, headers=(), **fields):
        """All events of a foreground command (text or argv list)."""
        key = "argv" if isinstance(command, list) else "command"
        return self.events_of("/command", {key: command, **fields}, headers)

    def shell(self, command, **fields):
        """stdout of a command that must end with 0."""
        events = self.command(command, **fields)
        assert frames.exit_of(events) == 0, events
        return frames.joined(events)

    def code(self, code, **context):
        return self.events_of("/code", {"code": code, "context": {"language": "python", **context}})

    # end ---------------------------------------------------------------------------------------------------
    def stop(self, signum=signal.SIGTERM, expect=0, seconds=STOP_SECONDS, pid=None):
        """Ends the daemon and checks its last words: exit code, sanitizers, leftovers. Idempotent."""
        if self not in live:
            return
        live.remove(self)
        try:
            if self.proc.poll() is None:
                os.kill(pid or self.proc.pid, signum)
            try:
                code = self.proc.wait(seconds)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                raise AssertionError(f"still alive {seconds} s after signal {signum}:\n{self.report()}") from None
            for reader in self.readers:
                reader.join(5)
            errors = "\n".join(line for line in self.err if line)
            assert not any(word in errors for word in SANITIZER_WORDS), errors
            assert code == expect, f"exit code {code}, expected {expect}:\n{self.report()}"
            self.check_leftovers()
        finally:
            for pid in processes.marked(MARK, self.run_id):
                with contextlib.suppress(ProcessLookupError):  # it may end by itself meanwhile
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.room, ignore_errors=True)

    def check_leftovers(self):
        left = {pid: processes.read(f"/proc/{pid}/cmdline").replace("\0", " ")
                for pid in processes.marked(MARK, self.run_id)}
        assert not left, f"processes outlived the daemon: {left}"
        files = sorted(str(p.relative_to(self.tmp)) for p in self.tmp.rglob("*")
                       # What commands.set_env kept, the browser's profile and recordings are meant to last.
                       if p.name.startswith("execd") and p.suffix != ".env" and not p.name.startswith("execd-browser-"))
        assert not files, f"temporary files outlived the daemon: {files}"


def run_once(*args, env=None, seconds=8.0):
    """Runs the binary to its end: CompletedProcess with text output; returncode None when it ran on and was killed."""
    keep = {k: v for k, v in os.environ.items() if k in KEPT_ENVIRONMENT}
    proc = subprocess.Popen([str(BINARY), *args], env={**keep, **(env or {})}, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = proc.communicate(timeout=seconds)
        return subprocess.CompletedProcess(proc.args, proc.returncode, out, err)
    except subprocess.TimeoutExpired:
        proc.kill()
        out, err = proc.communicate()
        return subprocess.CompletedProcess(proc.args, None, out, err)
