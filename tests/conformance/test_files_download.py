"""GET /files/download: opensandbox.md 1.8, 11, 13.8; opensandbox-1.1.md 10."""

import os
from email.utils import formatdate

import pytest

from harness import processes, sdk
from harness.wire import query

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def alphabet(work):
    path = work / "a.txt"
    path.write_bytes(ALPHABET)
    return path


def download(daemon, path, headers=(), **fields):
    return daemon.call("GET", query("/files/download", path=str(path), **fields), headers=headers)


def test_plain(daemon, alphabet):
    answer = download(daemon, alphabet)
    assert (answer.status, answer.body) == (200, ALPHABET)
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Content-Length") == "26"
    assert answer.header("Content-Disposition") == 'attachment; filename="a.txt"'
    assert answer.header("Accept-Ranges") == "bytes"
    assert answer.header("Last-Modified") == formatdate(int(alphabet.stat().st_mtime), usegmt=True)


def test_an_empty_file(daemon, work):
    (work / "empty").write_text("")
    answer = download(daemon, work / "empty")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")


@pytest.mark.parametrize(("wanted", "content", "described"), [
    ("bytes=0-9", ALPHABET[:10], "0-9/26"), ("bytes=10-", ALPHABET[10:], "10-25/26"),
    ("bytes=-5", ALPHABET[-5:], "21-25/26"), ("bytes=0-0", b"a", "0-0/26"), ("bytes=25-25", b"z", "25-25/26"),
    ("bytes=20-999", ALPHABET[20:], "20-25/26"), ("bytes=-999", ALPHABET, "0-25/26"),
    ("bytes=1-2,5-6", b"bc", "1-2/26"), ("bytes=90-99,3-4", b"de", "3-4/26"), ("bytes= 2-3", b"cd", "2-3/26"),
])
def test_ranges(daemon, alphabet, wanted, content, described):
    answer = download(daemon, alphabet, [("Range", wanted)])
    assert (answer.status, answer.body) == (206, content)
    assert answer.reason == "Partial Content"
    assert answer.header("Content-Range") == f"bytes {described}"
    assert answer.header("Content-Length") == str(len(content))
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Content-Disposition") == 'attachment; filename="a.txt"'


@pytest.mark.parametrize("wanted", ["bytes=26-", "bytes=100-200", "bytes=26-30,99-"])
def test_a_range_past_the_end_is_416_text_plain(daemon, alphabet, wanted):
    answer = download(daemon, alphabet, [("Range", wanted)])
    assert answer.status == 416
    assert answer.header("Content-Type").startswith("text/plain")
    assert answer.header("Content-Range") == "bytes */26"
    assert answer.body.strip() == b"invalid range: failed to overlap"


@pytest.mark.parametrize("wanted", ["bytes=x-y", "bytes=5-2", "bytes=--5", "bytes=1", "bytes=1-2-3",
                                    "bytes=99999999999999999999-"])
def test_a_malformed_range_is_a_whole_416_json(daemon, alphabet, wanted):
    with daemon.wire() as wire:
        answer = wire.request("GET", query("/files/download", path=str(alphabet)), [("Range", wanted)])
        assert answer.status == 416, answer
        if answer.header("Content-Type").startswith("application/json"):
            assert answer.json()["code"] == "UNKNOWN"
        assert wire.request("GET", "/ping").status == 200


def test_the_first_byte_of_an_empty_file_is_200(daemon, work):
    (work / "empty").write_text("")
    answer = download(daemon, work / "empty", [("Range", "bytes=0-0")])
    assert (answer.status, answer.body) == (200, b"")


def test_if_modified_since(daemon, alphabet):
    stamp = formatdate(int(alphabet.stat().st_mtime), usegmt=True)
    answer = download(daemon, alphabet, [("If-Modified-Since", stamp)])
    assert (answer.status, answer.body) == (304, b"")
    answer = download(daemon, alphabet, [("If-Modified-Since", formatdate(1_000_000_000, usegmt=True))])
    assert (answer.status, answer.body) == (200, ALPHABET)


@pytest.mark.parametrize(("name", "disposition"), [
    ("with space.txt", 'attachment; filename="with space.txt"'),
    ("ü.txt", "attachment; filename=\"%C3%BC.txt\"; filename*=UTF-8''%C3%BC.txt"),
    ("日 本", "attachment; filename=\"%E6%97%A5%20%E6%9C%AC\"; filename*=UTF-8''%E6%97%A5%20%E6%9C%AC"),
])
def test_names_in_content_disposition(daemon, work, name, disposition):
    (work / name).write_text("x")
    answer = download(daemon, work / name)
    assert (answer.status, answer.header("Content-Disposition")) == (200, disposition)


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "cr\r\nX-Evil: 1"])
def test_names_cannot_break_out_of_the_header(daemon, work, name):
    (work / name).write_text("x")
    answer = download(daemon, work / name)
    assert (answer.status, answer.body, answer.header("X-Evil")) == (200, b"x", None)


LINES = b"one\ntwo\r\nthree\n\nfive\nlast"


@pytest.mark.parametrize(("fields", "content"), [
    ({"offset": 1, "limit": 2}, b"one\ntwo"), ({"offset": 2}, b"two\nthree\n\nfive\nlast"), ({"limit": 1}, b"one"),
    ({"offset": 4, "limit": 2}, b"\nfive"), ({"offset": 6}, b"last"), ({"offset": 7}, b""),
    ({"offset": 99, "limit": 5}, b""), ({"offset": 3, "limit": 1}, b"three"),
])
def test_lines_by_offset_and_limit(daemon, work, fields, content):
    (work / "lines").write_bytes(LINES)
    answer = download(daemon, work / "lines", **fields)
    assert (answer.status, answer.body) == (200, content)
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("fields", "name"), [({"offset": 0}, "offset"), ({"offset": "x"}, "offset"),
                                              ({"limit": -1}, "limit"), ({"offset": 1, "limit": "1.5"}, "limit")])
def test_bad_offset_or_limit(daemon, alphabet, fields, name):
    answer = download(daemon, alphabet, **fields)
    assert answer.status == 400
    assert answer.json() == {"code": "INVALID_REQUEST_BODY",
                             "message": f"invalid query parameter '{name}': {fields[name]}"}


def test_lines_and_range_exclude_each_other(daemon, alphabet):
    answer = download(daemon, alphabet, [("Range", "bytes=0-1")], offset=1)
    assert answer.status == 400
    assert answer.json()["message"] == \
        "line-based reading (offset/limit) and byte range (Range header) are mutually exclusive"


def test_no_path_missing_file_and_directory(daemon, work):
    answer = daemon.call("GET", "/files/download")
    assert (answer.status, answer.json()) == (
        400, {"code": "MISSING_QUERY", "message": "missing query parameter 'path'"})
    answer = download(daemon, work / "gone", offset="x")
    assert (answer.status, answer.json()["code"]) == (404, "FILE_NOT_FOUND")
    answer = download(daemon, work)
    assert answer.status in (400, 500)
    assert set(answer.json()) == {"code", "message"}


def test_special_files_do_not_hang_the_daemon(daemon, work):
    os.mkfifo(work / "fifo")
    answer = download(daemon, work / "fifo")
    assert answer.status in (400, 500)
    assert daemon.call("GET", "/ping").status == 200


def test_a_large_file_arrives_whole_with_flat_memory(daemon, work):
    block = os.urandom(1 << 20)
    with open(work / "big", "wb") as out:
        for _ in range(64):
            out.write(block)
    before = processes.memory_kib(daemon.pid, "Rss")
    with daemon.wire() as wire:
        answer = wire.request("GET", query("/files/download", path=f"{work}/big"))
        assert answer.header("Content-Length") == str(64 << 20)
        assert answer.body == block * 64
        grown = processes.memory_kib(daemon.pid, "Rss") - before
        assert grown < 24 << 10, f"RSS grew by {grown} KiB"
        assert wire.request("GET", "/ping").status == 200


def test_a_client_gone_in_the_middle_frees_the_file(daemon, work):
    with open(work / "big", "wb") as out:
        out.truncate(200 << 20)
    for _ in range(5):
        with daemon.wire() as wire:
            wire.send(f"GET {query('/files/download', path=f'{work}/big')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wire.head()
            wire.reset()
    held = f"{work}/big"

    def free():
        fds = f"/proc/{daemon.pid}/fd"
        links = []
        for fd in os.listdir(fds):
            try:
                links.append(os.readlink(f"{fds}/{fd}"))
            except FileNotFoundError:
                pass
        return held not in links

    processes.eventually(free, what="the file closed")


@sdk.asynchronous
async def test_async_sdk_reads(daemon, alphabet, work):
    (work / "lines").write_bytes(LINES)
    async with sdk.connect(daemon) as services:
        files = services.files
        assert await files.read_file(str(alphabet)) == ALPHABET.decode()
        assert await files.read_bytes(str(alphabet), range_header="bytes=0-9") == ALPHABET[:10]
        assert await files.read_file(str(work / "lines"), offset=1, limit=2) == "one\ntwo"
        pieces = [piece async for piece in await files.read_bytes_stream(str(alphabet), chunk_size=7)]
        assert b"".join(pieces) == ALPHABET
        with pytest.raises(Exception, match="404"):
            await files.read_file(str(work / "gone"))
