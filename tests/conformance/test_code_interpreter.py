"""The user's own path: Sandbox and CodeInterpreter of the published packages, with their readiness checks.

opensandbox.md 5.4; opensandbox-1.1.md 7 and 8.2. Only the lifecycle server is a stand-in.
"""

from datetime import timedelta

import pytest
from code_interpreter import CodeInterpreter
from code_interpreter.sync.code_interpreter import CodeInterpreterSync
from opensandbox import Sandbox
from opensandbox.config import ConnectionConfig
from opensandbox.config.connection_sync import ConnectionConfigSync
from opensandbox.models.filesystem import WriteEntry
from opensandbox.sync.sandbox import SandboxSync

from harness import sdk
from harness.lifecycle import lifecycle_server


def test_commands_see_a_jupyter_port_that_accepts(daemon):
    assert daemon.shell("echo $JUPYTER_PORT") == f"{daemon.port}\n"
    assert daemon.shell("bash -c 'exec 3<>/dev/tcp/127.0.0.1/${JUPYTER_PORT:-44771}' && echo up") == "up\n"


def test_a_jupyter_port_of_the_images_own_gives_way(fresh_daemon):
    # The image's Jupyter Server need not run for our contexts: the readiness probe must find us.
    one = fresh_daemon(env={"JUPYTER_PORT": "44771"})
    assert one.shell("echo $JUPYTER_PORT") == f"{one.port}\n"


@sdk.asynchronous
async def test_create_a_sandbox_and_an_interpreter_and_work_in_it(daemon, work):
    with lifecycle_server(f"127.0.0.1:{daemon.port}") as domain:
        config = ConnectionConfig(domain=domain, protocol="http", disable_metrics=True)
        sandbox = await Sandbox.create("any-image", connection_config=config, ready_timeout=timedelta(seconds=20))
        interpreter = await CodeInterpreter.create(sandbox, ready_timeout=timedelta(seconds=20))
        assert await interpreter.is_healthy()
        context = await interpreter.codes.create_context("python")
        await sandbox.files.write_files([WriteEntry(path=f"{work}/data.txt", data="Hello", mode=644)])
        run = await interpreter.codes.run(f"print(open('{work}/data.txt').read())", context=context)
        assert run.text == "Hello"
        assert (await sandbox.commands.run(f"cat {work}/data.txt")).text == "Hello"
        assert await sandbox.files.read_file(f"{work}/data.txt") == "Hello"
        await interpreter.codes.delete_context(context.id)
        await interpreter.aclose()
        await sandbox.kill()
        await sandbox.close()


def test_the_synchronous_twin(daemon):
    with lifecycle_server(f"127.0.0.1:{daemon.port}") as domain:
        config = ConnectionConfigSync(domain=domain, protocol="http", disable_metrics=True)
        sandbox = SandboxSync.create("any-image", connection_config=config)
        interpreter = CodeInterpreterSync.create(sandbox)
        assert interpreter.codes.run("2 ** 10").result[0].text == "1024"
        sandbox.kill()
        sandbox.close()


@sdk.asynchronous
async def test_connect_with_the_token_from_the_endpoint(daemon_with_token):
    one = daemon_with_token
    with lifecycle_server(f"127.0.0.1:{one.port}", {"X-EXECD-ACCESS-TOKEN": one.token}) as domain:
        config = ConnectionConfig(domain=domain, protocol="http", disable_metrics=True)
        sandbox = await Sandbox.connect("sb1", connection_config=config)
        interpreter = await CodeInterpreter.create(sandbox)
        assert (await interpreter.codes.run("6*7")).result[0].text == "42"
        assert (await sandbox.commands.run("echo $EXECD_ACCESS_TOKEN-")).text == "-"
        await interpreter.aclose()
        await sandbox.close()


@sdk.asynchronous
async def test_without_the_token_the_sdk_says_why(daemon_with_token):
    from opensandbox.exceptions import SandboxApiException

    with lifecycle_server(f"127.0.0.1:{daemon_with_token.port}") as domain:
        config = ConnectionConfig(domain=domain, protocol="http", disable_metrics=True)
        sandbox = await Sandbox.connect("sb1", connection_config=config)
        with pytest.raises(SandboxApiException) as caught:
            await sandbox.commands.run("true")
        assert caught.value.status_code == 401
        await sandbox.close()
