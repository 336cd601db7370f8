"""From samples to ratios, verdicts, a table and a plot."""

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

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


def results(rows, bench, groups, seconds):
    table = []
    for row in rows:
        if row.group not in groups:
            continue
        found = bench.samples.get(row.id, {})
        entry = {"id": row.id, "title": row.title, "unit": row.unit, "higher": row.higher, "about": row.about, "targets": {},
                 "checks": [], "peers": {}}
        for name, rounds in found.items():
            entry["targets"][name] = facts(row, rounds)
        ours = found.get("execd")
        if ours:
            for floor, limit in row.limits.items():
                got = ratio(row, ours, found[floor]) if floor in found else None
                entry["checks"].append({"against": floor, "ratio": got, "limit": limit,
                                        "holds": None if got is None else got <= limit})
            for floor, limit in row.p99.items():
                if floor in found:
                    got = entry["targets"]["execd"]["p99"] / entry["targets"][floor]["p99"]
                    entry["checks"].append({"against": floor + ", p99", "ratio": got, "limit": limit, "holds": got <= limit})
            if row.absolute is not None:
                got = entry["targets"]["execd"]["p50"]
                entry["checks"].append({"against": "", "ratio": got, "limit": row.absolute, "holds": got <= row.absolute})
            for name, target in bench.targets.items():
                if target.role == "peer" and name in found:
                    entry["peers"][name] = ratio(row, ours, found[name])
        table.append(entry)
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "quick": bench.options["quick"], "rounds": bench.size.rounds,
            "machine": f"{os.cpu_count()} processors ({processor()}), {platform.system()} {platform.release()}",
            "seconds": round(seconds), "rows": table, "errors": bench.errors, "notes": bench.notes}


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(found):
    lines = [f"{found['date']}; {found['machine']}; {'quick, ' if found['quick'] else ''}{found['rounds']} rounds, "
             f"{found['seconds']} s. Medians (p99); a ratio says how many times worse than the floor, below 1 is better.", "",
             "| what | execd | floors | ratio (limit) | holds | peers (execd ÷ peer) |", "|---|---|---|---|---|---|"]
    for row in found["rows"]:
        ours = row["targets"].get("execd")
        floors = [f"{name} {number(one['p50'])}" for name, one in row["targets"].items()
                  if one and name != "execd" and name not in row["peers"]]
        checks = row["checks"]
        ratios = [f"{check['against'] + ' ' if check['against'] else ''}{number(check['ratio'])} (≤ {check['limit']:g})"
                  for check in checks]
        verdict = "–" if not checks or any(check["holds"] is None for check in checks) else \
            "yes" if all(check["holds"] for check in checks) else "no"
        peers = [f"{name} {number(row['targets'][name]['p50'])} ({number(value)})" for name, value in row["peers"].items()]
        mine = f"{number(ours['p50'])} ({number(ours['p99'])}) {row['unit']}" if ours else "not measured"
        lines.append(f"| {row['title']} | {mine} | {', '.join(floors) or '–'} | {', '.join(ratios) or '–'} | {verdict} | "
                     f"{', '.join(peers) or '–'} |")
    held, missed, open_ = tally(found)
    lines += ["", f"{held} rows hold, {missed} miss, {open_} have no verdict. Floors: " + "; ".join(dict.fromkeys(
        row["about"] for row in found["rows"] if row["about"] not in ("", "as above"))) + "."]
    for title, words in (("Errors", found["errors"]), ("Notes", found["notes"])):
        if words:
            lines += ["", f"{title}: " + "; ".join(dict.fromkeys(words)) + "."]
    return "\n".join(lines) + "\n"


def tally(found):
    held = missed = open_ = 0
    for row in found["rows"]:
        holds = [check["holds"] for check in row["checks"]]
        if not holds or None in holds:
            open_ += 1
        elif all(holds):
            held += 1
        else:
            missed += 1
    return held, missed, open_


def plot(found, file):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "execd"
    import matplotlib.pyplot as pyplot
    bars = [(f"{row['title'].replace('`', '')} ÷ {check['against']}", check["ratio"] / check["limit"], check["holds"])
            for row in found["rows"] for check in row["checks"] if check["ratio"] and check["against"]][::-1]
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


def publish(found, options, root):
    out = Path(options["out"])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1))
    text = markdown(found)
    out.with_suffix(".md").write_text(text)
    plot(found, out.with_suffix(".svg"))
    print(text)
    print(f"written: {out}.json, .md, .svg")
    if options["write"]:
        page = root / "docs/performance.md"
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            sys.exit(f"{page} has no lines '{BEGIN}' and '{END}'")
        page.write_text(f"{before}{BEGIN}\n\n{text}\n![ratios](bench.svg)\n\n{END}{after}")
        plot(found, root / "docs/bench.svg")
    missed = [f"{row['title']}: {number(check['ratio'])} of {check['against'] or 'its own'}, limit {check['limit']:g}"
              for row in found["rows"] for check in row["checks"] if check["holds"] is False]
    if options["check"]:
        silent = [row["title"] for row in found["rows"] if not row["targets"].get("execd") and "relay" not in row["id"]]
        for line in missed:
            print(f"MISSED  {line}")
        for line in silent:
            print(f"NO FIGURE  {line}")
        return 1 if missed or silent else 0
    return 0
