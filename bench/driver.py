#!/usr/bin/env python3
"""usage: scripts/bench [--quick] [--check] [--write] [--group NAME]... [--peer NAME=COMMAND]... [--no-peers] [--out PREFIX]

Measures execd beside peers and floors in one run on this machine and reports ratios. Every round visits all targets of a
row, beginning with another one each time, so that all see the same noise; a ratio is taken inside a round, then the
median over the rounds. A figure counts only when the work was really done (bytes, exit codes, entries, sums); what was
not is listed under errors. Read ratios, not absolutes: client and servers share the processors.

  --quick      two rounds of small samples, at most two minutes; for a look, not for a verdict
  --check      holds the 30 targets of docs/performance.md against their floors: ends with 1 unless at least 24 hold and
               none is over its limit by more than 1.5 times. What is over its limit is measured a second time, and is
               red only when it is over both times
  --write      puts tables and plots into docs/performance.md, docs/bench.svg and docs/bench-peers.svg, between the markers
  --group G    only this group (again for more): startup exec stream files terminal health proxy relay kernel
  --peer N=C   another server of OpenSandbox's dialect, started by command C with {port} in it
  --no-peers   floors only
  --binary B   the execd that is measured (default: build/release/bin/execd)
  --out P      P.json and P.md (default: build/bench/results)

The first run installs the peers (scripts/deps --bench) and compiles the load client (bench/load).
"""

import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from rows import FULL, GROUPS, QUICK, ROWS
from targets import Target, execd, jupyter, labels, nginx, pss_mib, relay_daemon, websockify

ROOT = Path(__file__).resolve().parents[1]
QUICK_SECONDS = 95


class Bench:
    def __init__(self, options, place):
        self.options, self.load, self.python = options, place["load"], place["python"]
        self.size = QUICK if options["quick"] else FULL
        self.deadline = time.monotonic() + QUICK_SECONDS if options["quick"] else None
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.data = Path(tempfile.mkdtemp(prefix="execd-bench-", dir=base))
        self.work = Path(tempfile.mkdtemp(prefix="execd-bench-"))
        self.samples = {}  # row -> target -> [samples of a round]
        self.errors, self.notes, self.targets, self.beats = [], [], {}, []
        self.mini, self.serving = place["mini"], None

    # what runs --------------------------------------------------------------------------------------------
    def add(self, target):
        if target:
            self.targets[target.name] = target
        return target

    def started(self, target):
        target.start()
        return self.add(target)

    def prepare(self, groups):
        os.chmod(self.data, 0o755)
        self.serving = subprocess.Popen([self.load, "serve"], stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.serving.stdout.readline())
        self.raw = self.add(Target("raw", "floor", "raw"))
        self.wire = self.add(Target("wire", "floor", "execd"))
        self.wire.port = self.ports["http"]
        self.straight = Target("raw", "floor", "plain")
        self.straight.port = self.ports["http"]
        self.ours = self.add(execd(self.options["binary"], self.python))
        if {"files", "health", "proxy"} & set(groups):
            self.add(nginx(self.work, self.data))
        others = [execd(command[0], self.python, name, "peer") for name, command in self.options["peers"].items()]
        for other, command in zip(others, self.options["peers"].values()):
            other.command = command
            self.add(other)
        if not self.options["no_peers"] and {"startup", "files", "terminal"} & set(groups):
            self.add(jupyter(self.python, self.work, self.data))
        if not self.options["no_peers"] and "relay" in groups:
            self.add(websockify(self.python, self.ports["tcp"]))

    def start(self):
        """After the startup group: a second process of a program would share its pages, and halve what PSS says."""
        for target in self.targets.values():
            if target.command and target.name not in ("mini", "tiny", "ttyd") and target.role != "helper":
                target.start()
        time.sleep(0.3)
        self.idle_mib = pss_mib(self.ours.process.pid)

    def stop(self):
        for target in self.targets.values():
            if target.command:
                target.stop()

    def measure(self, groups, begun):
        """The groups in their order; what is needed for them runs afterwards."""
        for group in GROUPS:
            if group == "exec" and set(groups) != {"startup"}:
                self.start()
            if group in groups:
                print(f"    {group} ({time.monotonic() - begun:.0f} s)", flush=True)
                getattr(self, group)()

    def again(self, groups, begun):
        """The samples of a second run of these groups."""
        kept, self.samples = self.samples, {}
        self.stop()
        try:
            self.measure(groups, begun)
            return self.samples
        finally:
            self.samples = kept

    def close(self):
        self.stop()
        if self.serving:
            self.serving.terminate()
            self.serving.wait()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)

    # samples ----------------------------------------------------------------------------------------------
    def record(self, target, number, found, rename=lambda name: name):
        for name, values in found.items():
            rounds = self.samples.setdefault(rename(name), {}).setdefault(target.name, [])
            while len(rounds) <= number:
                rounds.append([])
            rounds[number] += values

    def ask(self, target, *words):
        argv = [str(self.load), target.kind, str(target.port), target.headers, *map(str, words)]
        return self.run(argv)

    @staticmethod
    def run(argv, seconds=90):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip() or f"status {done.returncode}")[-300:])
        return json.loads(done.stdout)

    def each(self, name, targets, measure, rounds=None):
        """`measure(target, round)` for every target in turns; an error is told and costs only its own figure."""
        targets = [target for target in targets if target]
        for number in range(rounds or self.size.rounds):
            for index in range(len(targets)):
                target = targets[(index + number) % len(targets)]
                if self.deadline and time.monotonic() > self.deadline:
                    self.notes.append(f"out of time: {name} of {target.name}, round {number + 1}")
                    continue
                self.beat()
                try:
                    measure(target, number)
                except (RuntimeError, OSError, subprocess.TimeoutExpired, ValueError) as error:
                    self.errors.append(f"{name}, {target.name}: {error}")

    def beat(self):
        """The same small work before every figure: where its time varies, others were at work on this machine."""
        begun = time.perf_counter()
        sum(range(60_000))
        self.beats.append(time.perf_counter() - begun)

    def simple(self, name, targets, words, rename=lambda name: name, rounds=None):
        self.each(name, targets, lambda t, n: self.record(t, n, self.ask(t, *words(t)), rename), rounds)

    def speaking(self, *kinds):
        return [t for t in self.targets.values() if t.kind in kinds and t.role in ("ours", "peer") and t.port]

    # groups -----------------------------------------------------------------------------------------------
    def startup(self):
        size = Path(self.options["binary"]).stat().st_size / 1e6
        self.record(self.ours, 0, {"size_mb": [size]})
        self.add(Target("tiny", "floor", "plain", [str(self.load), "idle", "{port}"]))
        if shutil.which("ttyd"):
            self.add(Target("ttyd", "floor", "plain", ["ttyd", "-i", "127.0.0.1", "-p", "{port}", "bash"]))
        if self.mini:
            self.add(Target("mini", "floor", "plain", [str(self.mini), "{port}"]))
        else:
            self.notes.append("no Go compiler: start and memory have only one floor")
        everybody = [t for t in self.targets.values() if t.command and t.kind != "nginx" and t.role != "helper"]

        def once(target, number):
            if target.kind == "jupyter" and number:
                return  # six seconds each
            one = Target(target.name, target.role, target.kind, target.command, target.health, target.environment,
                         target.headers)
            try:
                self.record(target, number, {"start_ms": [one.start()]})
                time.sleep(0.3)
                self.record(target, number, {"pss_idle_mib": [pss_mib(one.process.pid)]})
            finally:
                one.stop()
        self.each("start", everybody, once, self.size.starts)

    def exec(self):
        us = [self.raw, *self.speaking("execd")]
        self.simple("exec", us, lambda t: ["exec", self.size.commands])
        for clients in (1, 8, 32):
            self.simple(f"rate {clients}", us, lambda t, n=clients: ["rate", n, self.size.slice_s])
        known, ended = (self.samples.get(name, {}).get("execd", []) for name in ("exec_known_ms", "exec_ended_ms"))
        for number, pair in enumerate(zip(known, ended)):
            if pair[0]:
                self.record(self.ours, number, {"exec_tail": [statistics.median(b / a for a, b in zip(*pair))]})
        self.record(self.ours, 0, {"pss_grown_mib": [pss_mib(self.ours.process.pid) - self.idle_mib]})

    def stream(self):
        us = [self.raw, *self.speaking("execd")]
        self.simple("first byte", us, lambda t: ["first", max(5, self.size.commands // 4)])
        self.simple("line delay", us, lambda t: ["lines", self.size.lines])
        for line in (100, 8192):
            self.simple(f"lines of {line}", [*us, self.wire], lambda t, n=line: ["stream", self.size.stream, n])

    def url(self, target, name):
        if target.kind == "execd":
            return f"/files/download?path={self.data}/{name}"
        return f"/data/{name}" if target.kind == "nginx" else f"/files/{name}"

    def files(self):
        size = self.size
        (self.data / "small").write_bytes(b"s" * 1024)
        with open(self.data / "big", "wb") as big:
            for _ in range(size.file >> 20):
                big.write(b"b" * (1 << 20))
        for name in ("dir", "tree", "w"):
            (self.data / name).mkdir(exist_ok=True)
        for number in range(size.entries):
            (self.data / "dir" / f"entry-{number:05}.txt").touch()
        for number in range(size.tree):
            folder = self.data / "tree" / f"d{number // 100:03}" / f"s{number // 10 % 10}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"f{number:05}.txt").touch()
        ng, hub = self.targets.get("nginx"), self.targets.get("jupyter")
        ours = self.speaking("execd")
        self.simple("download", [self.raw, ng, hub, *ours], lambda t: ["get", self.url(t, "big"), size.file, self.data / "big"])
        (self.data / "big").unlink()
        self.simple("upload", [self.raw, ng, *ours], lambda t: ["put", self.data / "up", size.file, "/data/up"])
        self.simple("small reads", [ng, *ours], lambda t: ["requests", self.url(t, "small"), 16, size.slice_s, 1024],
                    {"per_s": "small_reads_per_s"}.get)
        self.simple("small writes", [self.raw, ng, *ours], lambda t: ["writes", self.data / "w", 8, size.slice_s, "/data/w"])
        marks = {"execd": (f"/directories/list?path={self.data}/dir", '"path"'), "nginx": ("/data/dir/", '"name"'),
                 "jupyter": ("/api/contents/dir?content=1", '"type": "file"'), "raw": ("", "")}
        self.simple("list", [self.raw, ng, hub, *ours], lambda t: ["list", self.data / "dir", size.entries,
                                                                 1 if t.kind == "jupyter" else 4, *marks[t.kind]])
        self.simple("search", [self.raw, *ours], lambda t: ["search", self.data / "tree", "*777*.txt", 4])

    def terminal(self):
        us = [self.raw, self.targets.get("jupyter"), *self.speaking("execd")]
        self.simple("echo", us, lambda t: ["echo", self.size.echoes])
        self.simple("terminal output", us, lambda t: ["output", self.size.terminal])

    def health(self):
        us = [self.targets.get("nginx"), *self.speaking("execd")]
        words = lambda t: ["requests", "/ping", 64, self.size.slice_s, 0]
        self.simple("health", us, words, {"per_s": "health_per_s", "p99_ms": "health_p99_ms"}.get)

        def busy(target, number):
            by = target if target.kind == "execd" else self.raw
            script = f'while :; do "$0" {by.kind} {by.port} "" exec 8 >/dev/null 2>&1; sleep 1; done'
            beside = subprocess.Popen(["bash", "-c", script, str(self.load)], start_new_session=True)
            try:
                self.record(target, number, self.ask(target, *words(target)),
                            {"per_s": "health_busy_per_s", "p99_ms": "health_busy_p99_ms"}.get)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(beside.pid, 9)
                beside.wait()
        self.each("health beside commands", us, busy)

    def proxy(self):
        prefix = lambda t: "" if t is self.straight else f"/proxy/{self.ports['http']}"
        us = [self.straight, self.targets.get("nginx"), *self.speaking("execd")]
        self.simple("proxied GET", us, lambda t: ["proxied", prefix(t) + "/hello", self.size.trips])
        self.simple("proxied trip", us, lambda t: ["ws_trip", prefix(t) + "/ws/echo", self.size.trips])
        self.simple("proxied bulk", us, lambda t: ["ws_bulk", prefix(t) + "/ws/source", self.size.bulk])

    def relay(self):
        tcp = Target("raw", "floor", "plain")
        tcp.port = self.ports["tcp"]
        desk = self.targets.get("execd (relay)") or self.add(relay_daemon(self.options["binary"], self.python, self.load, self.work))
        desk.start()
        path = {"execd (relay)": "/websockify"}
        rename = {"ws_trip_ms": "relay_trip_ms", "ws_bulk_MBps": "relay_bulk_MBps"}.get

        def relayed(plain, relay):
            def once(target, number):
                words = plain if target is tcp else [relay[0], path.get(target.name, "/"), *relay[1:]]
                self.record(self.ours if target is desk else target, number, self.ask(target, *words), rename)
            return once
        us = [tcp, self.targets.get("websockify"), desk]
        trips, bulk = self.size.trips, self.size.bulk
        self.each("relay trip", us, relayed(["tcp_trip", trips], ["ws_trip", trips]))
        self.each("relay bulk", us, relayed(["tcp_bulk", bulk], ["ws_bulk", bulk, "relay"]))
        desk.stop()

    def kernel(self):
        size, binary = self.size, self.options["binary"]
        bare, library = Target("zmq", "floor", "raw"), Target("jupyter_client", "floor", "library")
        pool = self.started(execd(binary, self.python, "execd (pool)", "helper", EXECD_PREWARM="python"))
        zygote = self.started(execd(binary, self.python, "execd (zygote)", "helper", EXECD_PREWARM="python",
                                    EXECD_READY_KERNELS="0"))
        cold, hub = execd(binary, self.python, "execd (cold)", "helper"), None
        if not self.options["no_peers"]:
            hub = self.targets.get("jupyter") or self.started(jupyter(self.python, self.work, self.data))
        for one in (bare, cold, library):
            self.targets[one.name] = one
        others = [one for one in self.speaking("execd") if one.role == "peer"]
        script = Path(__file__).with_name("kernel_peers.py")

        def as_ours(name, keep):
            return lambda found: self.record(self.ours, self.round, {name if key == "kernel_first_ms" else key: values
                                                                     for key, values in found.items() if keep or key == "kernel_first_ms"})

        def once(target, number):
            self.round = number
            words = ["kernel", self.python, size.sums, size.prints]
            if target is cold:
                cold.start()
                try:
                    as_ours("cold_first_ms", False)(self.ask(cold, "kernel", self.python, 1, 10))
                finally:
                    cold.stop()
            elif target is zygote:
                wait_for(zygote, "zygote")
                as_ours("zygote_first_ms", False)(self.ask(zygote, "kernel", self.python, 1, 10))
            elif target is pool:
                wait_for(pool, "kernel")
                as_ours("kernel_first_ms", True)(self.ask(pool, *words))
            elif target is library:
                found = self.run([str(self.python), str(script), "client", str(size.sums), str(size.prints)])
                self.all_first(target, number, found)
            elif target is hub:
                found = self.run([str(self.python), str(script), "server", str(hub.port), "bench", str(size.sums),
                                  str(size.prints)])
                self.all_first(target, number, found)
            else:
                self.all_first(target, number, self.ask(target, *words))
        self.each("kernel", [bare, pool, zygote, cold, library if not self.options["no_peers"] else None, hub, *others], once)
        pool.stop()
        zygote.stop()

    def all_first(self, target, number, found):
        """One start of theirs is the floor of our three kinds."""
        first = found["kernel_first_ms"]
        self.record(target, number, {**found, "cold_first_ms": first, "zygote_first_ms": first})


def wait_for(target, label, seconds=30):
    end = time.monotonic() + seconds
    while label not in labels(target.port):
        if time.monotonic() > end:
            raise RuntimeError(f"no {label} within {seconds} s")
        time.sleep(0.05)
    time.sleep(0.5)  # what has just started may still be at work


def parse(arguments):
    options = {"quick": False, "check": False, "write": False, "no_peers": False, "groups": [], "peers": {},
               "binary": str(ROOT / "build/release/bin/execd"), "out": str(ROOT / "build/bench/results")}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in ("--quick", "--check", "--write", "--no-peers") and not equals:
            options[name[2:].replace("-", "_")] = True
            continue
        if name not in ("--group", "--peer", "--binary", "--out"):
            sys.exit(f"unknown argument '{name}'; scripts/bench --help")
        if not equals:
            if not rest:
                sys.exit(f"{name} needs a value; scripts/bench --help")
            value = rest.pop(0)
        if name == "--group":
            options["groups"] += value.split(",")
        elif name == "--peer":
            peer, _, command = value.partition("=")
            if not peer or "{port}" not in command:
                sys.exit("--peer NAME=COMMAND, with {port} in the command")
            options["peers"][peer] = shlex.split(command)
        else:
            options[name[2:]] = value
    unknown = set(options["groups"]) - set(GROUPS)
    if unknown:
        sys.exit(f"unknown group {', '.join(sorted(unknown))}; there are: {' '.join(GROUPS)}")
    return options


def main():
    if "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__)
        return 0
    options = parse(sys.argv[1:])
    mini = os.environ.get("EXECD_BENCH_MINI")
    bench = Bench(options, {"load": Path(os.environ["EXECD_BENCH_LOAD"]), "mini": mini and Path(mini),
                            "python": Path(os.environ["EXECD_BENCH_PYTHON"])})
    groups = options["groups"] or GROUPS
    begun = time.monotonic()
    try:
        bench.prepare(groups)
        bench.measure(groups, begun)
        results = report.results(ROWS, bench, groups)
        if options["check"] and (red := report.red_groups(results)) and not (bench.deadline and time.monotonic() > bench.deadline):
            print(f"    once more, because over the limit: {', '.join(red)}", flush=True)
            report.take_again(results, report.results(ROWS, bench, red, bench.again(red, begun)))
    finally:
        bench.close()
    results["seconds"] = round(time.monotonic() - begun)
    return report.publish(results, options, ROOT)


if __name__ == "__main__":
    sys.exit(main())
