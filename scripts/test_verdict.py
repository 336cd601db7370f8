"""Adds up the result files of one run of scripts/test and judges the skipped tests.

usage: test_verdict.py <folder of JUnit XML files> <skips.txt> [step that failed without a result...]
       test_verdict.py --failed <result file of a GoogleTest program>
Writes verdict.txt into the folder; exits 1 unless everything passed. What failed in <name>.xml and passed when it was run
again alone, in <name>-again.xml, has passed and is named. The second form prints the filter that runs the failed again.
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def allowed_skips(path):
    """skips.txt: "<test id>  # <reason>" a line; a line without a reason allows nothing."""
    allowed = {}
    for line in path.read_text().splitlines():
        name, _, reason = line.partition("#")
        if name.strip() and reason.strip():
            allowed[name.strip()] = reason.strip()
    return allowed


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("status") == "notrun":
        return "skipped"
    return "passed"


def collect(folder):
    """(file stem, test id, outcome) of every test case; a file that cannot be read is a failure."""
    for path in sorted(folder.glob("*.xml")):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError:
            yield path.stem, "(the result file is broken)", "failed"
            continue
        for case in root.iter("testcase"):
            yield path.stem, f"{case.get('classname')}.{case.get('name')}", outcome(case)


def settled(results):
    """The same without the second runs, which decide what failed at first; and what only they made good."""
    results = list(results)
    again = {(stem.removesuffix("-again"), name): result for stem, name, result in results if stem.endswith("-again")}
    kept, mended = [], []
    for stem, name, result in results:
        if stem.endswith("-again"):
            continue
        if result == "failed" and again.get((stem, name)) == "passed":
            mended.append(f"{name} ({stem})")
            result = "passed"
        kept.append((stem, name, result))
    return kept, mended


def main():
    if sys.argv[1] == "--failed":
        cases = ElementTree.parse(sys.argv[2]).getroot().iter("testcase")
        print(":".join(f"{case.get('classname')}.{case.get('name')}" for case in cases if outcome(case) == "failed"))
        return 0
    folder, skips, broken = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    allowed = allowed_skips(skips)
    passed, excused, failures = 0, [], list(broken)
    kept, mended = settled(collect(folder))
    for stem, name, result in kept:
        if result == "passed":
            passed += 1
        elif result == "failed":
            failures.append(f"{name} ({stem})")
        elif name in allowed:
            excused.append(f"{name} ({stem}): {allowed[name]}")
        else:
            failures.append(f"{name} ({stem}) was skipped and tests/skips.txt gives no reason for it")
    lines = []
    if mended:
        lines += ["Passed only when run again alone:", *(f"  {one}" for one in mended)]
    if excused:
        lines += ["Skipped, with a reason:", *(f"  {one}" for one in excused)]
    if failures:
        lines += ["Failed:", *(f"  {one}" for one in failures)]
    lines.append(f"{passed} passed, {len(failures)} failed")
    (folder / "verdict.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[:-1]))
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
