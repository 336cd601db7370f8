"""AgentRun's lifecycle and signatures by its published SDK: agentrun.md 1.3, 1.4, 7, 13."""

import asyncio

import pytest
from agentrun.sandbox import Sandbox, TemplateInput
from agentrun.utils.exception import ClientError, ResourceNotExistError

from harness import agentrun, processes
from harness.agentrun import AioSandbox, CodeInterpreterSandbox, TemplateType, local_templates

KEY = {"EXECD_AGENTRUN_ACCESS_KEY_ID": "LTAI-test", "EXECD_AGENTRUN_ACCESS_KEY_SECRET": "s3cret/with+signs"}


@pytest.fixture(params=agentrun.MODES)
def call(request):
    return agentrun.Caller(request.param)


def test_with_a_sandbox_of_one_s_own(daemon):
    for _ in range(2):  # the end of a claim is not the end of the daemon
        with agentrun.sandbox(daemon, AioSandbox, "own") as sb:
            assert sb.context.execute(code="print(1)")["stdout"] == "1\n"
    assert daemon.call("GET", "/health").status == 200


def test_connect_by_any_id(daemon, call):
    config = agentrun.config(daemon)
    sb = call(Sandbox, "connect", "some-id", template_type=TemplateType.AIO, config=config)
    assert isinstance(sb, AioSandbox) and sb.sandbox_id == "some-id"
    assert call(sb.process, "cmd", command="echo hi", cwd="/")["stdout"] == "hi\n"
    assert call(sb.file_system, "list", path="/")["path"] == "/"


def test_the_seed_s_way_from_template_to_end(daemon, call):
    config = agentrun.config(daemon)
    with local_templates():
        template = call(Sandbox, "create_template", input=TemplateInput(
            template_name="seed", template_type=TemplateType.CODE_INTERPRETER), config=config)
        sb = call(Sandbox, "create", template_type=TemplateType.CODE_INTERPRETER, template_name="seed", config=config)
        assert isinstance(sb, CodeInterpreterSandbox) and len(sb.sandbox_id) == 26
        assert sb.template_id == template.template_id and sb.status == "READY" and sb.created_at
        assert call(sb.context, "execute", code="6*7")["results"][0]["text"] == "42"
        again = call(Sandbox, "connect", sb.sandbox_id, config=config)
        assert isinstance(again, CodeInterpreterSandbox) and again.template_name == "seed"
        call(sb, "stop")
        assert call(Sandbox, "connect", sb.sandbox_id, config=config).status == "TERMINATED"
        with pytest.raises(ResourceNotExistError):
            call(sb, "delete")
        call(Sandbox, "delete_template", "seed", config=config)


def test_the_asynchronous_seed(daemon):
    async def scenario():
        config = agentrun.config(daemon)
        with local_templates(TemplateType.AIO):
            sb = await Sandbox.create_async(template_type=TemplateType.AIO, template_name="aio", config=config)
            async with sb:
                async with await sb.context.create_async() as context:
                    await context.execute_async(code="x = 2")
                    assert (await context.execute_async(code="print(x ** 10)"))["stdout"] == "1024\n"
    asyncio.run(scenario())


def test_an_id_of_one_s_own_is_taken_once(daemon):
    body = {"templateName": "t", "sandboxIdleTimeoutSeconds": 600, "sandboxId": "mine-1"}
    first = daemon.call("POST", "/sandboxes", json=body).json()
    assert first["code"] == "SUCCESS" and first["data"]["sandboxId"] == "mine-1" and first["requestId"]
    assert first["data"]["sandboxIdleTimeoutSeconds"] == 600 and first["data"]["status"] == "READY"
    assert daemon.call("POST", "/sandboxes", json=body).status == 409
    assert daemon.call("DELETE", "/sandboxes/mine-1").json()["data"]["status"] == "TERMINATED"
    answer = daemon.call("DELETE", "/sandboxes/mine-1")
    assert answer.status == 404 and "sandbox not found" in answer.json()["message"]
    assert daemon.call("POST", "/sandboxes", json=body).status == 200
    daemon.call("DELETE", "/sandboxes/mine-1")
    assert daemon.call("POST", "/sandboxes", json={**body, "sandboxId": "../x"}).status == 400


def cmd(daemon, where, text, **more):
    answer = daemon.call("POST", f"{where}/processes/cmd", json={"command": text, "cwd": "/", **more})
    assert answer.status == 200, answer
    return answer.json()


def test_two_claims_do_not_see_or_end_each_other_s_work(daemon):
    for one in ("two-a", "two-b"):
        assert daemon.call("POST", "/sandboxes", json={"templateName": "t", "sandboxId": one}).status == 200
    a, b = "/sandboxes/two-a", "/sandboxes/two-b"
    context = daemon.call("POST", f"{a}/contexts", json={"language": "python"}).json()["id"]
    daemon.call("POST", f"{a}/contexts/execute", json={"code": "x = 42"})
    server = int(cmd(daemon, a, "setsid sleep 1000 >/dev/null 2>&1 & echo $!")["stdout"])

    assert daemon.call("GET", f"{b}/contexts").json() == []
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/execute")]:
        answer = daemon.call(method, f"{b}/contexts/{context}{path}", json={"code": "1"} if path else None)
        assert answer.status == 404, answer
    assert daemon.call("POST", f"{b}/contexts/execute", json={"code": "1", "contextId": context}).status == 404
    assert "NameError" in daemon.call("POST", f"{b}/contexts/execute", json={"code": "x"}).json()["stderr"]
    assert server in [one["pid"] for one in daemon.call("GET", f"{a}/processes").json()]
    assert server not in [one["pid"] for one in daemon.call("GET", f"{b}/processes").json()]
    assert daemon.call("GET", f"{b}/processes/{server}").status == 404
    assert daemon.call("DELETE", f"{b}/processes/{server}").status == 404

    assert daemon.call("DELETE", b).status == 200
    assert processes.alive(server)
    assert daemon.call("POST", f"{a}/contexts/execute", json={"code": "x"}).json()["results"][0]["text"] == "42"
    # The container's owner sees all of it, and an ended id works on the container.
    for where in ("", b):
        assert context in [one["id"] for one in daemon.call("GET", f"{where}/contexts").json()]
    assert daemon.call("POST", f"{a}/stop").json()["data"]["status"] == "TERMINATED"
    assert not processes.alive(server)
    assert context not in [one["id"] for one in daemon.call("GET", "/contexts").json()]
    assert cmd(daemon, a, "echo on")["stdout"] == "on\n"


def test_an_unused_sandbox_ends(daemon):
    body = {"templateName": "t", "sandboxId": "unused", "sandboxIdleTimeoutSeconds": 1}
    assert daemon.call("POST", "/sandboxes", json=body).json()["data"]["status"] == "READY"

    def ended():
        data = daemon.call("GET", "/sandboxes/unused").json()["data"]
        return data["status"] == "TERMINATED" and data["endedAt"] > data["createdAt"]

    assert processes.eventually(ended)
    assert daemon.call("DELETE", "/sandboxes/unused").status == 404


@pytest.fixture(scope="module")
def signed_daemon():
    from harness.daemon import Daemon
    one = Daemon(env=KEY).listening()
    yield one
    one.stop()


def test_signed_requests_are_verified(signed_daemon, call, work):
    good = tuple(KEY.values())
    sb = agentrun.sandbox(signed_daemon, key=good)
    assert call(sb.context, "execute", code="print('signed')")["stdout"] == "signed\n"
    path = str(work / "a b+c&d=\u00e9")
    call(sb.file, "write", path=path, content="x")
    assert call(sb.file, "read", path=path)["content"] == "x"
    call(sb.file_system, "upload", local_file_path=path, target_file_path=str(work / "up"))
    call(sb.file_system, "download", path=path, save_path=str(work / "down"))
    assert (work / "up").read_text() == (work / "down").read_text() == "x"
    assert call(sb.process, "cmd", command="env", cwd="/")["stdout"].find("s3cret") == -1
    for wrong in (("LTAI-test", "other"), ("other", KEY["EXECD_AGENTRUN_ACCESS_KEY_SECRET"]), ("", "")):
        with pytest.raises(ClientError) as caught:
            call(agentrun.sandbox(signed_daemon, key=wrong).context, "list")
        assert (caught.value.status_code, caught.value.error_code) == (401, "UNAUTHORIZED")


def test_signatures_are_ignored_where_nothing_is_protected(daemon, call):
    sb = agentrun.sandbox(daemon, key=("LTAI-any", "any"))
    assert isinstance(call(sb.context, "list"), list)
