"""Start and rest, measured and reported, not judged here (DESIGN 12): start to listening, idle PSS."""

import statistics
import subprocess
import time

from harness import processes
from harness.daemon import BINARY, Daemon, run_once


def test_start_to_listening_and_idle_memory(figure):
    starts, spawns, memory = [], [], []
    for _ in range(15):
        begun = time.perf_counter()
        run_once("--version")
        spawns.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        one = Daemon(python=False)
        one.wait_event("listener.open")
        starts.append(time.perf_counter() - begun)
        memory.append(processes.memory_kib(one.pid, "Pss"))
        one.stop()
    start, spawn = (1000 * statistics.median(values) for values in (starts, spawns))
    figure(f"start to listening: {start:.1f} ms median of 15 (spawn of --version: {spawn:.1f} ms, difference "
           f"{start - spawn:.1f} ms; budget 10 ms)")
    figure(f"idle PSS: {statistics.median(memory) / 1024:.1f} MiB; binary {BINARY.stat().st_size / 1e6:.1f} MB")


def test_true_through_post_command(daemon, figure):
    served, raw = [], []
    with daemon.wire() as wire:
        for _ in range(50):
            begun = time.perf_counter()
            wire.request("POST", "/command", body=b'{"command":"true"}')
            served.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            subprocess.run(["bash", "-c", "true"], check=True)
            raw.append(time.perf_counter() - begun)
    figure(f"true through POST /command: {1000 * statistics.median(served):.1f} ms, raw bash spawn from Python "
           f"{1000 * statistics.median(raw):.1f} ms (medians of 50)")
