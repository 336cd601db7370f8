"""AgentRun's files by its published SDK: agentrun.md 5.1 to 5.3, 11.4, 11.5."""

import hashlib
import json
import os
import threading

import pytest
from agentrun.utils.exception import ClientError

from harness import agentrun
from harness.wire import build


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


@pytest.fixture
def sb(daemon):
    return agentrun.sandbox(daemon)


def test_write_and_read(sb, call, work):
    path = str(work / "new" / "deep" / "a.txt")
    assert call(sb.file, "write", path=path, content="héllo\nwörld\n") == {"path": path, "size": 14}
    assert os.stat(path).st_mode & 0o7777 == 0o644
    got = call(sb.file, "read", path=path)
    assert got["content"] == "héllo\nwörld\n" and got["encoding"] == "utf-8"
    assert (got["name"], got["type"], got["path"], got["size"], got["mode"]) == ("a.txt", "file", path, 14, 420)
    assert got["permissions"] == "-rw-r--r--" and got["entry"]["name"] == "a.txt" and got["modifiedTime"]


@pytest.mark.parametrize(("mode", "bits"), [("0600", 0o600), ("755", 0o755), (644, 0o644), (420, 0o644), ("0o640", 0o640)])
def test_modes_in_any_spelling(sb, work, mode, bits):
    sb.file.write(path=str(work / "m"), content="x", mode=mode)
    assert os.stat(work / "m").st_mode & 0o7777 == bits


def test_bytes_travel_as_base64(sb, call, work):
    path = str(work / "b.bin")
    call(sb.file, "write", path=path, content="AAH/gA==", encoding="base64")
    assert (work / "b.bin").read_bytes() == b"\x00\x01\xff\x80"
    got = call(sb.file, "read", path=path)
    assert (got["content"], got["encoding"], got["size"]) == ("AAH/gA==", "base64", 4)


def test_large_and_odd_texts(sb, call, work):
    for name, text in (("big", "0123456789" * 100_000), ("empty", ""), ("\u4f60 +&=#\u597d", "\U0001f600\r\n\t\x7f")):
        path = str(work / name)
        call(sb.file, "write", path=path, content=text)
        assert call(sb.file, "read", path=path)["content"] == text


def test_a_directory_that_may_not_be_made(sb, work):
    from agentrun.utils.exception import ClientError
    with pytest.raises(ClientError) as caught:
        sb.file.write(path=str(work / "no" / "x"), content="x", create_dir=False)
    assert caught.value.status_code == 404 and not (work / "no").exists()


def test_relative_paths_begin_at_home(daemon, sb, call):
    name = f"execd-relative-{os.getpid()}"
    written = call(sb.file, "write", path=name, content="home")
    try:
        assert os.path.dirname(written["path"]) in ("/home/user", str(daemon.home))
        assert call(sb.file, "read", path=written["path"])["content"] == "home"
        assert name in [entry["name"] for entry in call(sb.file_system, "list")["entries"]]
    finally:
        call(sb.file_system, "remove", path=name)
    assert not os.path.exists(written["path"])


def test_list(sb, call, work):
    (work / "d" / "e").mkdir(parents=True)
    (work / "d" / "f.txt").write_text("x")
    (work / "d" / "e" / "g").write_text("y")
    got = call(sb.file_system, "list", path=str(work / "d"))
    assert got["path"] == str(work / "d")
    assert [(e["name"], e["type"]) for e in got["entries"]] == [("e", "directory"), ("f.txt", "file")]
    deep = call(sb.file_system, "list", path=str(work / "d"), depth=2)
    assert [e["path"] for e in deep["entries"]] == [str(work / "d" / n) for n in ("e", "e/g", "f.txt")]
    array = call(sb.data_api, "get", "/filesystem", query={"path": str(work / "d"), "format": "array"})
    assert [e["name"] for e in array] == ["e", "f.txt"]


def test_stat(sb, call, work):
    (work / "f").write_text("12345")
    got = call(sb.file_system, "stat", path=str(work / "f"))
    assert got["size"] == 5 and got["mtime"] == int(os.stat(work / "f").st_mtime) and got["entry"]["size"] == 5
    (work / "link").symlink_to("f")
    (work / "dangling").symlink_to("nowhere")
    assert call(sb.file_system, "stat", path=str(work / "link"))["type"] == "file"
    assert call(sb.file_system, "stat", path=str(work / "dangling"))["type"] == "symlink"


def test_mkdir_is_idempotent(sb, call, work):
    path = str(work / "x" / "y")
    for _ in range(2):
        got = call(sb.file_system, "mkdir", path=path)
        assert got["entry"]["type"] == "directory" and got["path"] == path
    assert os.stat(path).st_mode & 0o7777 == 0o755


def test_move_is_idempotent(sb, call, work):
    (work / "from").mkdir()
    (work / "from" / "f").write_text("x")
    for _ in range(2):
        got = call(sb.file_system, "move", source=str(work / "from"), destination=str(work / "to" / "there"))
        assert got["entry"]["path"] == str(work / "to" / "there")
    assert (work / "to" / "there" / "f").read_text() == "x"


def test_remove_is_recursive_and_idempotent(sb, call, work):
    (work / "r" / "s").mkdir(parents=True)
    (work / "r" / "s" / "f").write_text("x")
    assert call(sb.file_system, "remove", path=str(work / "r"))["entry"]["type"] == "directory"
    assert not (work / "r").exists()
    assert call(sb.file_system, "remove", path=str(work / "r"))["entry"]["path"] == str(work / "r")
    from agentrun.utils.exception import ClientError
    with pytest.raises(ClientError):
        call(sb.file_system, "remove", path="/")


def test_upload_and_download_of_100_mb(sb, call, work, tmp_path):
    local = tmp_path / "local.bin"
    block = os.urandom(1 << 20)
    blocks = 101 if call.mode == "sync" else 3  # the same bytes on the wire
    with local.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
    target = str(work / "far" / "up.bin")
    assert call(sb.file_system, "upload", local_file_path=str(local), target_file_path=target) == {
        "path": target, "size": blocks << 20}
    saved = tmp_path / "saved.bin"
    got = call(sb.file_system, "download", path=target, save_path=str(saved))
    assert got == {"saved_path": str(saved), "size": blocks << 20}
    digests = {hashlib.file_digest(open(p, "rb"), "sha256").hexdigest() for p in (local, target, saved)}
    assert len(digests) == 1


def multipart(*parts):
    """(name, filename or None, bytes) ... as a body and its content type."""
    body = b""
    for name, filename, data in parts:
        body += b'--sep\r\nContent-Disposition: form-data; name="%s"' % name.encode()
        if filename is not None:
            body += b'; filename="%s"\r\nContent-Type: application/octet-stream' % filename.encode()
        body += b"\r\n\r\n" + data + b"\r\n"
    return body + b"--sep--\r\n", ("Content-Type", "multipart/form-data; boundary=sep")


def upload(daemon, *parts, target="/filesystem/upload"):
    body, kind = multipart(*parts)
    return daemon.call("POST", target, body, [kind])


def test_both_orders_of_the_parts(daemon, work):
    for name, size in (("small", 10), ("large", 3_000_000), ("over 100 MB", 101_000_000)):
        data = os.urandom(size)
        file, path = ("file", "local.name", data), ("path", None, str(work / name).encode())
        orders = ((path, file), (file, path), (("other", None, b"?"), file, path))
        for parts in orders if size < 100_000_000 else orders[1:2]:
            answer = upload(daemon, *parts)
            assert answer.status == 200, answer
            assert answer.json() == {"path": str(work / name), "size": size}
            assert (work / name).read_bytes() == data
            (work / name).unlink()


def test_without_a_path_the_name_counts(daemon, work):
    file = ("file", "../../sneaky.txt", b"x")
    answer = upload(daemon, ("current_path", None, str(work).encode()), file)
    assert answer.json()["path"] == str(work / "sneaky.txt")
    assert upload(daemon, ("path", None, f"{work}/sub/".encode()), file).json()["path"] == str(work / "sub/sneaky.txt")


def test_uploads_that_cannot_be_read(daemon, work):
    path = ("path", None, str(work / "never").encode())
    for parts in ((path,), (path, ("file", "a", b"1"), ("file", "b", b"2")), (("file", "", b"x"),)):
        answer = upload(daemon, *parts)
        assert answer.status == 400 and answer.json()["code"] == "INVALID_REQUEST", parts
    body, kind = multipart(path, ("file", "a", b"x" * 1000))
    assert daemon.call("POST", "/filesystem/upload", body[:-9], [kind]).status == 400
    assert daemon.call("POST", "/filesystem/upload", b"{}", [("Content-Type", "application/json")]).status == 400
    assert list(work.iterdir()) == []


def test_an_upload_that_is_cut_off_leaves_nothing(daemon, work):
    body, kind = multipart(("path", None, str(work / "cut").encode()), ("file", "a", b"x" * 100_000))
    with daemon.wire() as wire:
        wire.send(build("POST", "/filesystem/upload", [kind, ("Content-Length", str(len(body)))], b"", wire.host))
        wire.send(body[:60_000])
    assert daemon.call("GET", "/health").status == 200
    assert list(work.iterdir()) == []


def test_download_says_what_it_is(daemon, work):
    (work / "r\u00e9port.csv").write_bytes(b"a,b\n")
    answer = daemon.call("GET", f"/sandboxes/x/filesystem/download?path={work}/r%C3%A9port.csv")
    assert answer.status == 200 and answer.body == b"a,b\n"
    assert answer.header("Content-Type") == "text/csv; charset=utf-8" and answer.header("Content-Length") == "4"
    assert answer.header("Content-Disposition").startswith("attachment; filename=")
    assert daemon.call("GET", f"/filesystem/download?path={work}").status == 400
    assert daemon.call("GET", "/filesystem/download").status == 400
    assert b"Name:" in daemon.call("GET", "/filesystem/download?path=/proc/self/status").body


def test_a_plus_in_the_query_is_a_blank(daemon, work):
    (work / "a b").write_text("x")
    assert daemon.call("GET", f"/files?path={work}/a+b").json()["content"] == "x"


def test_the_path_of_a_get_in_its_body(daemon, work):
    (work / "f").write_text("body")
    assert daemon.call("GET", "/filesystem/download", json={"path": str(work / "f")}).body == b"body"
    assert daemon.call("GET", "/filesystem", json={"path": str(work)}).json()["path"] == str(work)


def test_many_at_once(daemon, work):
    said = []

    def one(number):
        sb = agentrun.sandbox(daemon)
        sb.file.write(path=str(work / "c" / f"{number}.txt"), content=str(number))
        said.append(sb.file.read(path=str(work / "c" / f"{number}.txt"))["content"] == str(number))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [True] * 8


def test_a_file_too_large_to_read_says_the_limit_and_the_way_out(daemon, sb, call, work):
    with open(work / "large", "wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ClientError) as caught:
        call(sb.file, "read", path=str(work / "large"))
    error = caught.value
    assert (error.status_code, error.error_code) == (413, "PAYLOAD_TOO_LARGE")
    for part in (str(work / "large"), "67108865", "67108864", "/filesystem/download"):
        assert part in error.message, error.message


def test_a_large_answer_has_its_length_and_keeps_the_connection_in_step(daemon, work):
    """It goes out in pieces, so that others are answered between them."""
    (work / "large").write_text("\u00e9" * 1_500_000)
    target = f"/files?path={work}/large"
    with daemon.wire() as wire:
        whole = wire.request("GET", target)
        assert whole.status == 200 and whole.header("Content-Length") == str(len(whole.body))
        assert whole.header("Transfer-Encoding") is None and len(json.loads(whole.body)["content"]) == 1_500_000
        head = wire.request("HEAD", target)
        assert head.status == 200 and head.body == b"" and head.header("Content-Length") in (None, str(len(whole.body)))
        assert wire.request("GET", "/health").json()["status"] in ("starting", "ok")
    with daemon.wire() as wire:  # who leaves in the middle leaves nothing behind
        wire.send(build("GET", target, daemon.headers))
        wire.head()
        wire.reset()
    assert daemon.call("GET", "/ping").status == 200


def test_both_streams_of_a_large_command_come_whole(sb):
    answer = sb.process.cmd(command="head -c 3000000 /dev/zero | tr '\\0' a; head -c 2000000 /dev/zero | tr '\\0' b >&2", cwd="/")
    assert answer["stdout"] == "a" * 3_000_000 == answer["result"]["stdout"]
    assert answer["stderr"] == "b" * 2_000_000 == answer["result"]["stderr"] and answer["exitCode"] == 0
