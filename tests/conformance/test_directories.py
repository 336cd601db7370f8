"""/directories and /directories/list: opensandbox.md 1.8."""

import os

import pytest

from harness.wire import query


@pytest.fixture
def tree(work):
    (work / "b" / "deep" / "er").mkdir(parents=True)
    (work / "a.txt").write_text("A")
    (work / "b" / "f").write_text("F")
    (work / "B").mkdir()
    (work / "link").symlink_to("b")
    return work


def listing(daemon, root, **fields):
    answer = daemon.call("GET", query("/directories/list", path=str(root), **fields))
    assert answer.status == 200, answer
    return [(os.path.relpath(row["path"], root), row["type"]) for row in answer.json()]


LEVEL_1 = [("B", "directory"), ("a.txt", "file"), ("b", "directory"), ("link", "symlink")]
LEVEL_2 = [("B", "directory"), ("a.txt", "file"), ("b", "directory"), ("b/deep", "directory"), ("b/f", "file"),
           ("link", "symlink")]


@pytest.mark.parametrize(("fields", "rows"), [
    ({}, LEVEL_1), ({"depth": 1}, LEVEL_1), ({"depth": 0}, []), ({"depth": 2}, LEVEL_2),
    ({"depth": 99}, LEVEL_2[:4] + [("b/deep/er", "directory")] + LEVEL_2[4:]),
])
def test_list_is_preorder_and_bytewise_sorted(daemon, tree, fields, rows):
    assert listing(daemon, tree, **fields) == rows


def test_an_empty_directory_is_an_empty_array(daemon, work):
    answer = daemon.call("GET", query("/directories/list", path=str(work)))
    assert (answer.status, answer.body) == (200, b"[]")


@pytest.mark.parametrize("depth", ["-1", "x", "1.5", ""])
def test_bad_depth(daemon, tree, depth):
    answer = daemon.call("GET", query("/directories/list", path=str(tree), depth=depth))
    if depth == "":
        assert answer.status in (200, 400)
        return
    assert answer.status == 400
    assert answer.json() == {"code": "INVALID_REQUEST_BODY", "message": f"invalid query parameter 'depth': {depth}"}


def test_list_refusals(daemon, tree):
    answer = daemon.call("GET", "/directories/list")
    assert (answer.status, answer.json()) == (
        400, {"code": "MISSING_QUERY", "message": "missing query parameter 'path'"})
    answer = daemon.call("GET", query("/directories/list", path=f"{tree}/gone"))
    assert (answer.status, answer.json()["code"]) == (404, "FILE_NOT_FOUND")
    answer = daemon.call("GET", query("/directories/list", path=f"{tree}/link"))
    assert answer.status == 400
    assert answer.json()["message"] == f"path is a symbolic link, refusing to traverse: {tree}/link"
    answer = daemon.call("GET", query("/directories/list", path=f"{tree}/a.txt"))
    assert answer.status == 400
    assert answer.json()["message"] == f"path is not a directory: {tree}/a.txt"


def test_ten_thousand_entries(daemon, work):
    for number in range(10_000):
        (work / f"{number:05}").touch()
    answer = daemon.call("GET", query("/directories/list", path=str(work)))
    assert [os.path.basename(row["path"]) for row in answer.json()] == [f"{n:05}" for n in range(10_000)]


def test_make_directories_with_permissions(daemon, work):
    body = {f"{work}/x/y": {"mode": 700, "owner": None, "group": None}, f"{work}/z": {"mode": 0}}
    answer = daemon.call("POST", "/directories", json=body)
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
    assert (work / "x" / "y").stat().st_mode & 0o777 == 0o700
    assert (work / "x").stat().st_mode & 0o777 == 0o777 & ~umask(daemon)
    assert (work / "z").is_dir()


def umask(daemon):
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)


def test_an_existing_directory_is_left_as_it_is(daemon, work):
    (work / "d").mkdir(mode=0o711)
    assert daemon.call("POST", "/directories", json={f"{work}/d": {"mode": 755}}).status == 200
    assert (work / "d").stat().st_mode & 0o777 == 0o711


def test_make_where_a_file_is(daemon, work):
    (work / "f").write_text("")
    answer = daemon.call("POST", "/directories", json={f"{work}/f": {"mode": 755}})
    assert answer.status == 500
    assert answer.json()["message"].startswith("error accessing file: ")
    assert daemon.call("POST", "/directories", body=b"[]").status == 400


def test_delete_is_recursive_and_lenient(daemon, tree):
    (tree / "b" / "outside").symlink_to("/etc")
    targets = [f"{tree}/b", f"{tree}/gone", f"{tree}/a.txt", f"{tree}/link"]
    answer = daemon.call("DELETE", query("/directories", path=targets))
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
    assert os.listdir(tree) == ["B"]
    assert os.path.exists("/etc/passwd")


def test_sync_sdk_directories(sync_sdk, work):
    from opensandbox.models.filesystem import DirectoryListEntry, WriteEntry

    files = sync_sdk.files
    files.create_directories([WriteEntry(path=f"{work}/made/deep", mode=750)])
    assert (work / "made" / "deep").stat().st_mode & 0o777 == 0o750
    found = files.list_directory(DirectoryListEntry(path=str(work), depth=2))
    assert [(e.path, e.entry_type) for e in found] == [
        (f"{work}/made", "directory"), (f"{work}/made/deep", "directory")]
    files.delete_directories([f"{work}/made"])
    assert files.list_directory(DirectoryListEntry(path=str(work))) == []
