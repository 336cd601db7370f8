"""GET /metrics and /metrics/watch: opensandbox.md 1.10."""

import json
import time


def check(row):
    assert set(row) >= {"cpu_count", "cpu_used_pct", "mem_total_mib", "mem_used_mib", "timestamp"}
    assert row["cpu_count"] >= 1 and 0 <= row["cpu_used_pct"] <= 100
    assert 0 < row["mem_used_mib"] < row["mem_total_mib"]
    assert isinstance(row["timestamp"], int) and abs(row["timestamp"] / 1000 - time.time()) < 60


def test_metrics_at_once(daemon):
    begun = time.monotonic()
    for _ in range(5):
        check(daemon.call("GET", "/metrics").json())
    assert time.monotonic() - begun < 1


def test_watch_sends_bare_lines(daemon):
    with daemon.wire() as wire:
        wire.send(b"GET /metrics/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.head().header("Content-Type") == "text/event-stream"
        for _ in range(2):
            line = wire.chunk()
            assert line.endswith(b"\n")
            check(json.loads(line))


def test_sync_sdk_metrics(sync_sdk):
    metrics = sync_sdk.metrics.get_metrics("x")
    assert metrics.cpu_count >= 1
