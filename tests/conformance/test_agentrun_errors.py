"""AgentRun's failures as its SDK raises them: agentrun.md 1.6, 11.1 to 11.3, 11.16."""

import pytest
from agentrun.utils.exception import ClientError, ServerError

from harness import agentrun


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


@pytest.fixture
def sb(daemon):
    return agentrun.sandbox(daemon)


def refused(call, status, code, target, name, /, *args, **kwargs):
    with pytest.raises(ClientError) as caught:
        call(target, name, *args, **kwargs)
    error = caught.value
    assert (error.status_code, error.error_code) == (status, code), error
    assert error.request_id and error.message and not isinstance(error, ServerError)
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


def test_a_wrong_method_is_405(sb, call):
    refused(call, 405, "METHOD_NOT_ALLOWED", sb.data_api, "put", "/contexts", data={})


def test_conflicts_are_409(sb, call, work):
    (work / "a").write_text("a")
    (work / "b").write_text("b")
    refused(call, 409, "CONFLICT", sb.file_system, "move", source=str(work / "a"), destination=str(work / "b"))
    assert (work / "b").read_text() == "b"


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


def test_nobody_there_is_a_client_error_of_status_0(call):
    import socket
    from types import SimpleNamespace
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        sb = agentrun.sandbox(SimpleNamespace(port=unheard.getsockname()[1]))
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
    import socket
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
    for name, value in (("Agentrun-Access-Token", one.token), ("X-API-KEY", one.token), ("X-Access-Token", one.token),
                        ("Authorization", f"Bearer {one.token}")):
        assert isinstance(call(agentrun.sandbox(one, headers={name: value}).context, "list"), list)
    assert call(agentrun.sandbox(one), "check_health")["status"] in ("starting", "ok")
