"""GET /files/search: opensandbox.md 1.8, 10 (patterns with a slash match the relative path: our extension)."""

import os

import pytest

from harness.wire import query


@pytest.fixture
def tree(work):
    for name in ("b.txt", "a.py", ".hidden", "src/main.py", "src/deep/util.py", "src/x1.txt", "src/{odd}.md"):
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (work / "src" / "link.py").symlink_to("main.py")
    (work / "loop").symlink_to(".")
    return work


def search(daemon, root, pattern=None):
    fields = {"path": str(root), **({} if pattern is None else {"pattern": pattern})}
    answer = daemon.call("GET", query("/files/search", **fields))
    assert answer.status == 200, answer
    return [os.path.relpath(row["path"], root) for row in answer.json()]


@pytest.mark.parametrize(("pattern", "found"), [
    ("*.py", ["a.py", "src/deep/util.py", "src/link.py", "src/main.py"]), ("x?.txt", ["src/x1.txt"]),
    ("*.{txt,md}", ["b.txt", "src/x1.txt", "src/{odd}.md"]), ("[ab].*", ["a.py", "b.txt"]), ("[!a].txt", ["b.txt"]),
    ("[^a].txt", ["b.txt"]), ("x[0-9].txt", ["src/x1.txt"]), ("**/*.md", ["src/{odd}.md"]), ("A.PY", []),
    (r"\{odd}.md", ["src/{odd}.md"]), (".hid*", [".hidden"]), ("nothing*", []), ("util.py", ["src/deep/util.py"]),
])
def test_patterns_match_the_base_name(daemon, tree, pattern, found):
    assert sorted(search(daemon, tree, pattern)) == sorted(found)


def test_the_default_is_every_non_directory_in_lexical_order(daemon, tree):
    everything = [".hidden", "a.py", "b.txt", "loop", "src/deep/util.py", "src/link.py", "src/main.py", "src/x1.txt",
                  "src/{odd}.md"]
    assert search(daemon, tree) == everything
    assert search(daemon, tree, "*") == everything


def test_rows_are_file_infos(daemon, tree):
    row = daemon.call("GET", query("/files/search", path=str(tree), pattern="b.txt")).json()[0]
    assert (row["path"], row["type"], row["size"], row["owner"]) == (f"{tree}/b.txt", "file", 5, "root")
    row = daemon.call("GET", query("/files/search", path=str(tree), pattern="link.py")).json()[0]
    assert row["type"] == "symlink"


def test_a_file_as_root_is_matched_itself(daemon, tree):
    assert search(daemon, tree / "a.py", "*.py") == ["."]
    answer = daemon.call("GET", query("/files/search", path=f"{tree}/a.py", pattern="*.txt"))
    assert (answer.status, answer.body) == (200, b"[]")


def test_refusals(daemon, tree):
    answer = daemon.call("GET", "/files/search")
    assert (answer.status, answer.json()) == (
        400, {"code": "MISSING_QUERY", "message": "missing query parameter 'path'"})
    answer = daemon.call("GET", query("/files/search", path=f"{tree}/gone"))
    assert (answer.status, answer.json()["code"]) == (404, "FILE_NOT_FOUND")
    answer = daemon.call("GET", query("/files/search", path=str(tree), pattern="[a"))
    assert answer.status == 500
    assert answer.json()["message"].startswith("error searching files. ")


def test_sync_sdk_search(sync_sdk, tree):
    from opensandbox.models.filesystem import SearchEntry

    found = sync_sdk.files.search(SearchEntry(path=str(tree), pattern="*.txt"))
    assert sorted(os.path.basename(e.path) for e in found) == ["b.txt", "x1.txt"]
