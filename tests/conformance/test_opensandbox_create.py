"""Sandbox.create(...) of the published Python packages against execd itself: opensandbox-1.1.md 8."""

import contextlib
from datetime import timedelta

import pytest
from code_interpreter import CodeInterpreter
from code_interpreter.sync.code_interpreter import CodeInterpreterSync
from opensandbox import Sandbox, SandboxManager
from opensandbox.config import ConnectionConfig
from opensandbox.config.connection_sync import ConnectionConfigSync
from opensandbox.exceptions import SandboxApiException, SandboxException
from opensandbox.manager import SandboxFilter
from opensandbox.sync.sandbox import SandboxSync

from harness.sdk import asynchronous

# Directly; by the path of the server's proxy, no header; all of it through /proxy/44772; to a protected daemon.
MODES = ["header", "path", "through", "token", "token through"]


@contextlib.contextmanager
def place(request, mode):
    """Keyword arguments of a connection."""
    daemon = request.getfixturevalue("daemon_with_token" if "token" in mode else "daemon")
    domain = f"127.0.0.1:{daemon.port}" + ("/proxy/44772" if "through" in mode else "")
    options = {"domain": domain, "protocol": "http", "use_server_proxy": "path" in mode}
    if "token" in mode:
        options["api_key"] = daemon.token
    yield options


@pytest.mark.parametrize("mode", MODES)
@asynchronous
async def test_a_sandbox_from_create_to_kill(request, mode, work):
    with place(request, mode) as options:
        config = ConnectionConfig(**options)
        async with await Sandbox.create("python:3.11", timeout=timedelta(minutes=5), env={"COLOUR": "blue"},
                                        metadata={"project": "p-1"}, connection_config=config) as box:
            run = await box.commands.run("echo $COLOUR; exit 3")
            assert run.logs.stdout[0].text.strip() == "blue" and run.exit_code == 3
            await box.files.write_file(f"{work}/a.txt", "grüße")
            assert await box.files.read_file(f"{work}/a.txt") == "grüße"
            code = await CodeInterpreter.create(box)
            ran = await code.codes.run("import os; x = 41; print(os.environ['COLOUR'])")
            assert ran.logs.stdout[0].text == "blue\n"
            info = await box.get_info()
            assert info.status.state == "Running" and info.metadata == {"project": "p-1"}
            assert info.entrypoint == ["tail", "-f", "/dev/null"] and info.image.image == "python:3.11"
            await box.pause()
            assert (await box.get_info()).status.state == "Paused" and await box.is_healthy()
            with pytest.raises(SandboxApiException) as caught:
                await box.commands.run("true")
            assert caught.value.status_code == 409
            again = await Sandbox.resume(box.id, connection_config=config)
            code = await CodeInterpreter.create(again)
            assert "".join(said.text for said in (await code.codes.run("print(x + 1)")).logs.stdout) == "42\n"
            renewed = await box.renew(timedelta(hours=1))
            assert renewed.expires_at == (await box.get_info()).expires_at > info.expires_at
            assert (await box.patch_metadata({"project": None, "team": "t"})).metadata == {"team": "t"}
            assert "COLOUR" in (await box.get_diagnostic_logs("container")).content
            assert '"paused"' in (await box.get_diagnostic_events("container")).content
            await again.kill()
            with pytest.raises(SandboxApiException) as caught:
                await box.get_info()
            assert caught.value.status_code == 404 and caught.value.error.code == "DOCKER::SANDBOX_NOT_FOUND"


@pytest.mark.parametrize("mode", MODES)
def test_the_synchronous_one(request, mode, work):
    with place(request, mode) as options:
        config = ConnectionConfigSync(**options)
        with SandboxSync.create("python:3.11", timeout=timedelta(minutes=5), env={"COLOUR": "blue"},
                                metadata={"project": "p-1"}, connection_config=config) as box:
            run = box.commands.run("echo $COLOUR; exit 3")
            assert run.logs.stdout[0].text.strip() == "blue" and run.exit_code == 3
            box.files.write_file(f"{work}/a.txt", "grüße")
            assert box.files.read_file(f"{work}/a.txt") == "grüße"
            code = CodeInterpreterSync.create(box)
            code.codes.run("import os; x = 42")
            info = box.get_info()
            assert info.status.state == "Running" and info.metadata == {"project": "p-1"}
            assert info.entrypoint == ["tail", "-f", "/dev/null"] and info.image.image == "python:3.11"
            box.pause()
            assert box.get_info().status.state == "Paused" and box.is_healthy()
            with pytest.raises(SandboxApiException) as caught:
                box.commands.run("true")
            assert caught.value.status_code == 409
            box = SandboxSync.resume(box.id, connection_config=config)
            ran = CodeInterpreterSync.create(box).codes.run("print(x, os.environ['COLOUR'])")
            assert "".join(said.text for said in ran.logs.stdout) == "42 blue\n"
            assert box.renew(timedelta(hours=1)).expires_at == box.get_info().expires_at > info.expires_at
            assert box.patch_metadata({"project": None, "team": "t"}).metadata == {"team": "t"}
            assert "COLOUR" in box.get_diagnostic_logs("container").content
            assert '"paused"' in box.get_diagnostic_events("container").content
            other = SandboxSync.connect(box.id, connection_config=config)
            assert other.is_healthy() and other.get_info().id == box.id
            assert other.get_endpoint(3000).endpoint.endswith("/proxy/3000")
            other.kill()
            with pytest.raises(SandboxException):
                SandboxSync.connect(box.id, connection_config=config)
            with pytest.raises(SandboxApiException) as caught:
                box.get_info()
            assert caught.value.status_code == 404 and caught.value.error.code == "DOCKER::SANDBOX_NOT_FOUND"


@asynchronous
async def test_the_manager_lists_and_ends(request):
    with place(request, "header") as options:
        config = ConnectionConfig(**options)
        made = [await Sandbox.create("i", metadata={"n": str(n), "set": "a b=c"}, connection_config=config)
                for n in range(3)]
        async with await SandboxManager.create(config) as manager:
            await manager.pause_sandbox(made[0].id)
            found = await manager.list_sandbox_infos(SandboxFilter(states=["Paused"], metadata={"set": "a b=c"}))
            assert [one.id for one in found.sandbox_infos] == [made[0].id]
            page = await manager.list_sandbox_infos(SandboxFilter(metadata={"set": "a b=c"}, page_size=2))
            assert len(page.sandbox_infos) == 2 and page.pagination.total_items == 3
            assert page.pagination.has_next_page and page.pagination.total_pages == 2
            await manager.resume_sandbox(made[0].id)
            for one in made:
                await manager.kill_sandbox(one.id)
            assert not (await manager.list_sandbox_infos(SandboxFilter(metadata={"set": "a b=c"}))).sandbox_infos


@asynchronous
async def test_what_there_is_not_is_said(request):
    with place(request, "header") as options:
        box = await Sandbox.create("i", connection_config=ConnectionConfig(**options))
        for call in (box.create_snapshot("x"), box.get_egress_policy()):
            with pytest.raises(SandboxApiException) as caught:
                await call
            assert caught.value.status_code == 501
        assert not (await box.isolation.capabilities()).available if hasattr(box, "isolation") else True
        await box.kill()
