#!/usr/bin/env python3
"""usage: scripts/soak --minutes N [--executions N] [--write] [--binary B] [--workers N] [--out PREFIX] [--every SECONDS]
                   [--only NAME,NAME]

A daemon under a mixed load (commands, sessions, terminals, Python and shell contexts, files up and down, edits and
listings, proxied requests and WebSockets, pages of the browser, clients of its desktop, cut clients) for N minutes, or
until N commands have run, whatever comes first; each answer is checked. Every few seconds its RSS, descriptors, threads,
children, zombies, temporary files, processor time and latencies are written to PREFIX.csv and at the end drawn to
PREFIX.svg. Default PREFIX: build/soak/soak. --write also puts result and plot into docs/soak-<date>.md.

It ends with 1 when an answer was wrong, or when something grew. Grown is judged on the samples after the first quarter (the
daemon fills its bounded caches in that time: 1,000 finished executions are kept): Theil-Sen's slope, the median over all
pairs of samples, times the time of those samples, is more than

    RSS 8 MiB, descriptors 8, threads 3, children 4, temporary files 4

and the slope is not that of noise (Mann-Kendall's test, one-sided, p < 0.01). A process that is a zombie in
two samples in a row is one too many. Afterwards the load ends and within 30 s children, descriptors and temporary files
must be back to where they were before it. --only takes some kinds of work alone, to find out which of them does it.
"""

import asyncio
import contextlib
import csv
import hashlib
import math
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from soak_work import DESKTOP, EXECUTIONS, NAMES, WORK, Http, browser, desktop, many_commands

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"rss_kib": 8 << 10, "fds": 8, "threads": 3, "children": 4, "files": 4}


class Soak:
    def __init__(self, options):
        self.options = options
        self.room = Path(tempfile.mkdtemp(prefix="execd-soak-"))
        self.tmp, self.work = self.room / "tmp", self.room / "work"
        self.room.chmod(0o755)  # the desktop's programs run under an account of their own
        for folder in (self.tmp, self.work, self.room / "home"):
            folder.mkdir()
        self.tmp.chmod(0o1777)
        self.work_there_is = [work for work in WORK if work not in (browser, desktop) or all(map(shutil.which, DESKTOP))]
        self.counts, self.failed, self.latencies, self.rows = {}, [], {}, []
        self.written = {}
        self.were_zombies = set()
        self.stop = False

    def versions(self, path, data):
        """Contents that this path may have: several workers write it."""
        self.written.setdefault(path, []).append(data)
        return self.written[path][-16:]

    # the daemon and what is behind its proxy --------------------------------------------------------------
    async def start(self):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.room / "home"), "TMPDIR": str(self.tmp), "LANG": "C.UTF-8",
                       "EXECD_BROWSER_PROFILE": str(self.room / "profile"), "EXECD_PREWARM": "python", "JUPYTER_PATH": self.options["jupyter"],
                       "ASAN_OPTIONS": "quarantine_size_mb=4"}
        self.daemon = subprocess.Popen([self.options["binary"], "--port", "0", "--log-level", "warn", "--log-file",
                                        str(self.room / "log")], env=environment, cwd=self.work, start_new_session=True,
                                       stderr=open(self.room / "errors", "wb"))
        self.port = await asyncio.to_thread(self.listening)
        server = await asyncio.start_server(self.upstream_client, "127.0.0.1", 0, limit=1 << 20)
        self.upstream = server.sockets[0].getsockname()[1]
        from websockets.asyncio.server import serve

        async def echo(socket):
            async for message in socket:
                await socket.send(message)
        sockets = await serve(echo, "127.0.0.1", 0, compression=None, max_size=None)
        self.sockets = next(iter(sockets.sockets)).getsockname()[1]

    def listening(self):
        """The port it took: its only listener, by /proc."""
        end = time.monotonic() + 20
        while time.monotonic() < end and self.daemon.poll() is None:
            inodes = set()
            for link in Path(f"/proc/{self.daemon.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(link)[8:-1])
            for table in ("tcp", "tcp6"):
                for line in Path(f"/proc/{self.daemon.pid}/net/{table}").read_text().splitlines()[1:]:
                    words = line.split()
                    if words[3] == "0A" and words[9] in inodes:
                        return int(words[1].rsplit(":", 1)[1], 16)
            time.sleep(0.02)
        raise SystemExit("the daemon does not listen")

    async def upstream_client(self, reader, writer):
        http = Http(0)
        http.reader, http.writer = reader, writer
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0]) if "content-length:" in head else 0
                digest = hashlib.sha256(await reader.readexactly(length)).hexdigest().encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(digest) + digest)
                await writer.drain()
        writer.close()

    # the load ---------------------------------------------------------------------------------------------
    async def worker(self, number):
        chance, http = random.Random(number), Http(self.port)
        only = self.options["only"].split(",") if self.options["only"] else NAMES
        kinds = [work for work in self.work_there_is if work.__name__ in only]
        weights = [WORK[work] for work in kinds]
        while not self.stop:
            work = chance.choices(kinds, weights)[0]
            begun = time.monotonic()
            try:
                await work(http, self, chance)
            except Exception as error:  # noqa: BLE001: counted and told
                if len(self.failed) < 20:
                    self.failed.append(f"{work.__name__}: {type(error).__name__}: {error}")
                self.counts["failed"] = self.counts.get("failed", 0) + 1
                http.close()
            self.counts[work.__name__] = self.counts.get(work.__name__, 0) + (20 if work is many_commands else 1)
            self.latencies.setdefault(work.__name__, []).append((time.monotonic() - begun) * 1e3)
        http.close()

    async def pinger(self):
        http = Http(self.port)
        while not self.stop:
            begun = time.monotonic()
            await http.ask("GET", "/ping")
            self.latencies.setdefault("ping", []).append((time.monotonic() - begun) * 1e3)
            await asyncio.sleep(0.05)
        http.close()

    # what is looked at ------------------------------------------------------------------------------------
    def sample(self, begun):
        pid = self.daemon.pid
        status = Path(f"/proc/{pid}/status").read_text()
        field = lambda name: int(status.split(name + ":")[1].split()[0])
        kids = [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in quiet_read(task).split()]
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        taken = {name: sorted(values) for name, values in self.latencies.items()}
        self.latencies = {}
        p99 = lambda name: round(taken[name][len(taken[name]) * 99 // 100], 2) if taken.get(name) else ""
        return {"seconds": round(time.monotonic() - begun, 1), "rss_kib": field("VmRSS"), "fds": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": field("Threads"), "children": len(kids),
                "zombies": len(self.zombies(kids)),
                "files": self.temporary_files(), "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
                "done": sum(self.counts.values()), "executions": self.executions(),
                **{f"{name}_p99_ms": p99(name) for name in NAMES}}

    def executions(self):
        return sum(self.counts.get(name, 0) * each for name, each in EXECUTIONS.items())

    def temporary_files(self):
        """Without Chromium's own, which it keeps or not as it likes."""
        return sum(1 for path in self.tmp.rglob("*") if "chromium" not in str(path.relative_to(self.tmp)))

    def zombies(self, kids):
        """Those that were zombies at the last sample too: one that ended just now is nothing."""
        now = {kid for kid in kids if ") Z " in quiet_read(f"/proc/{kid}/stat")}
        old, self.were_zombies = now & self.were_zombies, now
        return old

    async def at_rest(self):
        await asyncio.sleep(0.5)
        return self.sample(time.monotonic())

    async def fill(self, times):
        http = Http(self.port)
        for _ in range(times):
            await many_commands(http, self, random.Random(0))
        http.close()

    async def soak(self):
        await self.start()
        http = Http(self.port)
        for work in self.work_there_is:
            await work(http, self, random.Random(0))
        http.close()
        # More than the finished executions that are kept, so that they are not taken for growth.
        await asyncio.gather(*[self.fill(20) for _ in range(3)])
        await asyncio.sleep(3)  # the pool of kernels fills again
        before = await self.at_rest()
        begun = time.monotonic()
        end = begun + self.options["minutes"] * 60
        tasks = [asyncio.create_task(self.worker(number)) for number in range(self.options["workers"])]
        tasks.append(asyncio.create_task(self.pinger()))
        out = Path(self.options["out"])
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{out}.csv", "w", newline="") as file:
            writer = None
            while time.monotonic() < end and self.daemon.poll() is None and not self.enough():
                await asyncio.sleep(min(self.options["every"], max(0.1, end - time.monotonic())))
                if self.daemon.poll() is not None:
                    break
                row = self.sample(begun)
                writer = writer or csv.DictWriter(file, list(row))
                if not self.rows:
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
                self.rows.append(row)
        self.stop = True
        await asyncio.gather(*tasks, return_exceptions=True)
        after = before
        if self.daemon.poll() is None:
            for _ in range(30):
                await asyncio.sleep(1)
                after = self.sample(begun)
                if all(after[name] <= before[name] + spare for name, spare in REST.items()):
                    break
        return before, after

    def enough(self):
        return self.options["executions"] and self.executions() >= self.options["executions"]

    def end(self):
        """Its exit status and log once it was told to end."""
        with contextlib.suppress(ProcessLookupError):
            self.daemon.send_signal(signal.SIGTERM)
        try:
            return self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            return "still alive 30 s after SIGTERM"


REST = {"children": 1, "fds": 12, "files": 2, "zombies": 0}  # a default context of `run` and its files stay


def quiet_read(path):
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def trend(times, values):
    """Theil-Sen's slope, and the one-sided p of Mann-Kendall's test that there is growth."""
    if len(values) > 400:  # every k-th: all pairs of them are enough
        step = len(values) // 400 + 1
        times, values = times[::step], values[::step]
    slopes, score, ties = [], 0, {}
    for value in values:
        ties[value] = ties.get(value, 0) + 1
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            slopes.append((values[j] - values[i]) / (times[j] - times[i]))
            score += (values[j] > values[i]) - (values[j] < values[i])
    n = len(values)
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties.values())) / 18
    z = (score - 1) / math.sqrt(variance) if variance > 0 and score > 0 else 0.0
    return statistics.median(slopes), 0.5 * math.erfc(z / math.sqrt(2))


def verdict(soak, before, after, status):
    problems = [f"wrong answer: {words}" for words in soak.failed]
    if status != 0:
        problems.append(f"the daemon ended with {status}")
    rows = soak.rows[len(soak.rows) // 4:]
    lines = []
    if len(rows) >= 8:
        times = [row["seconds"] for row in rows]
        for name, limit in LIMITS.items():
            slope, p = trend(times, [row[name] for row in rows])
            grown = slope * (times[-1] - times[0])
            bad = grown > limit and p < 0.01
            lines.append(f"{name}: {rows[0][name]} to {rows[-1][name]}, trend {grown:+.1f} (limit {limit}, p {p:.2g})")
            if bad:
                problems.append(f"{name} grew by {grown:.1f} (limit {limit})")
    else:
        lines.append("too few samples for a trend (8 are needed after the first quarter)")
    if most := max((row["zombies"] for row in rows), default=0):
        problems.append(f"{most} zombies were not waited for between two samples")
    for name, spare in REST.items():
        if after[name] > before[name] + spare:
            problems.append(f"{name} at rest: {before[name]} before, {after[name]} after")
    return lines, problems


def plot(rows, file):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    import matplotlib.pyplot as pyplot
    matplotlib.rcParams["svg.hashsalt"] = "execd"
    rows = rows[::len(rows) // 300 + 1]
    minutes = [row["seconds"] / 60 for row in rows]
    figure, panes = pyplot.subplots(3, 1, figsize=(8, 6.5), sharex=True)
    panes[0].plot(minutes, [row["rss_kib"] / 1024 for row in rows], label="RSS, MiB", linewidth=0.8)
    for name in ("fds", "threads", "children", "zombies", "files"):
        panes[1].plot(minutes, [row[name] for row in rows], label=name, linewidth=0.8)
    for name in NAMES:
        points = [(at, row[name + "_p99_ms"]) for at, row in zip(minutes, rows) if row[name + "_p99_ms"] != ""]
        panes[2].plot(*zip(*points), label=name, linewidth=0.6) if points else None
    panes[2].set_yscale("log")
    panes[2].set_ylabel("p99, ms")
    panes[2].set_xlabel("minutes")
    for pane in panes:
        pane.legend(fontsize=6, ncols=4)
        pane.set_ylim(bottom=0) if pane is not panes[2] else None
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None})


def parse(arguments):
    options = {"minutes": None, "executions": 0, "write": False, "workers": 6, "every": None, "only": "", "binary": str(ROOT / "build/release/bin/execd"),
               "out": str(ROOT / "build/soak/soak"), "jupyter": os.environ.get("EXECD_SOAK_JUPYTER", "")}
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while words:
        name = words.pop(0).removeprefix("--")
        if name == "write":
            options["write"] = True
            continue
        if name not in options or not words:
            sys.exit(f"unknown argument '{name}'; scripts/soak --help")
        value = words.pop(0)
        options[name] = value if name in ("binary", "out", "jupyter", "only") else float(value)
    if not options["minutes"] and not options["executions"]:
        sys.exit("how long? scripts/soak --minutes N")
    options["minutes"] = options["minutes"] or 240
    if unknown := set(filter(None, options["only"].split(","))) - set(NAMES):
        sys.exit(f"unknown work {', '.join(sorted(unknown))}; there is: {' '.join(NAMES[1:])}")
    options["workers"] = int(options["workers"])
    options["every"] = options["every"] or max(1.0, min(10.0, options["minutes"] * 60 / 60))
    return options


def report(soak, before, after, status):
    """The lines that are printed and written down, and what was wrong."""
    options = soak.options
    lines, problems = verdict(soak, before, after, status)
    minutes = soak.rows[-1]["seconds"] / 60 if soak.rows else 0
    done = sum(n for name, n in soak.counts.items() if name != "failed")
    head = [f"{minutes:.1f} minutes, {options['workers']} clients, {done} pieces of work ({done / max(1, minutes * 60):.0f}/s), "
            f"{soak.executions()} executions: " + ", ".join(f"{name} {n}" for name, n in sorted(soak.counts.items())),
            f"at rest: RSS {before['rss_kib']} to {after['rss_kib']} KiB, descriptors {before['fds']} to {after['fds']}, threads "
            f"{before['threads']} to {after['threads']}, children {before['children']} to {after['children']}, temporary files "
            f"{before['files']} to {after['files']}"]
    if len(soak.work_there_is) != len(WORK):
        head.append(f"without the browser: one of {', '.join(DESKTOP)} is not installed")
    if log := quiet_read(soak.room / "log"):
        lines.append(f"its log has {len(log.splitlines())} warnings; the last: {log.splitlines()[-1][:300]}")
    if errors := quiet_read(soak.room / "errors"):
        lines.append(f"it said: {errors[-3000:]}")
    return head + lines + [f"PROBLEM  {problem}" for problem in problems], problems


def write_down(soak, said):
    """A section of docs/soak-<date>.md, in place of an older one of the same name."""
    options = soak.options
    kind = "executions" if options["executions"] else options["only"].replace(",", "-") or "mixed"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    page = ROOT / f"docs/soak-{day}.md"
    picture = f"soak-{day}-{kind}.svg"
    plot(soak.rows, ROOT / "docs" / picture)
    title = {"executions": f"{soak.executions()} executions", "mixed": "Mixed work"}.get(kind, f"Only {options['only']}")
    version = subprocess.run([options["binary"], "--version"], capture_output=True, text=True, check=False).stdout.strip()
    command = " ".join(["scripts/soak", *[word for word in sys.argv[1:] if word != "--write"]])
    section = "\n".join([f"<!-- {kind} -->", f"## {title}", "", f"`{command}`; {version.splitlines()[0] if version else ''}; "
                         f"{os.cpu_count()} processors; ended {time.strftime('%H:%M UTC', time.gmtime())}.", "",
                         *[f"- {line}" for line in said], "", f"![{title}]({picture})", "", ""])
    text = page.read_text() if page.exists() else f"# Soak, {day}\n\nWhat `scripts/soak` said; its help says what growth is.\n\n"
    begin = text.find(f"<!-- {kind} -->")
    end = text.find("<!-- ", begin + 1) if begin >= 0 else -1
    text = text if begin < 0 else text[:begin] + (text[end:] if end >= 0 else "")
    page.write_text(text.rstrip("\n") + "\n\n" + section.rstrip("\n") + "\n")
    print(f"written: {page}, {picture}")


def main():
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        return 0
    options = parse(sys.argv[1:])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    soak = Soak(options)
    try:
        before, after = asyncio.run(soak.soak())
        status = soak.end()
        said, problems = report(soak, before, after, status)
        print("\n".join(said))
        plot(soak.rows, Path(options["out"] + ".svg"))
        print(f"written: {options['out']}.csv, .svg")
        if options["write"]:
            write_down(soak, said)
        return 1 if problems else 0
    finally:
        if soak.daemon.poll() is None:
            soak.daemon.kill()
        if not os.environ.get("EXECD_SOAK_KEEP"):
            shutil.rmtree(soak.room, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
