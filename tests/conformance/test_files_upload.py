"""POST /files/upload: opensandbox.md 1.8, 11; opensandbox-1.1.md 2.5."""

import hashlib
import io
import json
import os

import pytest

from harness import processes, sdk
from harness.wire import build, chunked

BOUNDARY = "opensandbox_0011223344556677_1765000000"
FORM = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]


def part(name, data, filename="x", content_type=None):
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", disposition, *([f"Content-Type: {content_type}"] if content_type else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data + b"\r\n"


def metadata(path, **fields):
    return part("metadata", json.dumps({"path": str(path), **fields}).encode(), "metadata", "application/json")


def form(*parts, end=True):
    return b"".join(parts) + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


def upload(daemon, body, headers=FORM):
    return daemon.call("POST", "/files/upload", body=body, headers=headers)


def ok(answer):
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0"), answer


def test_one_file_as_the_python_sdk_writes_it(daemon, work):
    path = work / "new" / "dir" / "a.txt"
    ok(upload(daemon, form(metadata(path, owner=None, group=None, mode=644),
                           part("file", b"hello", str(path), "text/plain; charset=utf-8"))))
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o7777 == 0o644


def test_several_pairs_in_any_order(daemon, work):
    a, b = work / "a", work / "b"
    ok(upload(daemon, form(part("file", b"A"), part("file", b"B"), metadata(a), metadata(b))))
    assert (a.read_bytes(), b.read_bytes()) == (b"A", b"B")
    c, d = work / "c", work / "d"
    ok(upload(daemon, form(part("file", b"C"), metadata(c), metadata(d), part("file", b"D"))))
    assert (c.read_bytes(), d.read_bytes()) == (b"C", b"D")


def test_other_parts_are_ignored(daemon, work):
    ok(upload(daemon, form(part("note", b"value", None), part("extra", b"x", "f"), metadata(work / "a"),
                           part("file", b"A"))))
    assert (work / "a").read_bytes() == b"A"


@pytest.mark.parametrize("size", [0, 1, 4095, 65536, 1_000_003])
def test_contents_that_look_like_borders_arrive_whole(daemon, work, size):
    seed = f"\r\n--{BOUNDARY[:-1]}\r\n--\r\n\n--{BOUNDARY}x".encode()
    data = (seed * (size // len(seed) + 1))[:size]
    ok(upload(daemon, form(metadata(work / "f"), part("file", data))))
    assert (work / "f").read_bytes() == data


def test_a_chunked_body_with_any_chunk_borders(daemon, work):
    body = form(metadata(work / "one"), part("file", b"first\r\n"), metadata(work / "two"), part("file", b"x" * 999))
    for step in (1, 2, 7, 50, 400):
        pieces = [body[i:i + step] for i in range(0, len(body), step)]
        ok(daemon.call("POST", "/files/upload", body=chunked(*pieces),
                       headers=[*FORM, ("Transfer-Encoding", "chunked")]))
        assert (work / "one").read_bytes() == b"first\r\n"
        assert (work / "two").read_bytes() == b"x" * 999
        os.unlink(work / "one")
        os.unlink(work / "two")


def test_a_quoted_boundary_a_preamble_and_an_epilogue(daemon, work):
    body = b"preamble\r\n" + form(metadata(work / "f"), part("file", b"data")) + b"epilogue"
    ok(upload(daemon, body, [("Content-Type", f'multipart/form-data; charset=utf-8; boundary="{BOUNDARY}"')]))
    assert (work / "f").read_bytes() == b"data"


def test_an_existing_file_is_replaced_whole_and_links_are_followed(daemon, work):
    target = work / "target"
    target.write_text("a much longer text than the new one")
    (work / "link").symlink_to("target")
    ok(upload(daemon, form(metadata(work / "link", mode=600), part("file", b"new"))))
    assert (work / "link").is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_mode_0_leaves_the_mode_alone_and_owner_is_set(daemon, work):
    path = work / "f"
    path.write_text("")
    path.chmod(0o640)
    ok(upload(daemon, form(metadata(path, mode=0, owner="nobody", group=""), part("file", b"x"))))
    assert path.stat().st_mode & 0o777 == 0o640
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 0)


def test_no_temporary_file_is_left_beside_the_target(daemon, work):
    ok(upload(daemon, form(metadata(work / "f"), part("file", b"x" * 300_000))))
    assert os.listdir(work) == ["f"]


def test_sixty_four_megabytes_stream_through_flat_memory(daemon, work):
    block = os.urandom(1 << 20)
    head, tail = form(metadata(work / "big"), part("file", b"")[:-2], end=False), f"\r\n--{BOUNDARY}--\r\n".encode()
    before = processes.memory_kib(daemon.pid, "Rss")
    with daemon.wire() as wire:
        length = len(head) + 64 * len(block) + len(tail)
        wire.send(build("POST", "/files/upload", [*FORM, ("Content-Length", str(length))]) + head)
        for _ in range(64):
            wire.send(block)
        after = processes.memory_kib(daemon.pid, "Rss")
        wire.send(tail)
        ok(wire.response())
    assert (work / "big").stat().st_size == 64 << 20
    digest = hashlib.sha256()
    for _ in range(64):
        digest.update(block)
    assert hashlib.sha256((work / "big").read_bytes()).digest() == digest.digest()
    assert after - before < 24 << 10, f"RSS grew by {after - before} KiB"


def test_a_client_gone_in_the_middle_leaves_the_old_file_and_no_other(daemon, work):
    target = work / "f"
    target.write_text("old")
    body = form(metadata(target), part("file", b"n" * 400_000))
    for cut in (10, 300, 5_000, 399_000, len(body) - 5):
        with daemon.wire() as wire:
            wire.send(build("POST", "/files/upload", [*FORM, ("Content-Length", str(len(body)))]) + body[:cut])
            if cut > 5_000:
                wire.sock.shutdown(1)
            else:
                wire.reset()
        processes.eventually(lambda: os.listdir(work) == ["f"], what="the partial upload gone")
        assert target.read_text() == "old"


@pytest.mark.parametrize(("body", "headers", "code", "message"), [
    (b"", FORM, "INVALID_FILE", "multipart form is empty"),
    (b"{}", [("Content-Type", "application/json")], "INVALID_FILE", "multipart form is empty"),
    (b"x", [("Content-Type", "multipart/form-data")], "INVALID_FILE", "multipart form is empty"),
    (b"no border at all", FORM, "INVALID_FILE", "multipart form is empty"),
    (form(part("metadata", b'{"path":"/tmp/never"}'), part("file", b"x"), end=False), FORM, "INVALID_FILE",
     "multipart form is empty"),
    (form(part("file", b"x")), FORM, "INVALID_FILE_METADATA", "metadata file is missing"),
    (form(part("metadata", b"{}", None), part("file", b"x")), FORM, "INVALID_FILE_METADATA",
     "metadata file is missing"),
    (form(part("metadata", b'{"path":"/tmp/never"}')), FORM, "INVALID_FILE_CONTENT", "file is missing"),
    (form(part("metadata", b"not json"), part("file", b"x")), FORM, "INVALID_FILE_METADATA",
     "invalid metadata format. ..."),
    (form(part("metadata", b'{"path":"/tmp/never"} x'), part("file", b"x")), FORM, "INVALID_FILE_METADATA",
     "invalid metadata format. ..."),
    (form(part("metadata", b'{"path":5}'), part("file", b"x")), FORM, "INVALID_FILE_METADATA",
     "invalid metadata format. ..."),
    (form(part("metadata", b"{}"), part("file", b"x")), FORM, "INVALID_FILE_METADATA", "metadata path is empty"),
    (form(part("metadata", b'{"path":""}'), part("file", b"x")), FORM, "INVALID_FILE_METADATA",
     "metadata path is empty"),
])
def test_the_table_of_400s(daemon, body, headers, code, message):
    answer = upload(daemon, body, headers)
    assert answer.status == 400, answer
    said = answer.json()
    assert said["code"] == code, said
    assert said["message"].startswith(message[:-3]) if message.endswith("...") else said["message"] == message
    assert not os.path.exists("/tmp/never")


def test_counts_that_differ_are_400(daemon, work):
    for body, counts in ((form(metadata(work / "a"), metadata(work / "b"), part("file", b"x")), "2 vs 1"),
                         (form(metadata(work / "a"), part("file", b"x"), part("file", b"y")), "1 vs 2")):
        answer = upload(daemon, body)
        assert answer.status == 400, answer
        assert answer.json() == {"code": "INVALID_FILE", "message": f"metadata and file count mismatch: {counts}"}


def test_errors_of_the_file_system_are_500s(daemon, work):
    (work / "file").write_text("")
    (work / "dir").mkdir()
    cases = {
        f"{work}/file/below/f": f"error creating target directory {work}/file/below. ",
        f"{work}/dir": f"error opening destination file {work}/dir. ",
    }
    for path, message in cases.items():
        answer = upload(daemon, form(metadata(path), part("file", b"x")))
        assert answer.status == 500, (path, answer)
        assert answer.json()["code"] == "RUNTIME_ERROR"
        assert answer.json()["message"].startswith(message), answer
    answer = upload(daemon, form(metadata(work / "f", owner="no-such-account"), part("file", b"x")))
    assert answer.status == 500
    assert answer.json()["message"].startswith(f"error chmoding file {work}/f. ")


def test_a_bad_mode_is_an_error(daemon, work):
    answer = upload(daemon, form(metadata(work / "f", mode=888), part("file", b"x")))
    assert answer.status == 500
    assert answer.json()["code"] == "RUNTIME_ERROR"


def test_oversized_part_headers_and_metadata_are_refused(daemon, work):
    for body in (form(part("metadata", b"{}", "n" * 200_000), part("file", b"x")),
                 form(part("metadata", b'{"path":"' + b"p" * (4 << 20) + b'"}'), part("file", b"x"))):
        answer = upload(daemon, body)
        assert answer.status in (400, 413, 500), answer.status
        assert set(answer.json()) == {"code", "message"}


@sdk.asynchronous
async def test_async_sdk_writes_many_kinds_of_data(daemon, work):
    from opensandbox.models.filesystem import WriteEntry

    big = os.urandom(3_000_000)
    async with sdk.connect(daemon) as services:
        await services.files.write_files([
            WriteEntry(path=f"{work}/text", data="grüße\n", mode=644), WriteEntry(path=f"{work}/bytes", data=b"\0\1"),
            WriteEntry(path=f"{work}/sub/stream", data=io.BytesIO(big)),
            WriteEntry(path=f"{work}/latin", data="ü", encoding="latin-1"),
            WriteEntry(path=f"{work}/na\"me ü.txt", data="x")])
        assert await services.files.read_bytes(f"{work}/sub/stream") == big
        assert await services.files.read_file(f"{work}/text") == "grüße\n"
    assert (work / "bytes").read_bytes() == b"\0\1"
    assert (work / "bytes").stat().st_mode & 0o777 == 0o755
    assert (work / "latin").read_bytes() == b"\xfc"
    assert (work / "na\"me ü.txt").read_text() == "x"


def test_sync_sdk_write(sync_sdk, work):
    sync_sdk.files.write_file(f"{work}/s", "hello", mode=600)
    assert (work / "s").stat().st_mode & 0o777 == 0o600
    assert sync_sdk.files.read_file(f"{work}/s") == "hello"
