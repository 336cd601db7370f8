"""Any helper process may be killed at any moment while clients work: each request is answered rightly or with an error that
says what happened, what was lost comes back, and nothing is left over."""

import json
import os
import random
import signal
import threading
import time

import pytest

from harness import frames, processes
from harness.daemon import Daemon

OWN = "/execd/v1"
FULL = bool(os.environ.get("EXECD_TEST_FULL"))
KILLS = 200 if FULL else 12
SEED = int(os.environ.get("EXECD_CHAOS_SEED", 4711))
KINDS = ("zygote", "kernel", "native kernel", "native worker", "session shell")
OTHER = 61_000 + os.getpid() % 1000  # an identity that nobody else has


def kind_of(daemon, pid):
    line = processes.read(f"/proc/{pid}/cmdline")
    if "fs-worker" in line:
        return "file worker"
    if "\0kernel\0" in line:
        return "native kernel"
    if "execd-zy" in line or "zygote" in line:
        return "zygote" if pid == daemon.zygote() else "kernel"
    if "ipykernel" in line:
        return "kernel"
    if "bash" in line and "--noediting" in line:
        parent = int(processes.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[1])
        return "session shell" if parent == daemon.pid else "native worker"
    return None


class Killed(Daemon):
    def zygote(self):
        for view in self.call("GET", f"{OWN}/executions?state=running").json():
            if view["label"] == "zygote":
                return view["pid"]
        return None

    def helpers(self):
        return {pid: kind for pid in processes.descendants(self.pid) if (kind := kind_of(self, pid))}


@pytest.fixture(scope="module")
def daemon():
    one = Killed(env={"EXECD_PREWARM": "python"}).listening()
    yield one
    one.stop()


class Client(threading.Thread):
    """Asks one thing again and again; `said` counts its errors by their words, `wrong` is what must not be."""

    def __init__(self, daemon, ask):
        super().__init__(daemon=True)
        self.one, self.ask = daemon, ask
        self.stop, self.right, self.said, self.wrong = False, 0, {}, None

    def run(self):
        try:
            while not self.stop and not self.wrong:
                words = self.ask(self.one)
                if words is None:
                    self.right += 1
                else:
                    assert words.strip(), "an error without a word"
                    self.said[words[:200]] = self.said.get(words[:200], 0) + 1
        except Exception as error:  # noqa: BLE001: told by the test
            self.wrong = error


def outcome(events, expected):
    """None when right, the error's words when it is one."""
    end = frames.terminal(events)
    if end["type"] == "error":
        assert end["error"]["ename"] and end["error"]["evalue"], end
        return f"{end['error']['ename']}: {end['error']['evalue']}"
    assert frames.joined(events) == expected, events
    return None


def refusal(answer):
    body = json.loads(answer.body)
    assert answer.status >= 400 and (body.get("message") or body.get("error")), answer
    return json.dumps(body)


def a_command(daemon):
    return outcome(daemon.command("echo $((6*7))"), "42\n")


def in_a_session(daemon):
    made = daemon.call("POST", "/session")
    if made.status != 200:
        return refusal(made)
    ident = made.json()["session_id"]
    words = None
    for _ in range(3):
        answer = daemon.call("POST", f"/session/{ident}/run", json={"command": "sleep 0.02; echo $((6*7))"})
        words = words or (outcome(frames.split(answer.body), "42\n") if answer.status == 200 else refusal(answer))
    assert daemon.call("DELETE", f"/session/{ident}").status in (200, 204)
    return words


def in_a_context(language, code, expected):
    def ask(daemon):
        made = daemon.call("POST", "/code/context", json={"language": language})
        if made.status != 200:
            return refusal(made)
        ident = made.json()["id"]
        words = None
        for _ in range(3):
            answer = daemon.call("POST", "/code", json={"code": code, "context": {"id": ident, "language": language}})
            words = words or (outcome(frames.split(answer.body), expected) if answer.status == 200 else refusal(answer))
        assert daemon.call("DELETE", f"/code/contexts/{ident}").status in (200, 204, 404)
        return words
    return ask


def a_run(daemon):
    """execd's own dialect: the outcome has its kind, and a death its cause."""
    made = daemon.call("POST", f"{OWN}/runs", json={"language": "python", "wait_ms": 60_000,
                                                     "code": "import time; time.sleep(0.02); print(6 * 7)"})
    if made.status != 201:
        return refusal(made)
    run = made.json()
    assert run["state"] == "finished", run
    if run["outcome"]["kind"] == "ok":
        return None
    assert run["outcome"]["kind"] in ("kernel_died", "failed") and run["outcome"]["why"], run
    return run["outcome"]["why"]


def a_file_as_somebody(daemon):
    answer = daemon.call("GET", f"/v1/filesystem/{OTHER}/{OTHER}/files/download?path=/etc/passwd")
    if answer.status != 200:
        return refusal(answer)
    with open("/etc/passwd", "rb") as file:
        assert answer.body == file.read()
    return None


ASKS = {"command": a_command, "session": in_a_session, "python": in_a_context("python", "print(6 * 7)", "42\n"),
        "bash": in_a_context("bash", "sleep 0.02; echo $((6*7))", "42\n"), "run": a_run}
if os.getuid() == 0:  # other identities need root
    ASKS["file"] = a_file_as_somebody
    KINDS += ("file worker",)


def counts(daemon):
    pid = daemon.pid
    zombies = sum(") Z " in processes.read(f"/proc/{child}/stat") for child in processes.children(pid))
    return {"fds": processes.open_fds(pid), "zombies": zombies,
            "children": len([c for c in processes.children(pid) if kind_of(daemon, c) != "file worker"])}


def test_helpers_are_killed_while_clients_work(daemon, figure):
    for name, ask in ASKS.items():
        assert ask(daemon) is None, name
    processes.eventually(lambda: any(view["label"] == "kernel" for view in
                                     daemon.call("GET", f"{OWN}/executions?state=running").json()), 20, "a ready kernel")
    before = counts(daemon)
    clients = {name: Client(daemon, ask) for name, ask in ASKS.items()}
    chance, killed = random.Random(SEED), dict.fromkeys(KINDS, 0)
    for client in clients.values():
        client.start()
    end = time.monotonic() + (600 if FULL else 30)
    while sum(killed.values()) < KILLS and time.monotonic() < end:
        by_kind = {}
        for pid, kind in daemon.helpers().items():
            by_kind.setdefault(kind, []).append(pid)
        if by_kind:
            rarest = min(by_kind, key=lambda kind: (killed[kind], kind))
            try:
                os.kill(chance.choice(by_kind[rarest]), signal.SIGKILL)
                killed[rarest] += 1
            except ProcessLookupError:
                pass
        threading.Event().wait(chance.random() * 0.15)
        assert daemon.proc.poll() is None
    for client in clients.values():
        client.stop = True
    for name, client in clients.items():
        client.join(90)
        assert not client.is_alive(), f"{name} waits for ever"
        assert client.wrong is None, (name, client.wrong)
    figure("helpers killed: " + ", ".join(f"{n} {kind}" for kind, n in killed.items()) + "; answers: " +
           ", ".join(f"{name} {c.right} right and {sum(c.said.values())} errors" for name, c in clients.items()))
    assert all(killed[kind] for kind in KINDS), killed
    # All of it works again. What the last kill broke may be said once more.
    for name, ask in ASKS.items():
        words = [ask(daemon) for _ in range(2)]
        assert words[1] is None, (name, words)

    def back():
        now = counts(daemon)
        # One default context may have been made anew, and a Python kernel waits ready.
        return now["zombies"] == 0 and now["children"] <= before["children"] + 1 and now["fds"] <= before["fds"] + 24
    try:
        processes.eventually(back, 30)
    except AssertionError:
        raise AssertionError(f"before {before}, now {counts(daemon)}") from None
