"""Many executions at once and one after the other: nothing grows, everything still answers.

A short form runs always; EXECD_TEST_FULL=1 (scripts/test --full) runs 1,000 concurrent commands, 200 terminals,
100,000 commands in a row, lines of 1 GiB and a daemon of 1 GiB. What depends on the machine is printed at the end of the run, not judged.
"""

import contextlib
import gc
import os
import statistics
import sys
import threading
import time

import pytest

from harness import frames, processes
from harness.wire import build, query

pytestmark = pytest.mark.alone

FULL = bool(os.environ.get("EXECD_TEST_FULL"))
CONCURRENT = 1000 if FULL else 150
TERMINALS = 200 if FULL else 40
IN_A_ROW = 100_000 if FULL else 2500
ROOT = "/execd/v1/executions"


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


@contextlib.contextmanager
def undisturbed():
    """The client's own garbage collector does not run, which in a process with thousands of tests takes milliseconds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run_true(wire, number=0):
    answer = wire.request("POST", "/command", body=b'{"command":"exit %d"}' % number)
    assert answer.status == 200
    events = frames.split(answer.body)
    assert frames.exit_of(events) == number, events
    return events


def counts(daemon):
    pid = daemon.pid
    return {"fds": processes.open_fds(pid), "children": len(processes.children(pid)),
            "files": len(list(daemon.tmp.rglob("*")))}


def at_rest(daemon):
    """The counts once the first start has opened what stays open and the daemon's own probe has ended."""
    daemon.shell("true")
    return processes.eventually(lambda: (now := counts(daemon))["children"] == 0 and now, what="no children")


def back_to(daemon, before):
    try:
        # Not more: the connection that asked for the first count may have been among it.
        processes.eventually(lambda: all(n <= before[what] for what, n in counts(daemon).items()),
                             what="the counts of before")
    except AssertionError:
        raise AssertionError(f"before {before}, now {counts(daemon)}") from None


def test_many_concurrent_commands(fresh_daemon, figure):
    """All run at the same time (each waits for the last one), all end with their own code and output."""
    daemon = fresh_daemon(python=False)
    before = at_rest(daemon)
    gate = daemon.work / "gate"
    os.mkfifo(gate)
    wires, begun = [daemon.wire() for _ in range(CONCURRENT)], time.monotonic()
    for i, wire in enumerate(wires):
        command = f"read x < gate; echo {i}; exit {i % 7}"
        wire.send(build("POST", "/command", [], b'{"command":"%s"}' % command.encode(), wire.host))
    for wire in wires:
        assert wire.head().status == 200
        assert wire.chunk().startswith(b'{"type":"init"')
    running = daemon.call("GET", query(ROOT, state="running")).json()
    assert len(running) == CONCURRENT and len({view["pid"] for view in running}) == CONCURRENT
    pinged = time.monotonic()
    assert daemon.call("GET", "/ping").status == 200
    figure(f"load: {CONCURRENT} commands run after {pinged - begun:.1f} s, then /ping takes "
                   f"{(time.monotonic() - pinged) * 1000:.1f} ms")
    os.close(os.open(gate, os.O_RDWR | os.O_NONBLOCK))
    for i, wire in enumerate(wires):
        body = b""
        while chunk := wire.chunk():
            body += chunk
        events = frames.split(body)
        assert frames.joined(events) == f"{i}\n" and frames.exit_of(events) == i % 7, (i, events)
        wire.sock.close()
    back_to(daemon, before)


def test_many_terminals(fresh_daemon):
    daemon = fresh_daemon(python=False)
    before = at_rest(daemon)
    with daemon.wire() as wire:
        for i in range(TERMINALS):
            answer = wire.request("PUT", f"{ROOT}/pty-{i}",
                                  body=b'{"argv":["/bin/sh"],"pty":{"columns":80,"rows":24},"envs":{"PS1":"$ "}}')
            assert answer.status == 201, answer
        for i in range(TERMINALS):
            assert wire.request("POST", f"{ROOT}/pty-{i}/input", body=b"echo =$((%d+1))=\n" % i).status == 200
        for i in range(TERMINALS):
            processes.eventually(lambda: b"=%d=" % (i + 1) in wire.request("GET", f"{ROOT}/pty-{i}/output").body,
                                 what=f"the answer of terminal {i}")
        for i in range(TERMINALS):
            answer = wire.request("DELETE", f"{ROOT}/pty-{i}?grace_ms=0")
            assert answer.json()["verdict"]["kind"] == "cancelled"
    back_to(daemon, before)


def test_many_in_a_row_leave_nothing_behind(fresh_daemon, figure):
    """After the retention of finished records is full, fds, children, files and memory stay where they are."""
    daemon = fresh_daemon(python=False)
    workers, errors = 4, []

    def work(count):
        try:
            with daemon.wire() as wire:
                for i in range(count):
                    run_true(wire, i % 3)
        except Exception as error:  # noqa: BLE001: told below, with the thread's own words
            errors.append(error)

    def many(count):
        threads = [threading.Thread(target=work, args=(count // workers,)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[0]

    many(1500)  # more than are kept
    before, memory = at_rest(daemon), processes.memory_kib(daemon.pid, "Rss")
    begun = time.monotonic()
    many(IN_A_ROW)
    took = time.monotonic() - begun
    back_to(daemon, before)
    grown = processes.memory_kib(daemon.pid, "Rss") - memory
    figure(f"load: {IN_A_ROW} commands in {took:.0f} s ({IN_A_ROW / took:.0f}/s), RSS {memory} KiB {grown:+d}")
    sanitized = "libasan" in processes.read(f"/proc/{daemon.pid}/maps")  # that build keeps freed memory back
    assert grown < (24 << 10 if sanitized else 4 << 10), f"{grown} KiB more after {IN_A_ROW} commands"


def judged(daemon):
    """The issue's own figures hold for the release build on a machine that does nothing else (scripts/test --full)."""
    return FULL and "libasan" not in processes.read(f"/proc/{daemon.pid}/maps")


def best_of_two(daemon, measure, good):
    """`measure` once, and once more when that was not good enough and is judged."""
    value = measure()
    if judged(daemon) and not good(value):
        value = measure()
    assert not judged(daemon) or good(value), value
    return value


def test_an_end_is_known_at_once(daemon, figure):
    """From the child's last words to the client's knowledge of the exit code: 2 ms on an idle machine. Whether it is idle is
    seen by a child without a daemon, in turns: where that alone takes more than 1 ms, it is 2 ms more than that."""
    best_of_two(daemon, lambda: ends_known(daemon, figure), lambda p99s: p99s[0] <= (2 if p99s[1] <= 1 else 2 + p99s[1]))


def end_without_a_daemon():
    ours, theirs = os.pipe()
    pid = os.posix_spawn("/bin/bash", ["bash", "-c", "exec date +%s%N"], os.environ,
                         file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_CLOSE, ours)])
    os.close(theirs)
    told = b""
    while piece := os.read(ours, 100):
        told += piece
    os.waitpid(pid, 0)
    now = time.time_ns()
    os.close(ours)
    return (now - int(told)) / 1e6


def ends_known(daemon, figure):
    delays, floor = [], []
    with daemon.wire() as wire, undisturbed():
        for _ in range(400 if FULL else 150):
            floor.append(end_without_a_daemon())
            wire.send(build("POST", "/command", [], b'{"command":"exec date +%s%N"}', wire.host))
            assert wire.head().status == 200
            body = b""
            while b"execution_complete" not in body:
                body += wire.chunk()
            now = time.time_ns()
            while wire.chunk():
                pass
            delays.append((now - int(frames.joined(frames.split(body[:body.rindex(b"\n\n") + 2])))) / 1e6)
    figure(f"load: exit known after {statistics.median(delays):.2f} ms, p99 {quantile(delays, .99):.2f} ms (with the client's "
           f"own delay); without a daemon {statistics.median(floor):.2f} ms, p99 {quantile(floor, .99):.2f} ms")
    assert statistics.median(delays) < 50
    return quantile(delays, .99), quantile(floor, .99)


def test_ping_while_the_machine_is_full(fresh_daemon, figure):
    """8 CPU hogs run and commands start all the time."""
    daemon = fresh_daemon(python=False)
    best_of_two(daemon, lambda: pings_beside_hogs(daemon, figure), lambda p99: p99 <= 25)


def pings_beside_hogs(daemon, figure):
    for i in range(8):
        assert daemon.call("PUT", f"{ROOT}/hog-{i}", json={"shell": "while :; do :; done"}).status == 201
    stop, errors = threading.Event(), []

    def keep_starting():
        try:
            with daemon.wire() as wire:
                while not stop.is_set():
                    run_true(wire)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    starter = threading.Thread(target=keep_starting)
    starter.start()
    delays = []
    with daemon.wire() as wire, undisturbed():
        for _ in range(1500 if FULL else 300):
            begun = time.monotonic()
            assert wire.request("GET", "/ping").status == 200
            delays.append((time.monotonic() - begun) * 1000)
            stop.wait(0.002)
    stop.set()
    starter.join()
    assert not errors, errors
    for i in range(8):
        assert daemon.call("DELETE", f"{ROOT}/hog-{i}?grace_ms=0").status == 200
    figure(f"load: /ping beside 8 CPU hogs {statistics.median(delays):.2f} ms, p99 {quantile(delays, .99):.2f} ms")
    assert quantile(delays, .99) < 1000
    return quantile(delays, .99)


@pytest.mark.parametrize("size", [1 << 30 if FULL else 64 << 20])
def test_raw_output_to_one_reader(daemon, size, figure):
    best_of_two(daemon, lambda: raw_output(daemon, size, figure), lambda rate: rate >= 800)


def raw_output(daemon, size, figure):
    id_ = f"raw-{size}"
    begun = time.monotonic()
    assert daemon.call("PUT", f"{ROOT}/{id_}", json={"argv": ["/bin/sh", "-c", f"read x; head -c {size} /dev/zero"],
                                                       "stdin": "pipe", "keep": "window"}).status == 201
    got = 0
    with daemon.wire() as wire:
        wire.send(build("GET", f"{ROOT}/{id_}/output?follow=true", [], b"", wire.host))
        assert wire.head().status == 200
        assert daemon.call("POST", f"{ROOT}/{id_}/input?eof=true", b"go\n").status == 200
        begun = time.monotonic()
        buffer = bytearray(1 << 20)
        while got < size:  # the chunk marks are a few bytes in a million
            n = wire.sock.recv_into(buffer)
            assert n > 0, got
            got += n
        took = time.monotonic() - begun
    figure(f"load: raw stdout to one reader {size / took / 1e6:.0f} MB/s")
    assert daemon.call("DELETE", f"{ROOT}/{id_}").status == 200
    return size / took / 1e6


MANY_MAPPINGS = """
import ctypes, mmap, os, time
pages = %d
area = mmap.mmap(-1, 4096 * pages)
start, libc = ctypes.addressof(ctypes.c_char.from_buffer(area)), ctypes.CDLL(None)
for i in range(0, pages, 2):  # every other page is a mapping of its own
    libc.mprotect(ctypes.c_void_p(start + 4096 * i), 4096, 1)
for _ in range(%d):
    if os.fork() == 0:
        time.sleep(1000)
print("up", flush=True)
time.sleep(1000)
"""


def test_many_processes_with_many_mappings(fresh_daemon, figure):
    """Netflix (PEERS 6.1): thousands of processes with thousands of mappings, all of them looked at again and again."""
    daemon = fresh_daemon(python=False)
    children, mappings = (5000, 2000) if FULL else (60, 200)
    program = MANY_MAPPINGS % (mappings, children)
    assert daemon.call("PUT", f"{ROOT}/many", json={"argv": [sys.executable, "-c", program]}).status == 201
    up = lambda: b"up" in daemon.call("GET", f"{ROOT}/many/output").body  # noqa: E731
    processes.eventually(up, seconds=120, what="so many processes")
    stop, errors, looks = threading.Event(), [], [0]

    def look():
        try:
            with daemon.wire() as wire:
                while not stop.is_set():
                    for path in ("/processes", "/metrics"):
                        assert wire.request("GET", path).status == 200
                    looks[0] += 1
        except Exception as error:  # noqa: BLE001: told below, with the thread's own words
            errors.append(error)

    def pings():
        delays = []
        with daemon.wire() as wire:
            for _ in range(1000 if FULL else 100):
                begun = time.monotonic()
                assert wire.request("GET", "/ping").status == 200
                delays.append((time.monotonic() - begun) * 1000)
                stop.wait(0.005)
        return delays

    looker = threading.Thread(target=look)
    looker.start()
    delays = pings()
    stop.set()
    looker.join()
    assert not errors, errors[0]
    assert looks[0] > 0
    begun = time.monotonic()
    view = daemon.call("DELETE", f"{ROOT}/many?grace_ms=0").json()
    assert view["verdict"]["kind"] == "cancelled"
    figure(f"load: /ping while {children} processes are listed {statistics.median(delays):.2f} ms, "
           f"p99 {quantile(delays, .99):.2f} ms; their end {(time.monotonic() - begun) * 1000:.0f} ms")
    assert quantile(delays, .99) < 1000


@pytest.mark.parametrize("where", ["command", "session"])
def test_one_endless_line(fresh_daemon, where, figure):
    """DAY execute.go (PEERS 6.1): 1 GiB without a line end arrives whole, and the daemon does not keep it."""
    size = 1 << 30 if FULL else 32 << 20
    daemon = fresh_daemon(python=False)
    daemon.shell("true")
    target = "/command"
    if where == "session":
        target = f"/session/{daemon.call('POST', '/session').json()['session_id']}/run"
    body = b'{"command":"head -c %d /dev/zero | tr \\"\\\\0\\" Z; echo; exit 3"}' % size
    got, tail, begun, most = 0, b"", time.monotonic(), 0
    with daemon.wire() as wire:
        wire.send(build("POST", target, [], body, wire.host))
        assert wire.head().status == 200
        while chunk := wire.chunk():
            if got >> 24 != (got := got + chunk.count(b"Z")) >> 24:
                most = max(most, processes.memory_kib(daemon.pid, "Rss"))
            tail = (tail + chunk)[-4096:]
    assert got == size and b'"CommandExecError","evalue":"3"' in tail, (got, size, tail[-300:])
    figure(f"load: one line of {size >> 20} MiB to a {where}'s client {size / (time.monotonic() - begun) / 1e6:.0f} MB/s, "
           f"RSS at most {most >> 10} MiB")
    sanitized = "libasan" in processes.read(f"/proc/{daemon.pid}/maps")
    assert most < (512 << 10 if sanitized else 96 << 10)


class Probe:
    """What one daemon needs for a command, for a line through a pipe and for an echo of a terminal, and for what lasts
    longer: the first byte of output, 4 MiB of lines as events, 1 MiB through a terminal."""

    LINES = b'{"command":"yes %s | head -n 40000"}' % (b"x" * 99)

    def __init__(self, daemon):
        names = ("exec", "line", "terminal", "first byte", "lines", "terminal output")
        self.daemon, self.wire, self.times = daemon, daemon.wire(), {name: [] for name in names}
        self.follow = {}
        for name, more in (("line", {"stdin": "pipe"}), ("terminal", {"pty": {"columns": 80, "rows": 24}})):
            assert daemon.call("PUT", f"{ROOT}/probe-{name}", json={"argv": ["/bin/cat"], **more}).status == 201
            self.follow[name] = daemon.wire()
            self.follow[name].send(build("GET", f"{ROOT}/probe-{name}/output?follow=true", [], b"", self.wire.host))

    def round(self, number):
        begun = time.monotonic()
        run_true(self.wire)
        self.times["exec"].append(time.monotonic() - begun)
        for name, wire in self.follow.items():
            text, seen = b"<%d>" % number, b""
            begun = time.monotonic()
            assert self.wire.request("POST", f"{ROOT}/probe-{name}/input", body=text + b"\n").status == 200
            if number == 0:
                assert wire.head().status == 200
            while text not in seen:
                seen += wire.chunk()
            self.times[name].append(time.monotonic() - begun)

    def long_round(self, number):
        begun = time.monotonic()
        self.wire.send(build("POST", "/command", [], b'{"command":"echo hi; sleep 0.02"}', self.wire.host))
        assert self.wire.head().status == 200
        while b'"hi' not in self.wire.chunk():
            pass
        self.times["first byte"].append(time.monotonic() - begun)
        while self.wire.chunk():
            pass
        begun = time.monotonic()
        answer = self.wire.request("POST", "/command", body=self.LINES)
        self.times["lines"].append(time.monotonic() - begun)
        assert answer.status == 200 and answer.body.count(b'"stdout"') == 40_000
        spec = b'{"argv":["/usr/bin/head","-c","1000000","/dev/zero"],"pty":{"columns":80,"rows":24}}'
        begun = time.monotonic()
        assert self.wire.request("PUT", f"{ROOT}/shown-{number}", body=spec).status == 201
        answer = self.wire.request("GET", f"{ROOT}/shown-{number}/output?follow=true")
        self.times["terminal output"].append(time.monotonic() - begun)
        assert answer.status == 200 and len(answer.body) == 1_000_000
        assert self.wire.request("DELETE", f"{ROOT}/shown-{number}").status == 200

    def medians(self):
        return {name: statistics.median(times) * 1000 for name, times in self.times.items()}

    def close(self):
        for wire in (self.wire, *self.follow.values()):
            wire.sock.close()
        for name in self.follow:
            assert self.daemon.call("DELETE", f"{ROOT}/probe-{name}?grace_ms=0").status == 200


def test_a_large_daemon_is_as_fast(fresh_daemon, figure):
    """What the daemon holds in memory (1 GiB of journals in the full form) changes no start, no stream and no terminal."""
    small, large = fresh_daemon(python=False), fresh_daemon(python=False)
    count = 1100 if FULL else 40
    with large.wire() as wire:
        for i in range(count):
            body = b'{"argv":["/bin/sh","-c","head -c 1048000 /dev/zero; exec sleep 1000"]}'
            assert wire.request("PUT", f"{ROOT}/big-{i}", body=body).status == 201
        size = lambda: processes.memory_kib(large.pid, "Rss")  # noqa: E731
        processes.eventually(lambda: size() > count * 1000, what="so much memory")
        probes = [Probe(small), Probe(large)]
        for number in range(300 if FULL else 20):
            for probe in probes:
                probe.round(number)
                if number % 10 == 5:
                    probe.long_round(number)
        little, much = (probe.medians() for probe in probes)
        for probe in probes:
            probe.close()
        figure(f"load: RSS {size() >> 10} MiB beside {processes.memory_kib(small.pid, 'Rss') >> 10} MiB: " + ", ".join(
            f"{name} {much[name]:.2f} ms ({much[name] / little[name]:.2f}x)" for name in much))
        for i in range(count):
            assert wire.request("DELETE", f"{ROOT}/big-{i}?grace_ms=0").status == 200
    assert all(much[name] < 3 * little[name] + 5 for name in much), (little, much)
