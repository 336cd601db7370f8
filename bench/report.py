"""From samples to ratios, verdicts, a table and a plot."""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from rows import GROUPS, LEAST_HELD, MOST_OVER, TARGETS

BEGIN, END = "<!-- bench: begin (scripts/bench --write) -->", "<!-- bench: end -->"


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def ratio(row, ours, theirs):
    """How many times worse than `theirs`, whichever way is better: inside each round, then the median."""
    pairs = []
    for mine, other in zip(ours, theirs):
        if mine and other:
            a, b = statistics.median(mine), statistics.median(other)
            if a > 0 and b > 0:
                pairs.append(b / a if row.higher else a / b)
    return statistics.median(pairs) if pairs else None


def facts(row, rounds):
    values = [value for one in rounds for value in one]
    if not values:
        return None
    worst = quantile(values, 0.01 if row.higher else 0.99)
    return {"p50": statistics.median(values), "p99": worst, "n": len(values)}


def results(rows, bench, groups, samples=None):
    """Facts and verdicts of the rows of these groups."""
    table = []
    for row in rows:
        if row.group not in groups:
            continue
        found = (bench.samples if samples is None else samples).get(row.id, {})
        entry = {"id": row.id, "title": row.title, "unit": row.unit, "group": row.group, "target": row.target, "higher": row.higher,
                 "about": row.about, "targets": {}, "checks": [], "peers": {}}
        for name, rounds in found.items():
            if fact := facts(row, rounds):
                entry["targets"][name] = fact
        entry["checks"] = checks(row, found, entry["targets"])
        for name, target in bench.targets.items():
            if target.role == "peer" and name in found and "execd" in found:
                entry["peers"][name] = ratio(row, found["execd"], found[name])
        table.append(entry)
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "quick": bench.options["quick"], "rounds": bench.size.rounds,
            "machine": f"{os.cpu_count()} processors ({processor()}), {platform.system()} {platform.release()}",
            "noise": quantile(bench.beats, 0.9) / min(bench.beats) if bench.beats else 1.0,
            "seconds": 0, "rows": table, "errors": bench.errors, "notes": bench.notes}


def checks(row, found, known):
    """[{against, ratio, limit, holds}]; without a figure holds is None."""
    out = []

    def check(against, got, limit):
        out.append({"against": against, "ratio": got, "limit": limit, "holds": None if got is None else got <= limit})
    for floor, limit in {**row.limits, **{name: limit for name, limit in row.maybe.items() if name in known}}.items():
        check(floor, ratio(row, found["execd"], found[floor]) if "execd" in known and floor in known else None, limit)
    for floor, limit in row.p99.items():
        check(floor + ", p99", known["execd"]["p99"] / known[floor]["p99"] if "execd" in known and floor in known else None, limit)
    if row.absolute is not None:
        check("", known["execd"]["p50"] if "execd" in known else None, row.absolute)
    return out


def red_groups(found):
    return list(dict.fromkeys(row["group"] for row in found["rows"] if row["target"] and
                              any(check["holds"] is not True for check in row["checks"])))


def take_again(found, second):
    """What was over its limit, or had no figure, gets the second run's verdict; both ratios stay."""
    again = {row["id"]: row for row in second["rows"]}
    for row in found["rows"]:
        other = again.get(row["id"])
        if not other:
            continue
        if not row["targets"].get("execd"):
            row.update(other)
            continue
        for mine, new in zip(row["checks"], other["checks"]):
            if mine["ratio"] is None:
                mine.update(new)
            elif not mine["holds"] and new["ratio"] is not None:
                mine["again"] = new["ratio"]
                mine["holds"] = mine["holds"] or new["holds"]


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def fact(one):
    return f"{number(one['p50'])} ({number(one['p99'])})" if one["n"] > 1 else number(one["p50"])


def shown(check):
    twice = f", again {number(check['again'])}" if "again" in check else ""
    return f"{check['against'] + ' ' if check['against'] else ''}{number(check['ratio'])}{twice} (≤ {check['limit']:g})"


def best(check):
    return min(check["ratio"], check.get("again", check["ratio"]))


def verdict(rows):
    """True, False, or None where a figure is missing; and the largest ratio to a limit, of the better run."""
    all_ = [check for row in rows for check in row["checks"]]
    over = [best(check) / check["limit"] for check in all_ if check["ratio"] is not None]
    holds = None if not all_ or any(check["holds"] is None for check in all_) else all(check["holds"] for check in all_)
    return holds, max(over, default=None)


def markdown(found):
    lines = [f"{found['date']}; {found['machine']}; {'quick, ' if found['quick'] else ''}{found['rounds']} rounds, "
             f"{found['seconds']} s, noise {found['noise']:.2f}x. Medians (p99, or p1 where more is better); a ratio says how many "
             "times worse than the floor, below 1 is better; peers: how many times worse than the peer.", "",
             "| what | execd | floors | ratio (limit) | holds | peers (execd ÷ peer) |", "|---|---|---|---|---|---|"]
    for row in found["rows"]:
        ours = row["targets"].get("execd")
        floors = [f"{name} {fact(one)}" for name, one in row["targets"].items() if name != "execd" and name not in row["peers"]]
        said = {True: "yes", False: "no", None: "–"}[verdict([row])[0]]
        peers = [f"{name} {fact(row['targets'][name])} ({number(value)})" for name, value in row["peers"].items()]
        mine = f"{fact(ours)} {row['unit']}" if ours else "not measured"
        ratios = ", ".join(shown(check) for check in row["checks"])
        lines.append(f"| {row['title']} | {mine} | {', '.join(floors) or '–'} | {ratios or '–'} | {said} | {', '.join(peers) or '–'} |")
    lines += ["", "Floors: " + "; ".join(dict.fromkeys(
        row["about"] for row in found["rows"] if row["about"] not in ("", "as above"))) + "."]
    for title, words in (("Errors", found["errors"]), ("Notes", found["notes"])):
        if words:
            lines += ["", f"{title}: " + "; ".join(dict.fromkeys(words)) + "."]
    return "\n".join(lines + ["", *summary(found)]) + "\n"


def by_target(found):
    """Each target's verdict, in order."""
    names = dict.fromkeys(row["target"] for row in found["rows"] if row["target"])
    return {name: verdict([row for row in found["rows"] if row["target"] == name]) for name in names}


def summary(found):
    """How many of the 30 targets hold, and which ones do not."""
    all_ = by_target(found)
    held = sum(1 for holds, _ in all_.values() if holds)
    lines = [f"{held} of {len(all_)} targets hold."]
    for name, (holds, over) in all_.items():
        if holds is None:
            lines.append(f"- {name}: no figure")
        elif not holds:
            lines.append(f"- {name}: {over:.2f} times its limit")
    return lines


def unmet(found, every):
    """Why --check fails, in words; nothing when it does not. `every`: the run had all groups."""
    all_ = by_target(found)
    held = sum(1 for holds, _ in all_.values() if holds)
    out = [f"{name}: no figure" for name, (holds, _) in all_.items() if holds is None]
    out += [f"{name}: {over:.2f} times its limit (at most {MOST_OVER:g})" for name, (_, over) in all_.items()
            if over is not None and over > MOST_OVER]
    spare = len(TARGETS) - LEAST_HELD
    if every and len(all_) != len(TARGETS):
        out.append(f"{len(all_)} targets were measured, {len(TARGETS)} there are")
    if len(all_) - held > spare:
        out.append(f"{held} of {len(all_)} targets hold; at most {spare} may miss")
    return out + [f"work that was not done: {words}" for words in found["errors"] if ", execd" in words]


def drawing():
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "execd"
    import matplotlib.pyplot
    return matplotlib.pyplot


def plot(found, file):
    pyplot = drawing()
    bars = [(f"{row['title'].replace('`', '')} ÷ {check['against'] or 'its own'}",
             best(check) / check["limit"], check["holds"])
            for row in found["rows"] for check in row["checks"] if check["ratio"]][::-1]
    if not bars:
        return
    figure, axes = pyplot.subplots(figsize=(9, 0.26 * len(bars) + 0.9))
    axes.barh(range(len(bars)), [bar[1] for bar in bars], color=["#4a7" if bar[2] else "#c54" for bar in bars])
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars], fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("ratio to the floor ÷ its limit (left of the line holds)", fontsize=8)
    axes.set_title(found["date"], fontsize=8)
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def plot_peers(found, file):
    """Medians of execd, floors and peers as times of execd's, so that rows of all units stand side by side."""
    pyplot = drawing()
    rows = [row for row in found["rows"] if row["targets"].get("execd") and len(row["targets"]) > 1][::-1]
    if not rows:
        return
    peers = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    figure, axes = pyplot.subplots(figsize=(9, 0.26 * len(rows) + 0.9))
    for kind, names, marker, colour in (("floor", None, "|", "#888"), *((name, [name], "o", None) for name in peers)):
        points = [(worse(row, one), place) for place, row in enumerate(rows) for name, one in row["targets"].items()
                  if name != "execd" and (name in names if names else name not in peers) and worse(row, one)]
        if points:
            axes.scatter(*zip(*points), label=kind, marker=marker, s=28 if marker == "o" else 80, color=colour, zorder=3)
    axes.set_yticks(range(len(rows)), [row["title"].replace("`", "") for row in rows], fontsize=7)
    axes.axvline(1, color="#4a7", linewidth=1.2, label="execd")
    axes.set_xscale("log")
    axes.grid(axis="x", linewidth=0.3)
    axes.set_xlabel("times execd's figure, worse to the right", fontsize=8)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def worse(row, one):
    """How many times worse than execd's median."""
    ours, theirs = row["targets"]["execd"]["p50"], one["p50"]
    if ours <= 0 or theirs <= 0:
        return None
    return ours / theirs if row["higher"] else theirs / ours


def publish(found, options, root):
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{out}.json").write_text(json.dumps(found, indent=1))
    text = markdown(found)
    Path(f"{out}.md").write_text(text)
    plot(found, f"{out}.svg")
    plot_peers(found, f"{out}-peers.svg")
    print(text)
    print(f"written: {out}.json, .md, .svg, -peers.svg")
    if options["write"]:
        page = root / "docs/performance.md"
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            sys.exit(f"{page} has no lines '{BEGIN}' and '{END}'")
        plots = "![ratios to the floors](bench.svg)\n\n![beside peers and floors](bench-peers.svg)"
        page.write_text(f"{before}{BEGIN}\n\n{text}\n{plots}\n\n{END}{after}")
        plot(found, root / "docs/bench.svg")
        plot_peers(found, root / "docs/bench-peers.svg")
    if not options["check"]:
        return 0
    reasons = unmet(found, set(options["groups"] or GROUPS) == set(GROUPS))
    for line in reasons:
        print(f"FAILED  {line}")
    return 1 if reasons else 0
