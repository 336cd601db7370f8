"""What goes wrong with files: clients killed in the middle, full disks, read-only mounts, files that are none."""

import contextlib
import os
import select
import socket
import subprocess
import threading

import pytest

from harness import processes
from harness.dead_mount import DeadMount
from harness.wire import build, query
from test_files_upload import FORM, form, metadata, ok, part, upload

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


@contextlib.contextmanager
def mounted(folder, options):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_client_killed_at_every_byte_of_an_upload(daemon, work):
    target = work / "file"
    body = form(metadata(target, mode=644), part("file", b"the new file"))
    ok(upload(daemon, body))  # what the first upload opens for good is open now: the table of mounts
    target.write_bytes(b"the old file")
    request = build("POST", "/files/upload", [*FORM, *daemon.headers], body)
    before = processes.open_fds(daemon.pid)
    for size in range(len(request)):
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            client.sendall(request[:size])
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        assert target.read_bytes() == b"the old file", size
    processes.eventually(lambda: os.listdir(work) == ["file"], what="no temporary file")
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before, what="no descriptor left")
    ok(upload(daemon, body))
    assert target.read_bytes() == b"the new file"


@ROOT
def test_a_full_disk_is_said_before_the_body_is_read(daemon, work):
    with mounted(work / "small", "size=1m") as small:
        (small / "file").write_text("old")
        body = form(metadata(small / "file"), part("file", bytes(8 << 20)))
        head = build("POST", "/files/upload", [*FORM, *daemon.headers], body)
        with daemon.wire() as wire:
            wire.send(head[:4096])  # the rest never comes
            answer = wire.response("POST")
        assert answer.status == 507, answer
        assert "no space left" in answer.json()["message"].lower()
        assert (small / "file").read_text() == "old"
        assert os.listdir(small) == ["file"]


@ROOT
def test_a_disk_that_fills_on_the_way_keeps_the_old_file(daemon, work):
    with mounted(work / "small", "size=1m") as small:
        (small / "file").write_text("old")
        parts = [metadata(small / "file"), part("file", bytes(2 << 20))]
        with daemon.wire() as wire:  # chunked: nobody can know how much will come
            body = form(*parts)
            wire.send(build("POST", "/files/upload", [*FORM, ("Transfer-Encoding", "chunked"), *daemon.headers]))
            wire.send(b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
            answer = wire.response("POST")
        assert answer.status == 507, answer
        assert (small / "file").read_text() == "old"
        processes.eventually(lambda: os.listdir(small) == ["file"], what="no temporary file")
        ok(upload(daemon, form(metadata(small / "file"), part("file", b"fits"))))


@ROOT
def test_a_read_only_mount(daemon, work):
    with mounted(work / "fixed", "size=1m") as fixed:
        (fixed / "file").write_text("old")
        subprocess.run(["mount", "-o", "remount,ro", str(fixed)], check=True)
        answers = [
            upload(daemon, form(metadata(fixed / "file"), part("file", b"new"))),
            upload(daemon, form(metadata(fixed / "other"), part("file", b"new"))),
            daemon.call("DELETE", query("/files", path=f"{fixed}/file")),
            daemon.call("POST", "/directories", json={f"{fixed}/dir": {"mode": 755}}),
            daemon.call("POST", "/files/mv", json=[{"src": f"{fixed}/file", "dest": f"{fixed}/moved"}]),
            daemon.call("POST", "/files/replace", json={f"{fixed}/file": {"old": "old", "new": "new"}}),
        ]
        for answer in answers:
            assert answer.status == 500, answer
            assert "read-only" in answer.json()["message"].lower(), answer
        assert os.listdir(fixed) == ["file"] and (fixed / "file").read_text() == "old"


DOWNLOADS = pytest.mark.parametrize("route", ["/files/download", "/filesystem/download"])


@DOWNLOADS
def test_a_file_deleted_while_it_is_sent_arrives_whole(daemon, work, route):
    content = os.urandom(1 << 20) * 24
    (work / "big").write_bytes(content)
    with daemon.wire() as wire:
        wire.send(build("GET", query(route, path=f"{work}/big"), daemon.headers))
        wire.head()
        (work / "big").unlink()
        assert wire.exactly(len(content)) == content


@DOWNLOADS
def test_a_file_that_grows_while_it_is_sent_arrives_as_it_was(daemon, work, route):
    content = os.urandom(1 << 20) * 24
    (work / "log").write_bytes(content)
    target = query(route, path=f"{work}/log")
    with daemon.wire() as wire:
        wire.send(build("GET", target, daemon.headers))
        assert wire.head().header("Content-Length") == str(len(content))
        with open(work / "log", "ab") as log:
            log.write(b"more" * 1000)
        assert wire.exactly(len(content)) == content
        # The connection goes on, and who follows the file asks for what has come since.
        if route == "/filesystem/download":  # in AgentRun there are no ranges: all of it
            assert wire.request("GET", target, daemon.headers).body == content + b"more" * 1000
            return
        answer = wire.request("GET", target, [("Range", f"bytes={len(content)}-"), *daemon.headers])
        assert (answer.status, answer.body) == (206, b"more" * 1000)
        assert answer.header("Content-Range") == f"bytes {len(content)}-{len(content) + 3999}/{len(content) + 4000}"
        answer = wire.request("GET", target, [("Range", f"bytes={len(content) + 4000}-"), *daemon.headers])
        assert answer.status == 416


DEAD_MOUNT = pytest.mark.skipif(os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK),
                                reason="mounts need root, and /dev/fuse")


@DEAD_MOUNT
def test_a_dead_mount_holds_only_its_own(daemon, work):
    (work / "alive").write_text("alive")
    with DeadMount(work / "dead") as dead, contextlib.ExitStack() as stack:
        (work / "link").symlink_to("dead")
        waiting = []
        for index in range(36):
            place = work / ("link" if index % 2 else "dead")
            request = [("GET", query("/files/download", path=f"{place}/file")),
                       ("GET", query("/directories/list", path=str(place))),
                       ("GET", query("/files/search", path=str(place))),
                       ("GET", query("/execd/v1/files/archive", path=f"{place}/file")),
                       ("POST", "/execd/v1/files/watches", b'{"path":"%s"}' % str(place).encode()),
                       ("POST", "/execd/v1/files/edit",
                        b'{"path":"%s/file","edits":[{"old":"a","new":"b"}]}' % str(place).encode())][index % 6]
            wire = stack.enter_context(daemon.wire())
            headers = [("Content-Type", "application/json"), *daemon.headers]
            wire.send(build(request[0], request[1], headers, *request[2:]))
            waiting.append(wire)
        # The files could be opened, it is their content that nobody answers.
        processes.eventually(lambda: dead.waiting >= 2, what="requests without an answer")
        with daemon.wire() as wire:
            for index in range(3):
                assert wire.request("GET", "/ping").status == 200
                answer = wire.request("GET", query("/files/download", path=f"{work}/alive"), daemon.headers)
                assert answer.body == b"alive"
                assert wire.request("GET", query("/files/search", path="/proc/self/fdinfo"),
                                    daemon.headers).status in (200, 404)
                ok(upload(daemon, form(metadata(work / f"new{index}"), part("file", bytes(3 << 20)))))
                tree = wire.request("GET", query("/execd/v1/files/archive", path=f"{work}/alive"), daemon.headers)
                assert tree.status == 200 and tree.body
                found = daemon.call("POST", "/execd/v1/files/search",
                                    json={"path": f"{work}/alive", "pattern": "alive"}).json()
                assert len(found["matches"]) == 1
        for wire in waiting:
            wire.reset()


@DOWNLOADS
def test_a_file_cut_while_it_is_sent_does_not_look_whole(daemon, work, route):
    (work / "big").write_bytes(bytes(64 << 20))
    with daemon.wire() as wire:
        wire.send(build("GET", query(route, path=f"{work}/big"), daemon.headers))
        wire.head()
        os.truncate(work / "big", 1000)
        received = 0
        with pytest.raises((AssertionError, OSError, EOFError)):
            for _ in range(64):
                received += len(wire.exactly(1 << 20))
        assert received < 64 << 20
    assert daemon.call("GET", "/ping").status == 200


@DOWNLOADS
def test_a_client_that_leaves_its_download_leaves_nothing(daemon, work, route):
    (work / "big").write_bytes(bytes(24 << 20))
    before = processes.open_fds(daemon.pid)
    for _ in range(5):
        with daemon.wire() as wire:
            wire.send(build("GET", query(route, path=f"{work}/big"), daemon.headers))
            wire.head()
            wire.reset()
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before, what="no descriptor left")
    assert daemon.call("GET", "/ping").status == 200


@DOWNLOADS
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_devices_are_no_downloads(daemon, device, route):
    answer = daemon.call("GET", query(route, path=device))
    assert answer.status in (400, 500), answer


def test_fifos_never_hold_anybody(daemon, work):
    os.mkfifo(work / "pipe")
    for index in range(20):
        for answer in (
            daemon.call("GET", query("/files/download", path=f"{work}/pipe")),
            daemon.call("POST", "/files/replace", json={f"{work}/pipe": {"old": "a", "new": "b"}}),
            upload(daemon, form(metadata(work / "pipe"), part("file", b"nobody reads"))),
        ):
            assert answer.status >= 400, (index, answer)
    rows = daemon.call("GET", query("/files/search", path=str(work))).json()
    assert [row["type"] for row in rows] == ["other"]


def test_a_fifo_with_a_reader_gets_the_bytes(daemon, work):
    os.mkfifo(work / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((work / "pipe").read_bytes()))
    reader.start()
    def ready():
        return any("pipe" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                   if os.path.islink(f"/proc/self/fd/{fd}"))
    # The reader's open waits for a writer: until then ours is refused and may be tried again.
    processes.eventually(lambda: upload(daemon, form(metadata(work / "pipe"), part("file", b"bytes"))).status == 200
                         or ready(), what="a reader")
    reader.join(10)
    assert got == [b"bytes"]


def test_readers_of_fifos_that_are_silent_hold_nobody_else(daemon, work):
    with contextlib.ExitStack() as stack:
        wires = []
        for index in range(12):
            pipe = work / f"pipe{index}"
            os.mkfifo(pipe)
            stack.callback(os.close, os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            wire = stack.enter_context(daemon.wire())
            wire.send(build("PUT", query("/execd/v1/files/content", path=str(pipe)), daemon.headers, bytes(400_000)))
            wires.append(wire)
        content = os.urandom(3 << 20)
        answer = daemon.call("PUT", query("/execd/v1/files/content", path=f"{work}/file"), body=content)
        assert answer.status == 201, answer
        # Held up by them it would have come behind the first that were given up.
        assert select.select([wire.sock for wire in wires], [], [], 0)[0] == []
        assert (work / "file").read_bytes() == content


@ROOT
def test_a_move_to_a_full_disk_says_so_and_keeps_the_file(daemon, work):
    (work / "big").write_bytes(bytes(3 << 20))
    with mounted(work / "small", "size=1m") as small:
        answer = daemon.call("POST", "/files/mv", json=[{"src": f"{work}/big", "dest": f"{small}/big"}])
        assert answer.status == 507, answer
        assert f"{small}/big" in answer.json()["message"] and ".execd" not in answer.json()["message"]
        assert os.listdir(small) == []
    assert (work / "big").stat().st_size == 3 << 20


def test_link_loops_and_long_names(daemon, work):
    (work / "a").symlink_to("b")
    (work / "b").symlink_to("a")
    answer = daemon.call("GET", query("/files/download", path=f"{work}/a"))
    assert answer.status == 500 and "symbolic links" in answer.json()["message"].lower()
    answer = upload(daemon, form(metadata(work / "a"), part("file", b"x")))
    assert answer.status == 500, answer
    answer = upload(daemon, form(metadata(work / ("n" * 300)), part("file", b"x")))
    assert answer.status == 500, answer
    assert sorted(os.listdir(work)) == ["a", "b"]


def test_names_with_newlines_and_dollars(daemon, work):
    for name in ("new\nline", "tab\tquote\"", "dollar\\$HOME", "  spaces  "):
        ok(upload(daemon, form(metadata(work / name), part("file", name.encode()))))
    assert "dollar$HOME" in os.listdir(work)
    assert (work / "new\nline").read_bytes() == b"new\nline"
    answer = upload(daemon, form(metadata(str(work) + "/nul\0x"), part("file", b"x")))
    assert answer.status == 500, answer
    assert not (work / "nul").exists()


def test_large_files_before_their_metadata_wait_on_the_disk(daemon, work):
    content = os.urandom(1 << 20) * 48
    before = processes.memory_kib(daemon.pid)
    ok(upload(daemon, form(part("file", content), metadata(work / "late"))))
    assert (work / "late").read_bytes() == content
    assert processes.memory_kib(daemon.pid) - before < 8 * 1024
    assert os.listdir(work) == ["late"]


@ROOT
def test_a_cancelled_identity_request_ends_its_worker(daemon, work):
    work.chmod(0o777)
    os.mkfifo(work / "pipe")
    answer = daemon.call("GET", query("/v1/filesystem/65534/65534/files/download", path=f"{work}/pipe"))
    assert answer.status >= 400
    with daemon.wire() as wire:
        wire.send(build("GET", query("/v1/filesystem/65534/65534/files/search", path="/", pattern="nobody*"),
                        daemon.headers))
        wire.reset()
    assert daemon.call("GET", query("/v1/filesystem/65534/65534/files/info", path="/")).status == 200
