"""DELETE /files, POST /files/mv, /files/permissions, /files/replace: opensandbox.md 1.8."""

import os

import pytest

from harness.wire import query


def done(answer):
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0"), answer


def failed(answer, status, code, start):
    assert answer.status == status, answer
    body = answer.json()
    assert body["code"] == code, body
    assert body["message"].startswith(start), body


def test_delete_files_links_and_missing_ones(daemon, work):
    (work / "a").write_text("")
    (work / "b").symlink_to("a")
    done(daemon.call("DELETE", query("/files", path=[f"{work}/b", f"{work}/gone", f"{work}/a"])))
    assert os.listdir(work) == []
    done(daemon.call("DELETE", "/files"))


def test_delete_refuses_directories(daemon, work):
    (work / "d").mkdir()
    (work / "z").write_text("")
    answer = daemon.call("DELETE", query("/files", path=[f"{work}/d", f"{work}/z"]))
    failed(answer, 500, "RUNTIME_ERROR", f"error removing file {work}/d. path is a directory: {work}/d")
    assert sorted(os.listdir(work)) == ["d", "z"]


def test_move_files_and_directories_making_parents(daemon, work):
    (work / "a").write_text("A")
    (work / "d").mkdir()
    (work / "d" / "x").write_text("X")
    body = [{"src": f"{work}/a", "dest": f"{work}/new/deep/b"}, {"src": f"{work}/d", "dest": f"{work}/e"}]
    done(daemon.call("POST", "/files/mv", json=body))
    assert (work / "new" / "deep" / "b").read_text() == "A"
    assert (work / "e" / "x").read_text() == "X"


def test_move_across_file_systems(daemon, work):
    assert os.stat("/dev/shm").st_dev != os.stat(work).st_dev
    source = f"/dev/shm/execd-conformance-{os.getpid()}"
    with open(source, "w", encoding="ascii") as out:
        out.write("data")
    os.chmod(source, 0o640)
    done(daemon.call("POST", "/files/mv", json=[{"src": source, "dest": f"{work}/moved"}]))
    assert (work / "moved").read_text() == "data"
    assert (work / "moved").stat().st_mode & 0o777 == 0o640
    assert not os.path.exists(source)


def test_move_refusals(daemon, work):
    (work / "a").write_text("A")
    (work / "b").write_text("B")
    failed(daemon.call("POST", "/files/mv", json=[{"src": f"{work}/gone", "dest": f"{work}/c"}]), 404,
           "FILE_NOT_FOUND", f"file not found. source path not found: {work}/gone: stat ")
    failed(daemon.call("POST", "/files/mv", json=[{"src": f"{work}/a", "dest": f"{work}/b"}]), 500,
           "RUNTIME_ERROR", f"error accessing file: destination path already exists: {work}/b")
    assert ((work / "a").read_text(), (work / "b").read_text()) == ("A", "B")
    failed(daemon.call("POST", "/files/mv", json={"src": "a"}), 400, "INVALID_REQUEST_BODY", "error parsing request")
    failed(daemon.call("POST", "/files/mv"), 400, "INVALID_REQUEST_BODY", "error parsing request")


def test_permissions(daemon, work):
    path = work / "f"
    path.write_text("")
    done(daemon.call("POST", "/files/permissions", json={
        str(path): {"mode": 640, "owner": "nobody", "group": None}}))
    assert (path.stat().st_mode & 0o777, path.stat().st_uid, path.stat().st_gid) == (0o640, 65534, 0)
    done(daemon.call("POST", "/files/permissions", json={str(path): {"mode": 0, "owner": "", "group": "root"}}))
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o640, 65534)


@pytest.mark.parametrize("permission", [{"mode": 888}, {"mode": 644, "owner": "no-such-account"}, {"mode": -1}])
def test_bad_permissions_are_500(daemon, work, permission):
    (work / "f").write_text("")
    failed(daemon.call("POST", "/files/permissions", json={f"{work}/f": permission}), 500, "RUNTIME_ERROR",
           f"error changing permissions for {work}/f. ")


def test_permissions_of_a_missing_file_are_500(daemon, work):
    failed(daemon.call("POST", "/files/permissions", json={f"{work}/gone": {"mode": 644}}), 500, "RUNTIME_ERROR",
           f"error changing permissions for {work}/gone. ")


def test_replace_all_occurrences(daemon, work):
    path = work / "f"
    path.write_text("one two one\nONE one")
    path.chmod(0o640)
    done(daemon.call("POST", "/files/replace", json={str(path): {"old": "one", "new": "1"}}))
    assert path.read_text() == "1 two 1\nONE 1"
    assert path.stat().st_mode & 0o777 == 0o640


def test_replace_verbose_counts(daemon, work):
    (work / "a").write_text("x.x")
    (work / "b").write_text("y")
    body = {f"{work}/a": {"old": "x", "new": ""}, f"{work}/b": {"old": "x", "new": "z"}}
    answer = daemon.call("POST", "/files/replace?verbose=true", json=body)
    assert answer.status == 200
    assert answer.json() == {f"{work}/a": {"replacedCount": 2}, f"{work}/b": {"replacedCount": 0}}
    assert (work / "a").read_text() == "."
    done(daemon.call("POST", "/files/replace?verbose=1", json={f"{work}/a": {"old": "q", "new": ""}}))


def test_replace_refusals(daemon, work):
    (work / "f").write_text("text")
    failed(daemon.call("POST", "/files/replace", json={f"{work}/f": {"old": "", "new": "x"}}), 400,
           "INVALID_REQUEST_BODY", "old content must not be empty")
    failed(daemon.call("POST", "/files/replace", json={f"{work}/gone": {"old": "", "new": "x"}}), 404,
           "FILE_NOT_FOUND", "file not found. ")
    assert daemon.call("POST", "/files/replace", json={str(work): {"old": "a", "new": "x"}}).status == 500
    assert (work / "f").read_text() == "text"


def test_sync_sdk_changes(sync_sdk, work):
    from opensandbox.models.filesystem import ContentReplaceEntry, MoveEntry, SetPermissionEntry

    (work / "a").write_text("old old")
    files = sync_sdk.files
    files.replace_contents([ContentReplaceEntry(path=f"{work}/a", old_content="old", new_content="new")])
    assert (work / "a").read_text() == "new new"
    results = files.replace_contents_detailed(
        [ContentReplaceEntry(path=f"{work}/a", old_content="new", new_content="n")])
    assert [(r.path, r.replaced_count) for r in results] == [(f"{work}/a", 2)]
    files.set_permissions([SetPermissionEntry(path=f"{work}/a", mode=600)])
    files.move_files([MoveEntry(src=f"{work}/a", dest=f"{work}/sub/b")])
    assert (work / "sub" / "b").stat().st_mode & 0o777 == 0o600
    files.delete_files([f"{work}/sub/b"])
    assert os.listdir(work / "sub") == []
