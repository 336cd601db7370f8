"""The rows: what is measured, on whom, and which ratios to the floors are held.

A row's limits are those of the target table that docs/performance.md repeats: {floor: how many times worse at most}.
`target` is the line of that table (TARGETS) which the row is a part of: a target holds when all its rows do.
"""

from dataclasses import dataclass, field


@dataclass
class Row:
    id: str
    title: str
    unit: str
    group: str
    target: str = ""  # of TARGETS; empty: told beside them
    limits: dict = field(default_factory=dict)  # floor -> ratio of the medians
    p99: dict = field(default_factory=dict)  # floor -> ratio of the p99
    maybe: dict = field(default_factory=dict)  # as limits, of floors that are not everywhere: held where they are
    absolute: float = None  # in the row's unit, of execd itself
    higher: bool = False  # more is better
    about: str = ""  # what the floor is


EVENTS = "raw: bash with its output on a pipe"
KERNEL = "zmq: ipykernel over its own sockets; jupyter_client: the Python library, no server"
ROWS = [
    Row("start_ms", "start to first healthy answer", "ms", "startup", "start to healthy", {"mini": 1.0},
        about="mini: a net/http server in Go"),
    Row("pss_idle_mib", "idle memory (PSS, with children)", "MiB", "startup", "idle PSS", {"mini": 1.5}, maybe={"ttyd": 4.0},
        about="tiny: a loop in C++ that answers 200 (no limit); ttyd where it is on PATH"),
    Row("pss_grown_mib", "memory after the command rows, more than idle", "MiB", "exec", "PSS after the exec rounds", absolute=2.0),
    Row("size_mb", "stripped binary", "MB", "startup", "binary size", absolute=12.0),
    Row("exec_known_ms", "`true` until its exit code is known", "ms", "exec", "exec `true`", {"raw": 2.0},
        about="raw: spawn of /bin/true"),
    Row("exec_ended_ms", "`true` until the response ends", "ms", "exec", "exec `true`", {"raw": 2.0}, about="as above"),
    Row("exec_tail", "end of the response, of the moment when the code is known", "x", "exec", "end of response - exit code known",
        absolute=1.05),
    *[Row(f"execs_per_s_{n}", f"commands a second, {n} clients", "/s", "exec", "execs/s at 1, 8, 32", {"raw": 2.0}, higher=True,
          about="raw spawns") for n in (1, 8, 32)],
    Row("first_byte_ms", "start to the first byte of output", "ms", "stream", "first output byte", {"raw": 1.3}, about=EVENTS),
    Row("line_delay_ms", "delay of a line", "ms", "stream", "line delay", {"raw": 2.5}, {"raw": 3.0}, about=EVENTS),
    Row("stream_100_MBps", "output in 100-byte lines", "MB/s", "stream", "stdout, 100-byte lines", {"wire": 2.0}, higher=True,
        about="wire: events rendered beforehand"),
    Row("stream_8192_MBps", "output in 8 KiB lines", "MB/s", "stream", "stdout, 8 KiB lines", {"wire": 2.5}, higher=True,
        about="as above"),
    Row("get_MBps", "download of one large file", "MB/s", "files", "file GET", {"nginx": 1.05}, higher=True, about="raw: sendfile"),
    Row("put_MBps", "upload of one large file", "MB/s", "files", "file upload", {"raw": 1.4, "nginx": 0.9}, higher=True,
        about="raw: write(2); nginx: PUT"),
    Row("small_reads_per_s", "1 KiB reads a second, 16 connections", "/s", "files", "1 KiB reads/s", {"nginx": 1.3}, higher=True),
    Row("small_writes_per_s", "1 KiB writes a second, 8 clients", "/s", "files", "1 KiB writes/s", {"nginx": 1.0}, higher=True,
        about="raw: create, write, close; nginx: PUT"),
    Row("list_ms", "list a large directory", "ms", "files", "list 10 k", {"raw": 2.0}, about="raw: readdir and lstat"),
    Row("search_ms", "search for a name", "ms", "files", "name search 50 k", {"raw": 1.0}, about="raw: one walk"),
    Row("pty_echo_ms", "terminal echo of one byte", "ms", "terminal", "PTY echo", {"raw": 2.5}, about="raw: the same shell in hand"),
    Row("pty_MBps", "terminal output", "MB/s", "terminal", "PTY output", {"raw": 1.5}, higher=True, about="as above"),
    Row("health_per_s", "health requests a second, 64 connections", "/s", "health", "health req/s, idle and under exec",
        {"nginx": 1.2}, higher=True),
    Row("health_p99_ms", "health p99, 64 connections", "ms", "health", "", {"nginx": 1.3}),
    Row("health_busy_per_s", "health requests a second while commands run", "/s", "health", "health req/s, idle and under exec", {"nginx": 1.2},
        higher=True),
    Row("health_busy_p99_ms", "health p99 while commands run", "ms", "health", "health p99 under exec", {"nginx": 1.3}),
    Row("proxied_ms", "HTTP proxy, GET of 1 KiB", "ms", "proxy", "HTTP proxy 1 KiB", {"raw": 4.0, "nginx": 0.8},
        about="raw: no proxy"),
    Row("ws_trip_ms", "WebSocket proxy, 64-byte round trip", "ms", "proxy", "WebSocket proxy", {"raw": 2.7}, about="raw: no proxy"),
    Row("ws_bulk_MBps", "WebSocket proxy, 256 KiB messages", "MB/s", "proxy", "WebSocket proxy", {"raw": 1.4}, higher=True,
        about="raw: no proxy"),
    Row("relay_trip_ms", "WebSocket to TCP relay, 64-byte round trip", "ms", "relay", "WebSocket to TCP relay", {"raw": 3.5},
        about="raw: plain TCP"),
    Row("relay_bulk_MBps", "WebSocket to TCP relay, much to the client", "MB/s", "relay", "WebSocket to TCP relay", {"raw": 2.0},
        higher=True, about="raw: plain TCP"),
    Row("cold_first_ms", "Python context, cold, create to first answer", "ms", "kernel", "context, cold", {"zmq": 1.05}, about=KERNEL),
    Row("zygote_first_ms", "Python context from the zygote, create to first answer", "ms", "kernel", "context from the zygote", {"zmq": 0.2}, about=KERNEL),
    Row("kernel_first_ms", "Python context from the pool, create to first answer", "ms", "kernel", "context from the pool", {"zmq": 0.05}, about=KERNEL),
    Row("kernel_sum_ms", "`1+1` in a warm context", "ms", "kernel", "`1+1`", {"zmq": 1.2}, about=KERNEL),
    Row("kernel_prints_ms", "10,000 prints", "ms", "kernel", "10 k prints", {"zmq": 1.1}, about=KERNEL),
    Row("kernel_interrupt_ms", "interrupt until the end is known", "ms", "kernel", "interrupt", {"zmq": 1.1}, about=KERNEL),
]
TARGETS = list(dict.fromkeys(row.target for row in ROWS if row.target))
LEAST_HELD, MOST_OVER = 24, 1.5  # what --check asks of the 30 targets: so many hold, none is over its limit by more
GROUPS = list(dict.fromkeys(row.group for row in ROWS))


@dataclass
class Size:
    rounds: int
    commands: int
    slice_s: float
    lines: int
    stream: int
    file: int
    entries: int
    tree: int
    echoes: int
    terminal: int
    trips: int
    bulk: int
    sums: int
    prints: int
    starts: int


FULL = Size(5, 60, 1.0, 30, 100_000_000, 1 << 30, 10_000, 50_000, 200, 8_000_000, 400, 128 << 20, 40, 10_000, 5)
QUICK = Size(2, 25, 0.3, 10, 30_000_000, 128 << 20, 2_000, 10_000, 60, 2_000_000, 200, 64 << 20, 10, 10_000, 3)
