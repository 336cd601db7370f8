"""AgentRun's failures as its SDK raises them: agentrun.md 1.6, 11.1 to 11.3, 11.16."""

import contextlib
import os
import socket
import struct
import subprocess
import threading
from types import SimpleNamespace

import pytest
from agentrun.utils.exception import ClientError, ServerError

from harness import agentrun
from harness.dead_mount import DeadMount


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


@pytest.fixture
def sb(daemon):
    return agentrun.sandbox(daemon)


def refused(call, status, code, target, name, /, *args, **kwargs):
    kind = ServerError if status >= 500 else ClientError
    with pytest.raises((ClientError, ServerError)) as caught:
        call(target, name, *args, **kwargs)
    error = caught.value
    assert (error.status_code, error.error_code) == (status, code), error
    assert error.request_id and error.message and type(error) is kind
    assert error.request_id == error.response_headers["x-request-id"]
    body = error.response_body
    assert body["error"]["code"] == code and body["error"]["message"] == body["message"] == error.message
    assert isinstance(body["error"]["details"], list)
    return error


def test_what_is_not_there_is_404(sb, call, work):
    refused(call, 404, "NOT_FOUND", sb.context, "get", context_id="no-such")
    refused(call, 404, "NOT_FOUND", sb.context, "execute", code="1", context_id="no-such")
    refused(call, 404, "NOT_FOUND", sb.context, "delete", context_id="no-such")
    refused(call, 404, "NOT_FOUND", sb.file, "read", path=str(work / "nothing"))
    refused(call, 404, "NOT_FOUND", sb.file_system, "stat", path=str(work / "nothing"))
    refused(call, 404, "NOT_FOUND", sb.file_system, "list", path=str(work / "nothing"))
    refused(call, 404, "NOT_FOUND", sb.process, "get", pid="4194305")
    refused(call, 404, "NOT_FOUND", sb.process, "kill", pid="4194305")
    refused(call, 404, "NOT_FOUND", sb.process, "get", pid="99999999999999999999")
    refused(call, 404, "NOT_FOUND", sb.file_system, "move", source=str(work / "nothing"), destination=str(work / "b"))
    refused(call, 404, "NOT_FOUND", sb.data_api, "get", "/nothing/here")


def test_what_cannot_be_meant_is_400(sb, call, work):
    error = refused(call, 400, "INVALID_REQUEST", sb.context, "execute", code="1", timeout="soon")
    assert error.response_body["error"]["details"][0]["field"] == "body.timeout"
    refused(call, 400, "INVALID_REQUEST", sb.context, "execute", code="1", timeout=-1)
    refused(call, 400, "INVALID_REQUEST", sb.context, "execute", code=None)
    refused(call, 400, "INVALID_REQUEST", sb.data_api, "post", "/contexts/execute", data={"code": "1",
                                                                                         "language": "cobol"})
    refused(call, 400, "INVALID_REQUEST", sb.process, "cmd", command="", cwd="/")
    refused(call, 400, "INVALID_REQUEST", sb.process, "cmd", command="true", cwd=str(work / "nothing"))
    refused(call, 400, "INVALID_REQUEST", sb.process, "cmd", command="true", cwd="/", timeout="x")
    refused(call, 400, "INVALID_REQUEST", sb.process, "get", pid="abc")
    refused(call, 400, "INVALID_REQUEST", sb.process, "kill", pid="-1")
    refused(call, 400, "INVALID_REQUEST", sb.file, "read", path=str(work))
    refused(call, 400, "INVALID_REQUEST", sb.file, "write", path="", content="x")
    refused(call, 400, "INVALID_REQUEST", sb.file, "write", path=str(work / "a"), content="x", mode="9z")
    refused(call, 400, "INVALID_REQUEST", sb.file, "write", path=str(work / "a"), content="x", encoding="klingon")
    refused(call, 400, "INVALID_REQUEST", sb.file, "write", path=str(work / "a"), content="!", encoding="base64")
    refused(call, 400, "INVALID_REQUEST", sb.file_system, "list", path=str(work), depth=0)
    (work / "file").write_text("x")
    refused(call, 400, "INVALID_REQUEST", sb.context, "create", cwd=str(work / "file"))
    refused(call, 400, "INVALID_REQUEST", sb.data_api, "post", "/contexts", data={"language": "cobol"})
    refused(call, 400, "INVALID_REQUEST", sb.file_system, "mkdir", path=str(work / "file"))
    refused(call, 400, "INVALID_REQUEST", sb.file_system, "mkdir", path=str(work / "file" / "below"))
    refused(call, 400, "INVALID_REQUEST", sb.file_system, "remove", path="")
    assert (work / "file").read_text() == "x"


def test_a_wrong_method_is_405(sb, call):
    for path in ("/contexts", "/files"):
        refused(call, 405, "METHOD_NOT_ALLOWED", sb.data_api, "put", path, data={})


@pytest.mark.parametrize("prefix", ["", "/sandboxes/x"])
def test_a_wrong_method_on_files_names_what_is_right(daemon, prefix):
    for method in ("PUT", "PATCH"):
        answer = daemon.call(method, prefix + "/files")
        assert answer.status == 405 and answer.json()["code"] == "METHOD_NOT_ALLOWED", answer
        assert {"GET", "POST"} <= set(answer.header("Allow").split(", ")), answer


def test_conflicts_are_409(sb, call, work):
    (work / "a").write_text("a")
    (work / "b").write_text("b")
    refused(call, 409, "CONFLICT", sb.file_system, "move", source=str(work / "a"), destination=str(work / "b"))
    assert (work / "b").read_text() == "b"


def test_a_file_that_cannot_be_read_is_a_server_error(sb, call):
    refused(call, 500, "ERR_INTERNAL_SERVER", sb.file, "read", path="/proc/self/mem")  # EIO


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/kmsg is for root")
def test_a_file_with_nothing_to_say_now_is_no_limit(sb, call):
    """A read that would wait (EAGAIN) is not "too many requests"."""
    try:
        fd = os.open("/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return  # a container without it
    with contextlib.suppress(OSError):
        while os.read(fd, 8192):
            pass
    os.close(fd)
    refused(call, 503, "SERVICE_UNAVAILABLE", sb.file, "read", path="/proc/kmsg")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk_is_507_and_a_fixed_one_403(sb, call, work):
    (work / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(work / "small")], check=True)
    try:
        (work / "small" / "file").write_text("old")
        error = refused(call, 507, "INSUFFICIENT_STORAGE", sb.file, "write", path=str(work / "small" / "file"),
                        content="x" * (2 << 20))
        assert "o space left" in error.message
        assert (work / "small" / "file").read_text() == "old"
        (work / "large").write_bytes(bytes(2 << 20))
        with pytest.raises(ClientError) as caught:  # an upload raises this for a 5xx, too
            call(sb.file_system, "upload", local_file_path=str(work / "large"), target_file_path=str(work / "small" / "l"))
        assert caught.value.status_code == 507 and "INSUFFICIENT_STORAGE" in caught.value.message
        subprocess.run(["mount", "-o", "remount,ro", str(work / "small")], check=True)
        refused(call, 403, "ERR_FORBIDDEN", sb.file, "write", path=str(work / "small" / "new"), content="x")
        refused(call, 403, "ERR_FORBIDDEN", sb.file_system, "remove", path=str(work / "small" / "file"))
    finally:
        subprocess.run(["umount", "-l", str(work / "small")], check=True)


def test_a_request_larger_than_allowed_is_413(sb, call):
    refused(call, 413, "PAYLOAD_TOO_LARGE", sb.context, "create", cwd="/" + "x" * (2 << 20))


if os.environ.get("EXECD_TEST_FULL"):  # waits 30 s for a file system
    @pytest.mark.skipif(os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="mounts need root, and /dev/fuse")
    def test_a_file_system_that_does_not_answer_is_408(sb, call, work):
        with DeadMount(work / "dead"):
            refused(call, 408, "TIMEOUT", sb.file, "read", path=str(work / "dead" / "file"))


def test_more_contexts_than_allowed_are_429(fresh_daemon, call):
    sb = agentrun.sandbox(fresh_daemon(env={"EXECD_MAX_CONTEXTS": "1", "EXECD_PREWARM": ""}))
    kept = call(sb.context, "create")
    error = refused(call, 429, "TOO_MANY_REQUESTS", sb.context, "create")
    assert "1 contexts" in error.message
    call(kept, "delete")


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b'{"code":', b"\xff"])
def test_bodies_that_are_no_object(daemon, body):
    answer = daemon.call("POST", "/contexts/execute", body, [("Content-Type", "application/json")])
    assert answer.status == 400 and answer.json()["code"] == "INVALID_REQUEST"


def test_upload_and_download_raise_client_errors_with_the_text(sb, call, work):
    local = work / "local"
    local.write_bytes(b"x")
    with pytest.raises(ClientError) as caught:
        call(sb.file_system, "upload", local_file_path=str(local), target_file_path=str(work))
    assert caught.value.status_code == 400 and "INVALID_REQUEST" in caught.value.message
    with pytest.raises(ClientError) as caught:
        call(sb.file_system, "download", path=str(work / "nothing"), save_path=str(work / "saved"))
    assert caught.value.status_code == 404 and "NOT_FOUND" in caught.value.message


@contextlib.contextmanager
def a_server_that(does):
    """A listener that nothing of execd stands behind: it refuses, resets every connection, or never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if does != "refuses":
            listener.listen()
        ended = threading.Event()

        def serve():
            while does == "resets" and not ended.is_set():
                with contextlib.suppress(OSError):
                    taken, _ = listener.accept()
                    taken.recv(1)
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    taken.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield SimpleNamespace(port=listener.getsockname()[1])
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR) if does == "resets" else None
            server.join(10)


@pytest.mark.parametrize("does", ["refuses", "resets", "never answers"])
def test_no_answer_is_a_client_error_of_status_0(call, does):
    with a_server_that(does) as one:
        sb = agentrun.sandbox(one)
        sb._config._timeout = 1
        with pytest.raises(ClientError) as caught:
            call(sb, "check_health")
        assert caught.value.status_code == 0


@pytest.mark.parametrize("prefix", ["", "/sandboxes/any-id_1.2"])
@pytest.mark.parametrize("route", ["/health", "/contexts", "/processes", "/filesystem?path=/proc/self/fdinfo"])
def test_bare_and_below_any_id_with_and_without_a_slash(daemon, prefix, route):
    path, _, query = route.partition("?")
    for slash in ("", "/"):
        answer = daemon.call("GET", f"{prefix}{path}{slash}" + (f"?{query}" if query else ""),
                             headers=[("Content-Type", "application/json")])
        assert answer.status == 200, (prefix, route, slash, answer)
        answer.json()


def test_a_listener_beside_the_main_one(fresh_daemon):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = fresh_daemon(env={"EXECD_LISTEN": f"127.0.0.1:{port}"})
    assert one.call("GET", "/health").status == 200
    one.port = port
    assert one.call("GET", "/health").json()["status"] in ("starting", "ok")


def test_a_token_in_each_carrier_and_none(daemon_with_token, call):
    one = daemon_with_token
    refused(call, 401, "UNAUTHORIZED", agentrun.sandbox(one).context, "list")
    refused(call, 401, "UNAUTHORIZED", agentrun.sandbox(one).process, "list")
    for name, value in (("Agentrun-Access-Token", one.token), ("X-API-KEY", one.token), ("X-Access-Token", one.token),
                        ("Authorization", f"Bearer {one.token}")):
        assert isinstance(call(agentrun.sandbox(one, headers={name: value}).context, "list"), list)
    assert call(agentrun.sandbox(one), "check_health")["status"] in ("starting", "ok")
