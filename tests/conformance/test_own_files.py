"""execd's own /execd/v1/files (docs/files.md): archives, whole files with digests, edits, searches, watches."""

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading

import pytest

from harness import processes
from harness.daemon import Daemon
from harness.wire import build, query
from test_files_faults import mounted

BASE = "/execd/v1/files"


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def put(daemon, path, body, headers=()):
    return daemon.call("PUT", path, body=body, headers=list(headers))


def test_a_directory_as_an_archive_that_other_tools_read(daemon, work):
    (work / "src" / "empty").mkdir(parents=True)
    (work / "src" / "a.txt").write_text("hello")
    (work / "src" / "dört").write_bytes(bytes(range(256)) * 5000)
    (work / "src" / "link").symlink_to("a.txt")
    answer = daemon.call("GET", query(f"{BASE}/archive", path=f"{work}/src", format="tar.gz"))
    assert (answer.status, answer.header("Content-Type")) == (200, "application/gzip")
    assert 'filename="src.tar.gz"' in answer.header("Content-Disposition")
    with tarfile.open(fileobj=io.BytesIO(answer.body), mode="r:gz") as tar:
        assert sorted(tar.getnames()) == ["a.txt", "dört", "empty", "link"]
        assert tar.extractfile("a.txt").read() == b"hello"
        assert tar.extractfile("dört").read() == bytes(range(256)) * 5000
        assert tar.getmember("link").linkname == "a.txt"


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst"])
def test_there_and_back(daemon, work, form):
    (work / "src" / "deep").mkdir(parents=True)
    (work / "src" / "deep" / "x").write_bytes(os.urandom(700_000))
    (work / "src" / "y").write_text("y")
    packed = daemon.call("GET", query(f"{BASE}/archive", path=f"{work}/src", format=form))
    digest = hashlib.sha256(packed.body).hexdigest()
    answer = put(daemon, query(f"{BASE}/archive", path=f"{work}/to", sha256=digest), packed.body)
    assert answer.status == 200, answer
    assert answer.json() == {"files": 2, "directories": 1, "links": 0, "bytes": 700_001, "skipped": 0}
    assert (work / "to" / "deep" / "x").read_bytes() == (work / "src" / "deep" / "x").read_bytes()


def test_bad_archives_write_nothing(daemon, work):
    good = tar_of([("a", b"x"), ("b", b"y" * 5000)])
    cases = [
        (tar_of([("a", b"x"), ("../evil", b"x")]), {}, 400),
        (good[:3000], {}, 400),
        (b"nothing of the kind", {}, 400),
        (good, {"sha256": "0" * 64}, 409),
        (gzip.compress(tar_of([("zeros", bytes(5_000_000))])), {"max_bytes": 1_000_000}, 413),
        (good, {"max_entries": 1}, 413),
    ]
    for body, options, status in cases:
        answer = put(daemon, query(f"{BASE}/archive", path=f"{work}/to", **options), body)
        assert answer.status == status, answer
        assert answer.json()["error"]["message"]
        assert not (work / "to").exists()
    assert not (work / "evil").exists()


def test_a_path_that_is_a_link(daemon, work):
    (work / "real").mkdir()
    (work / "real" / "f").write_text("needle")
    (work / "link").symlink_to("real")
    (work / "one").symlink_to("real/f")
    for path in (f"{work}/link", f"{work}/link/"):
        hits = daemon.call("POST", f"{BASE}/search", json={"path": path, "pattern": "needle"}).json()
        assert [hit["file"] for hit in hits["matches"]] == [f"{work}/link/f"]
        rows = daemon.call("POST", f"{BASE}/find", json={"path": path}).json()["entries"]
        assert [row["path"] for row in rows] == [f"{work}/link/f"]
        packed = daemon.call("GET", query(f"{BASE}/archive", path=path, format="tar")).body
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            assert tar.getnames() == ["f"]
    assert daemon.call("POST", f"{BASE}/search", json={"path": f"{work}/one", "pattern": "needle"}).json()["matches"]
    packed = daemon.call("GET", query(f"{BASE}/archive", path=f"{work}/one", format="tar")).body
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.extractfile("one").read() == b"needle"


def test_archive_refusals(daemon, work):
    os.mkfifo(work / "pipe")
    for path in (work / "pipe", "/dev/zero"):
        answer = daemon.call("GET", query(f"{BASE}/archive", path=str(path)))
        assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_path")
    assert daemon.call("GET", query(f"{BASE}/archive", path=f"{work}/gone")).status == 404
    assert daemon.call("GET", query(f"{BASE}/archive", path=str(work), format="zip")).status == 400
    assert daemon.call("GET", f"{BASE}/archive").status == 400


def test_whole_files_with_length_digest_and_mode(daemon, work):
    body = os.urandom(1_000_000)
    digest = hashlib.sha256(body).hexdigest()
    target = query(f"{BASE}/content", path=f"{work}/new/file", sha256=digest.upper(), mode="0640")
    answer = put(daemon, target, body)
    assert (answer.status, answer.json()["created"], answer.json()["size"]) == (201, True, len(body))
    assert (work / "new" / "file").read_bytes() == body
    assert (work / "new" / "file").stat().st_mode & 0o777 == 0o640
    assert put(daemon, query(f"{BASE}/content", path=f"{work}/new/file"), b"second").status == 200
    answer = put(daemon, target, b"other")
    assert (answer.status, answer.json()["error"]["code"]) == (409, "conflict")
    assert (work / "new" / "file").read_bytes() == b"second"
    assert put(daemon, query(f"{BASE}/content", path=f"{work}/new/file", create_only="true"), b"x").status == 409
    assert sorted(os.listdir(work / "new")) == ["file"]


def test_edit_with_expectations_and_difference(daemon, work):
    (work / "f").write_text("one\ntwo\nthree\n")
    body = {"path": f"{work}/f", "edits": [{"old": "two", "new": "2", "unique": True}]}
    dry = daemon.call("POST", f"{BASE}/edit", json={**body, "dry": True}).json()
    assert (work / "f").read_text() == "one\ntwo\nthree\n"
    assert "-two\n+2\n" in dry["diff"]
    done = daemon.call("POST", f"{BASE}/edit", json=body).json()
    assert (done["replaced"], done["sha256"]) == (1, hashlib.sha256(b"one\n2\nthree\n").hexdigest())
    body["edits"] = [{"old": "one", "new": "1"}]
    assert daemon.call("POST", f"{BASE}/edit", json={**body, "expected_sha256": "0" * 64}).status == 409
    assert daemon.call("POST", f"{BASE}/edit", json={**body, "expected_mtime_ns": 1}).status == 409
    answer = daemon.call("POST", f"{BASE}/edit", json={**body, "edits": [{"old": "gone", "new": ""}]})
    assert answer.status == 404
    answer = daemon.call("POST", f"{BASE}/edit", json={**body, "nonsense": 1})
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_argument")
    assert (work / "f").read_text() == "one\n2\nthree\n"


def test_the_editor_tool(daemon, work):
    def tool(**request):
        return daemon.call("POST", f"{BASE}/editor", json={"path": f"{work}/f.py", **request}).json()

    assert tool(command="create", file_text="a = 1\nb = 2\n")["output"] == (
        f"File created successfully at: {work}/f.py")
    seen = tool(command="view")
    assert seen["output"].startswith(f"Here's the result of running `cat -n` on {work}/f.py:\n     1\ta = 1\n")
    edited = tool(command="str_replace", old_str="b = 2", new_str="b = 3")
    assert "has been edited. Here's the result of running `cat -n` on a snippet of" in edited["output"]
    assert (edited["old_content"], edited["new_content"]) == ("a = 1\nb = 2\n", "a = 1\nb = 3\n")
    assert "did not appear verbatim" in tool(command="str_replace", old_str="zzz", new_str="")["error"]
    tool(command="insert", insert_line=0, new_str="# top")
    assert (work / "f.py").read_text() == "# top\na = 1\nb = 3\n"
    assert "undone successfully" in tool(command="undo_edit")["output"]
    assert (work / "f.py").read_text() == "a = 1\nb = 3\n"


def test_text_in_its_encodings(daemon, work):
    for name, codec in (("utf-16-le", "utf-16-le"), ("utf-8-sig", "utf-8-sig"), ("latin-1", "latin-1")):
        body = {"path": f"{work}/t", "text": "größe\nzwei\n", "encoding": name}
        assert daemon.call("PUT", f"{BASE}/text", json=body).status == 200
        raw = (work / "t").read_bytes()
        assert raw.decode(codec).lstrip("\ufeff") == "größe\nzwei\n"
        got = daemon.call("GET", query(f"{BASE}/text", path=f"{work}/t", encoding=name, begin=1)).json()
        assert (got["text"], got["lines"]) == ("zwei\n", 2)
    append = {"path": f"{work}/log", "text": "x\n", "append": True}
    for _ in range(3):
        assert daemon.call("PUT", f"{BASE}/text", json=append).status == 200
    assert (work / "log").read_text() == "x\nx\nx\n"
    (work / "bin").write_bytes(b"\x00\xff")
    got = daemon.call("GET", query(f"{BASE}/text", path=f"{work}/bin")).json()
    assert (got["encoding"], base64.b64decode(got["text"])) == ("base64", b"\x00\xff")
    bad = {"path": f"{work}/t", "text": "日", "encoding": "latin-1"}
    assert daemon.call("PUT", f"{BASE}/text", json=bad).status == 400


def at_once(daemon, requests):
    """The answers to requests that are all sent before any is read."""
    with contextlib.ExitStack() as stack:
        wires = []
        for method, path, body in requests:
            wire = stack.enter_context(daemon.wire())
            text = json.dumps(body).encode()
            wire.send(build(method, path, [("Content-Type", "application/json"), *daemon.headers], text))
            wires.append((wire, method))
        return [wire.response(method) for wire, method in wires]


def test_one_of_many_with_the_same_expectation_wins(daemon, work):
    for _ in range(5):
        (work / "f").write_text("start")
        digest = hashlib.sha256(b"start").hexdigest()
        answers = at_once(daemon, [("POST", f"{BASE}/edit", {
            "path": f"{work}/f", "expected_sha256": digest, "edits": [{"old": "start", "new": f"by {index}"}],
        }) for index in range(16)])
        assert sorted(answer.status for answer in answers) == [200] + [409] * 15


def test_changes_of_one_file_at_the_same_time_are_all_kept(daemon, work):
    (work / "f").write_text("".join(f"<{index}>\n" for index in range(24)))
    requests = []
    for index in range(24):
        old, new = f"<{index}>", f"[{index}]"
        requests.append([
            ("POST", f"{BASE}/edit", {"path": f"{work}/f", "edits": [{"old": old, "new": new}]}),
            ("POST", f"{BASE}/editor", {"path": f"{work}/f", "command": "str_replace", "old_str": old, "new_str": new}),
            ("POST", "/files/replace", {f"{work}/f": {"old": old, "new": new}}),
        ][index % 3])
    for answer in at_once(daemon, requests):
        assert answer.status == 200, answer
        assert b'"error":"' not in answer.body
    assert (work / "f").read_text() == "".join(f"[{index}]\n" for index in range(24))


def test_latin_1_is_edited_where_it_is_asked_for(daemon, work):
    (work / "f").write_bytes("größe\n".encode("latin-1"))
    body = {"path": f"{work}/f", "edits": [{"old": "größe", "new": "maß"}]}
    assert daemon.call("POST", f"{BASE}/edit", json=body).status == 404
    assert daemon.call("POST", f"{BASE}/edit", json={**body, "encoding": "latin-1"}).status == 200
    assert (work / "f").read_bytes() == "maß\n".encode("latin-1")
    (work / "bytes").write_bytes(b"0123456789")
    got = daemon.call("GET", query(f"{BASE}/text", path=f"{work}/bytes", offset=2, length=3)).json()
    assert got["text"] == "234"


def test_the_editor_tool_says_what_is_wrong_with_a_request(daemon, work):
    (work / "f").write_text("one\n")
    answer = daemon.call("POST", f"{BASE}/editor", json={"command": "rename", "path": f"{work}/f"})
    assert answer.status == 200 and answer.json()["error"].startswith("Unrecognized command rename. The allowed")
    answer = daemon.call("POST", f"{BASE}/editor", json={"command": "view", "path": f"{work}/f", "view_range": [1, 2, 3]})
    assert answer.json()["error"].endswith("It should be a list of two integers.")


def test_a_search_ends_at_its_time_within_one_file(daemon, work):
    (work / "large").write_bytes((b"a" * 30_000 + b"\n") * 200)
    body = {"path": f"{work}/large", "pattern": "(.)(.).*\\2\\1x", "max_ms": 50}
    answer = daemon.call("POST", f"{BASE}/search", json=body)
    assert answer.status == 200, answer
    assert answer.json()["truncated"] or answer.json()["too_hard"]


def test_errors_have_their_names(daemon, work):
    (work / "file").write_text("x")
    (work / "binary").write_bytes(b"\xff\xfe\x00")
    (work / "loop").symlink_to("loop")
    os.mkfifo(work / "pipe")

    def text(path, **more):
        return daemon.call("GET", query(f"{BASE}/text", path=path, **more))

    cases = [
        (text(f"{work}/none"), 404, "not_found", "ENOENT"),
        (text(str(work)), 400, "is_a_directory", "EISDIR"),
        (text(f"{work}/file/x"), 400, "not_a_directory", "ENOTDIR"),
        (text(f"{work}/loop"), 400, "invalid_path", "ELOOP"),
        (text(f"{work}/" + "n" * 300), 400, "invalid_path", "ENAMETOOLONG"),
        (text(f"{work}/a\0b"), 400, "invalid_path", None),
        (text(f"{work}/pipe"), 400, "invalid_path", None),
        (text(f"{work}/binary", encoding="utf-16-le"), 400, "decode_error", None),
        (put(daemon, query(f"{BASE}/content", path=f"{work}/file", create_only="true"), b"y"), 409,
         "already_exists", "EEXIST"),
        (daemon.call("GET", query(f"{BASE}/archive", path=f"{work}/none")), 404, "not_found", "ENOENT"),
        (daemon.call("POST", f"{BASE}/watches", json={"path": f"{work}/none/deeper"}), 404, "not_found", "ENOENT"),
    ]
    for answer, status, code, name in cases:
        error = answer.json()["error"]
        assert (answer.status, error["code"], error.get("errno_name")) == (status, code, name), error
        assert ("errno" in error) == (name is not None)
    assert text(f"{work}/none").json()["error"]["path"] == f"{work}/none"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_and_a_read_only_one(daemon, work):
    with mounted(work / "small", "size=1m") as small:
        (small / "file").write_text("old")
        answer = put(daemon, query(f"{BASE}/content", path=f"{small}/file"), bytes(3 << 20))
        assert (answer.status, answer.json()["error"]["code"]) == (507, "no_space_left")
        answer = put(daemon, query(f"{BASE}/archive", path=f"{small}/to"), tar_of([("big", bytes(3 << 20))]))
        assert (answer.status, answer.json()["error"]["code"]) == (507, "no_space_left")
        assert os.listdir(small) == ["file"] and (small / "file").read_text() == "old"
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        for answer in (
            put(daemon, query(f"{BASE}/content", path=f"{small}/new"), b"x"),
            daemon.call("PUT", f"{BASE}/text", json={"path": f"{small}/file", "text": "x"}),
            daemon.call("POST", f"{BASE}/edit", json={"path": f"{small}/file", "edits": [{"old": "old", "new": "x"}]}),
            put(daemon, query(f"{BASE}/archive", path=f"{small}/to"), tar_of([("a", b"x")])),
        ):
            assert answer.json()["error"]["code"] == "read_only_filesystem", answer
        assert (small / "file").read_text() == "old"


@pytest.mark.parametrize("route", ["content", "archive"])
def test_a_client_killed_at_every_byte(daemon, work, route):
    body = b"the new file" if route == "content" else gzip.compress(tar_of([("a", b"the new file")]))
    request = build("PUT", query(f"{BASE}/{route}", path=f"{work}/target"), daemon.headers, body)
    before = processes.open_fds(daemon.pid)
    for size in range(len(request)):
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            client.sendall(request[:size])
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        assert os.listdir(work) == [], size
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before, what="no descriptor left")


def test_find_and_search(daemon, work):
    for name in ("src/a.py", "src/b.txt", "build/c.py", ".gitignore"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text("import os\nneedle here\nend\n")
    (work / ".gitignore").write_text("build/\n")
    (work / ".git").mkdir()
    found = daemon.call("POST", f"{BASE}/find", json={"path": str(work), "pattern": "*.py", "gitignore": True}).json()
    assert [e["path"] for e in found["entries"]] == [f"{work}/src/a.py"]
    assert found["entries"][0]["kind"] == "file" and found["truncated"] is False
    body = {"path": str(work), "pattern": "need.e", "types": ["py"], "before": 1, "after": 1}
    hits = daemon.call("POST", f"{BASE}/search", json=body).json()
    assert hits["matches"] == [{"file": f"{work}/src/a.py", "line": 2, "text": "needle here", "column": 0,
                                "length": 6, "before": ["import os"], "after": ["end"]}]
    few = daemon.call("POST", f"{BASE}/search", json={"path": str(work), "pattern": "e", "max_matches": 1}).json()
    assert (len(few["matches"]), few["truncated"], few["limit"]) == (1, True, "matches")
    answer = daemon.call("POST", f"{BASE}/search", json={"path": str(work), "pattern": "(unclosed"})
    assert answer.status == 400 and "parenthes" in answer.json()["error"]["message"]


def test_names_that_are_not_text_survive(daemon, work):
    name = os.path.join(os.fsencode(work), b"odd\xff\n$x")
    with open(name, "wb") as out:
        out.write(b"content")
    row = daemon.call("POST", f"{BASE}/find", json={"path": str(work)}).json()["entries"][0]
    raw = base64.b64decode(row["path_base64"])
    assert raw == name
    escaped = "".join(f"%{b:02x}" for b in raw)
    assert daemon.call("GET", f"{BASE}/text?path={escaped}").json()["text"] == "content"
    by_bytes = {"path_base64": row["path_base64"]}
    hit = daemon.call("POST", f"{BASE}/search", json={"path": str(work), "pattern": "content"}).json()["matches"][0]
    assert base64.b64decode(hit["file_base64"]) == name
    hits = daemon.call("POST", f"{BASE}/search", json={**by_bytes, "pattern": "content"}).json()
    assert (hits["files_searched"], len(hits["matches"])) == (1, 1)
    assert daemon.call("POST", f"{BASE}/edit", json={**by_bytes, "edits": [{"old": "content", "new": "new"}]}).status == 200
    tool = {**by_bytes, "command": "str_replace", "old_str": "new", "new_str": "newer"}
    assert "has been edited" in daemon.call("POST", f"{BASE}/editor", json=tool).json()["output"]
    written = daemon.call("PUT", f"{BASE}/text", json={**by_bytes, "text": "!", "append": True}).json()
    assert base64.b64decode(written["path_base64"]) == name
    with open(name, "rb") as file:
        assert file.read() == b"newer!"
    watch = daemon.call("POST", f"{BASE}/watches", json={**by_bytes, "debounce_ms": 10}).json()
    os.rename(name, name + b"2")
    os.rename(name + b"2", name)
    event = daemon.call("GET", f"{BASE}/watches/{watch['id']}?wait_ms=5000").json()["events"][0]
    assert base64.b64decode(event["path_base64"]) == name
    both = daemon.call("POST", f"{BASE}/watches", json={"path": str(work), "debounce_ms": 10}).json()
    os.rename(name, name + b"2")
    event = daemon.call("GET", f"{BASE}/watches/{both['id']}?wait_ms=5000").json()["events"][0]
    assert (base64.b64decode(event["old_path_base64"]), base64.b64decode(event["path_base64"])) == (name, name + b"2")
    for body in ({"path_base64": "*"}, {"path_base64": ""}, {}):
        answer = daemon.call("POST", f"{BASE}/search", json={**body, "pattern": "x"})
        assert (answer.status, answer.json()["error"]["code"] in ("invalid_argument", "invalid_path")) == (400, True)


def test_watch_with_cursor_and_resume(daemon, work):
    made = daemon.call("POST", f"{BASE}/watches", json={"path": str(work), "debounce_ms": 10})
    assert made.status == 201, made
    watch = made.json()
    assert watch["scanning"] is False
    url = f"{BASE}/watches/{watch['id']}"
    (work / "one").write_text("1")
    first = daemon.call("GET", f"{url}?cursor=0&wait_ms=5000").json()
    assert [(e["change"], e["path"]) for e in first["events"]] == [("create", f"{work}/one")]
    os.rename(work / "one", work / "two")
    second = daemon.call("GET", f"{url}?cursor={first['cursor']}&wait_ms=5000").json()
    assert [(e["change"], e["old_path"], e["path"]) for e in second["events"]] == [
        ("rename", f"{work}/one", f"{work}/two")]
    again = daemon.call("GET", f"{url}?cursor=0").json()
    assert [e["number"] for e in again["events"]] == [1, 2]
    assert daemon.call("GET", f"{url}?cursor=2&wait_ms=1").json()["events"] == []
    with daemon.wire() as wire:
        wire.send(f"GET {url}/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 1\r\n\r\n".encode())
        assert wire.head().header("Content-Type") == "text/event-stream"
        text = wire.chunk()
        while b"id: 2" not in text:
            text += wire.chunk()
        assert b"event: rename" in text and b"id: 1\n" not in text
    assert daemon.call("DELETE", url).status == 204
    assert daemon.call("GET", url).status == 404


def test_a_watch_says_when_the_kernel_dropped_events_and_goes_on(daemon, work):
    watch = daemon.call("POST", f"{BASE}/watches", json={"path": str(work), "debounce_ms": 10}).json()
    url = f"{BASE}/watches/{watch['id']}"
    with open("/proc/sys/fs/inotify/max_queued_events") as limit:
        events = int(limit.read()) + 500
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        for index in range(events // 2):  # two events each at least: made, deleted
            os.close(os.open(work / "file", os.O_CREAT | os.O_WRONLY))
            os.unlink(work / "file")
        (work / "deep").mkdir()  # among what was dropped
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    cursor, seen = 0, []
    while "overflow" not in seen:
        answer = daemon.call("GET", f"{url}?cursor={cursor}&wait_ms=10000").json()
        assert answer["events"], seen
        cursor, seen = answer["cursor"], seen + [event["change"] for event in answer["events"]]
    (work / "deep" / "after").write_text("x")
    paths = []
    while f"{work}/deep/after" not in paths:
        answer = daemon.call("GET", f"{url}?cursor={cursor}&wait_ms=10000").json()
        assert answer["events"], paths
        cursor, paths = answer["cursor"], paths + [event["path"] for event in answer["events"]]
    assert daemon.call("DELETE", url).status == 204


def test_wait_for_one_path(daemon, work):
    timer = threading.Timer(0.1, lambda: (work / "flag").write_text("x"))
    timer.start()
    answer = daemon.call("GET", query(f"{BASE}/wait", path=f"{work}/flag", timeout_ms=20_000)).json()
    timer.join()
    assert answer["met"] and answer["exists"]
    answer = daemon.call("GET", query(f"{BASE}/wait", path=f"{work}/never", timeout_ms=20)).json()
    assert not answer["met"] and not answer["exists"]
    gone = query(f"{BASE}/wait", path=f"{work}/never", timeout_ms=0, **{"for": "gone"})
    assert daemon.call("GET", gone).json()["met"]


def test_every_answer_is_json(daemon):
    for method, path in (("POST", "edit"), ("POST", "search"), ("POST", "watches"), ("PUT", "text")):
        answer = daemon.call(method, f"{BASE}/{path}", body=b"{")
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["code"] == "invalid_argument"


def test_scanning_where_inotify_is_exhausted_and_saying_so():
    limit = 'echo 1 > /proc/sys/user/max_inotify_watches && exec "$@"'
    if subprocess.run(["unshare", "-Ur", "sh", "-c", limit, "sh", "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    one = Daemon(wrapper=["unshare", "-Ur", "sh", "-c", limit, "sh"], python=False).listening()
    try:
        (one.work / "a" / "b").mkdir(parents=True)
        watch = one.call("POST", f"{BASE}/watches", json={"path": str(one.work), "debounce_ms": 10}).json()
        assert watch["scanning"] is True
        (one.work / "a" / "b" / "new").write_text("x")
        url = f"{BASE}/watches/{watch['id']}?cursor=0&wait_ms=10000"
        answer = one.call("GET", url).json()
        assert (f"{one.work}/a/b/new", "create") in [(e["path"], e["change"]) for e in answer["events"]]
        assert answer["scanning"] is True
    finally:
        one.stop()
