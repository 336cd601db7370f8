"""What an operator sees: a request id on every answer, a line for each request that failed, figures for Prometheus."""

import re

import pytest

from harness import processes
from harness.wire import Wire

SAMPLE = re.compile(r'([a-z_]+)(?:\{([^{}]*)\})? (-?[0-9.e+-]+|\+Inf|NaN)')


def scrape(one):
    """{(family, suffix and labels): value}; fails on a line that Prometheus would not take."""
    answer = one.call("GET", "/execd/v1/metrics")
    assert answer.status == 200, answer
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    types, values = {}, {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge", "histogram"), line
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = re.sub("_(bucket|sum|count)$", "", match[1])
            assert match[1] in types or types.get(name) == "histogram", line
            assert line.rsplit(" ", 1)[0] not in values, line
            values[line.rsplit(" ", 1)[0]] = float(match[3])
    return values


def test_figures_follow_what_happens(fresh_daemon):
    one = fresh_daemon()
    before = scrape(one)
    one.command("echo on; exit 3")
    one.call("GET", "/no/such/route")
    one.call("PUT", "/execd/v1/executions/one", json={"argv": ["/no/such/program"], "wait_ms": 5000})
    one.call("POST", "/execd/v1/executions", json={"shell": "sleep 300"})
    one.call("POST", "/session", json={})
    after = scrape(one)

    def grew(name):
        return after[name] - before.get(name, 0)

    assert grew('execd_http_requests_total{dialect="opensandbox",code="4xx"}') == 1
    assert grew('execd_http_requests_total{dialect="opensandbox",code="2xx"}') >= 2
    assert grew('execd_http_requests_total{dialect="execd",code="2xx"}') == 3
    assert grew('execd_executions_ended_total{verdict="exited"}') >= 1
    assert grew('execd_executions_ended_total{verdict="failed_to_start"}') == 1
    assert grew('execd_executions_running') >= 1
    assert grew('execd_sessions') == 1
    assert grew('execd_http_received_bytes_total') > 300
    assert grew('execd_http_sent_bytes_total') > len("on")
    assert grew('process_cpu_seconds_total') >= 0
    assert after['process_resident_memory_bytes'] > 1_000_000
    assert 5 < after['process_open_fds'] < 1000
    assert after['execd_loop_hold_seconds_count'] > before['execd_loop_hold_seconds_count']


def test_histograms_add_up(fresh_daemon):
    one = fresh_daemon()
    for _ in range(20):
        one.call("GET", "/ping")
    values = scrape(one)
    for name in ("execd_loop_hold_seconds", "execd_http_first_byte_seconds"):
        counts = [value for key, value in values.items()
                  if key.startswith(name + "_bucket") and ("dialect" not in key or '"opensandbox"' in key)]
        total = next(value for key, value in values.items()
                     if key.startswith(name + "_count") and ("dialect" not in key or '"opensandbox"' in key))
        assert counts == sorted(counts) and counts[-1] == total >= 20, name


def test_figures_need_the_token(fresh_daemon):
    one = fresh_daemon(env={"EXECD_ACCESS_TOKEN": "token-31"})
    with Wire(one.port) as wire:
        wire.send(b"GET /execd/v1/metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.response().status == 401


ASKED = [("GET", "/ping", None), ("GET", "/no/such/route", None), ("PUT", "/ping", None),
         ("POST", "/command", {"command": "echo on"}), ("POST", "/command", {"command": 5}),
         ("POST", "/files/search", {}), ("GET", "/proxy/1/x", None), ("GET", "/health", None)]


@pytest.mark.parametrize("method, path, body", ASKED, ids=[f"{method} {path} {body}" for method, path, body in ASKED])
def test_every_answer_names_its_request(daemon, method, path, body):
    options = {} if body is None else {"json": body}
    first = daemon.call(method, path, **options)
    again = daemon.call(method, path, **options)
    assert first.header("X-Request-Id") and again.header("X-Request-Id")
    assert first.header("X-Request-Id") != again.header("X-Request-Id")
    mine = daemon.call(method, path, headers=[("X-Request-Id", "mine-17.a:b_c")], **options)
    if not path.startswith("/health"):  # AgentRun's contract makes one for each of its answers
        assert mine.header("X-Request-Id") == "mine-17.a:b_c"
    odd = daemon.call(method, path, headers=[("X-Request-Id", "x" * 129)], **options)
    assert odd.header("X-Request-Id") and "xxx" not in odd.header("X-Request-Id")


def test_a_head_that_nobody_can_read_has_a_name_of_its_own(daemon):
    with daemon.wire() as wire:
        first = wire.request("GET", "/ping").header("X-Request-Id")
        wire.send(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n")
        refused = wire.response()
    assert refused.status == 431 and refused.header("X-Request-Id") not in (None, first)


def test_a_failed_request_is_one_line_with_its_id(fresh_daemon):
    one = fresh_daemon()
    one.call("GET", "/ping")
    answer = one.call("GET", "/proxy/1/secret-path?secret=query", headers=[("X-Request-Id", "trace-9")])
    assert answer.status == 502
    line = one.wait_event("http.failed")
    assert line["level"] == "warn"
    assert {key: line[key] for key in ("request_id", "dialect", "method", "status")} == {
        "request_id": "trace-9", "dialect": "opensandbox", "method": "GET", "status": 502}
    assert line["ms"] >= 0 and line["peer"] == "127.0.0.1" and line["operation"]
    one.call("GET", "/no/such/route")
    processes.eventually(lambda: len(failures(one)) == 2, what="both failures are in the log")
    assert [(each["status"], each["level"]) for each in failures(one)] == [(502, "warn"), (404, "info")]
    assert "secret" not in "\n".join(line for line in one.log if line)


def failures(one):
    return [event for event in one.events() if event.get("event") == "http.failed"]
