"""What `gitignore: true` leaves out is what git leaves out: random trees and rules, git itself as the judge.

One difference is meant: `?` and `[...]` stand for a character here, as in ripgrep, and for a byte in git.
"""

import os
import random
import subprocess

BASE = "/execd/v1/files"

NAMES = ["a", "b", "ab", "a.o", "b.c", "build", "lib", "x y", "#h", "!n", "[z]", "éé"]
PIECES = ["a", "b", "*", "?", "**", "[ab]", "[!a]", "*.o", "*.c", "build", "lib", "x\\ y", "\\#h", "\\!n", "\\[z\\]",
          "éé", "a*", "[a-c]", "***"]


def rule(pick):
    text = "/".join(pick.choice(PIECES) for _ in range(pick.choice([1, 1, 1, 2, 3])))
    text = pick.choice(["", "", "", "/"]) + text + pick.choice(["", "", "/", "  ", "\\ "])
    return pick.choice(["", "", "", "!"]) + text


def grow(pick, folder, depth):
    os.makedirs(folder, exist_ok=True)
    for name in pick.sample(NAMES, 5):
        path = os.path.join(folder, name)
        if depth and pick.random() < 0.5:
            grow(pick, path, depth - 1)
        else:
            with open(path, "w"):
                pass
    if pick.random() < 0.4 or depth == 2:
        with open(os.path.join(folder, ".gitignore"), "w") as out:
            out.write("".join(rule(pick) + "\n" for _ in range(pick.randint(1, 4))))
            out.write(pick.choice(["", "# a comment\n", "\n", "\r\n"]))


def test_as_git_itself(daemon, work):
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
    for seed in range(80):
        pick = random.Random(seed)
        tree = work / str(seed)
        grow(pick, str(tree), 2)
        subprocess.run(["git", "init", "-q", str(tree)], env=environment, check=True)
        listed = subprocess.run(["git", "-C", str(tree), "ls-files", "-z", "--others", "--exclude-standard"],
                                env=environment, check=True, capture_output=True).stdout
        expected = sorted(os.fsdecode(name) for name in listed.split(b"\0") if name)
        answer = daemon.call("POST", f"{BASE}/find", json={"path": str(tree), "gitignore": True, "exclude": [".git"]})
        assert answer.status == 200, answer
        got = sorted(os.path.relpath(e["path"], tree) for e in answer.json()["entries"])
        rules = {str(f.relative_to(tree)): f.read_text() for f in tree.rglob(".gitignore")}
        assert got == expected, (seed, rules)
