"""The verdicts of scripts/bench and scripts/soak, from figures that are made up: what they call red is red."""

import importlib
import sys
from types import SimpleNamespace

import pytest

from harness.daemon import REPO


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(REPO / "bench"))
    try:
        names = ("rows", "report", "driver", "soak")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(REPO / "bench"))


def run(bench, samples, groups=None):
    """Results as of a run that saw these samples: {row: {target: [samples of a round]}}."""
    one = SimpleNamespace(samples=samples, options={"quick": False}, size=bench.rows.FULL, errors=[], notes=[], beats=[1.0, 1.0],
                          targets={"websockify": SimpleNamespace(role="peer"), "raw": SimpleNamespace(role="floor")})
    return bench.report.results(bench.rows.ROWS, one, groups or bench.rows.GROUPS)


def at(bench, factor, only=None):
    """Samples that put every row (or `only` those) at `factor` of its limit, the others well below."""
    samples = {}
    for row in bench.rows.ROWS:
        mine = factor if only is None or row.target in only else 0.5
        floors = {**row.p99, **row.limits}
        limit = min(floors.values(), default=row.absolute)
        value = 1 / (limit * mine) if row.higher else limit * mine
        samples[row.id] = {"execd": [[value]] * 3, **{floor: [[1.0]] * 3 for floor in floors}}
    return samples


def test_there_are_thirty_targets(bench):
    assert len(bench.rows.TARGETS) == 30
    assert all(row.limits or row.absolute is not None for row in bench.rows.ROWS)
    assert (bench.rows.LEAST_HELD, bench.rows.MOST_OVER) == (24, 1.5)


def test_all_hold(bench):
    found = run(bench, at(bench, 0.99))
    assert bench.report.unmet(found, True) == [] and bench.report.red_groups(found) == []
    assert bench.report.summary(found) == ["30 of 30 targets hold."]


@pytest.mark.parametrize("many, factor, fails", [(6, 1.4, False), (7, 1.4, True), (1, 1.6, True)])
def test_six_may_miss_and_none_by_much(bench, many, factor, fails):
    found = run(bench, at(bench, factor, bench.rows.TARGETS[:many]))
    assert bool(bench.report.unmet(found, True)) is fails
    assert len(bench.report.summary(found)) == 1 + many


def test_a_target_without_a_figure_is_not_held(bench):
    samples = at(bench, 0.9)
    del samples["relay_trip_ms"]["execd"]
    found = run(bench, samples)
    assert bench.report.unmet(found, True) == ["WebSocket to TCP relay: no figure"]
    assert bench.report.red_groups(found) == ["relay"]


def test_work_that_was_not_done_fails(bench):
    found = run(bench, at(bench, 0.9))
    found["errors"] = ["upload, execd: 5 bytes", "list, jupyter: 0 entries"]
    assert bench.report.unmet(found, True) == ["work that was not done: upload, execd: 5 bytes"]


def test_what_is_over_its_limit_is_red_only_when_it_is_twice(bench):
    first = run(bench, at(bench, 1.3, ["PTY echo", "interrupt"]))
    assert bench.report.red_groups(first) == ["terminal", "kernel"]
    bench.report.take_again(first, run(bench, at(bench, 1.2, ["interrupt"]), ["terminal", "kernel"]))
    assert bench.report.summary(first) == ["29 of 30 targets hold.", "- interrupt: 1.20 times its limit"]
    assert "again" in bench.report.markdown(first)


def test_a_ratio_is_taken_inside_a_round(bench):
    """The machine became slower from round to round; nothing about execd did."""
    row = next(row for row in bench.rows.ROWS if row.id == "pty_echo_ms")
    assert bench.report.ratio(row, [[1.0], [10.0], [100.0]], [[0.5], [5.0], [50.0]]) == 2
    assert bench.report.ratio(row, [[], [10.0], []], [[1.0], [5.0], [1.0]]) == 2


def test_the_table_shows_peers_and_p99(bench):
    samples = at(bench, 0.9)
    samples["relay_trip_ms"] = {"execd": [[1.0, 1.0, 7.0]], "raw": [[0.5, 0.5, 0.9]], "websockify": [[4.0, 4.0, 9.0]]}
    line = next(line for line in bench.report.markdown(run(bench, samples)).splitlines() if "relay, 64-byte" in line)
    assert "| 1 (7) ms | raw 0.5 (0.9) | raw 2 (≤ 3.5) | yes | websockify 4 (9) (0.25) |" in line


def test_arguments(bench):
    options = bench.driver.parse(["--quick", "--group=exec,files", "--group", "relay", "--peer", "theirs=run me --port {port}"])
    assert options["quick"] and options["groups"] == ["exec", "files", "relay"]
    assert options["peers"] == {"theirs": ["run", "me", "--port", "{port}"]}
    for wrong in (["--group", "nonsense"], ["--nonsense"], ["--out"], ["--peer", "x=command without its port"]):
        with pytest.raises(SystemExit):
            bench.driver.parse(wrong)


@pytest.mark.parametrize("values, grows", [([100 + i % 3 for i in range(60)], False), ([100 + i for i in range(60)], True),
                                           ([100] * 30 + [101] * 30, True), ([100] * 60, False)])
def test_growth(bench, values, grows):
    slope, p = bench.soak.trend(list(range(60)), values)
    assert (p < 0.01) is grows and (slope > 0.5) is (values[-1] - values[0] > 50)
