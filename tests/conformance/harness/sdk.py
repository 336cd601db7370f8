"""The published SDK packages, unmodified, pointed straight at a daemon (contract section 5.1)."""

import asyncio
import inspect
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

from code_interpreter.adapters.code_adapter import CodesAdapter
from code_interpreter.sync.adapters.code_adapter import CodesAdapterSync
from opensandbox.adapters.factory import AdapterFactory
from opensandbox.config import ConnectionConfig
from opensandbox.config.connection_sync import ConnectionConfigSync
from opensandbox.models.sandboxes import SandboxEndpoint
from opensandbox.sync.adapters.factory import AdapterFactorySync


def endpoint(daemon, path="", token=None):
    headers = {"X-EXECD-ACCESS-TOKEN": token} if token else {}
    return SandboxEndpoint(endpoint=f"127.0.0.1:{daemon.port}{path}", headers=headers)


def services(factory, where, codes):
    return SimpleNamespace(
        health=factory.create_health_service(where), commands=factory.create_command_service(where),
        files=factory.create_filesystem_service(where), metrics=factory.create_metrics_service(where), codes=codes)


@asynccontextmanager
async def connect(daemon, path="", token=None):
    """The asynchronous services; the shared transport is closed at the end."""
    config = ConnectionConfig(protocol="http", disable_metrics=True).with_transport_if_missing()
    where = endpoint(daemon, path, token)
    codes = CodesAdapter(where, config)
    try:
        yield services(AdapterFactory(config), where, codes)
    finally:
        await codes.aclose()
        await config.close_transport_if_owned()


@contextmanager
def connect_sync(daemon, path="", token=None):
    config = ConnectionConfigSync(protocol="http", disable_metrics=True).with_transport_if_missing()
    where = endpoint(daemon, path, token)
    codes = CodesAdapterSync(where, config)
    try:
        yield services(AdapterFactorySync(config), where, codes)
    finally:
        codes.close()
        config.close_transport_if_owned()


def asynchronous(scenario):
    """Makes a test of an async function (no plugin: one loop per test, closed at its end)."""
    def test(*args, **kwargs):
        asyncio.run(scenario(*args, **kwargs))
    test.__name__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    test.__signature__ = inspect.signature(scenario)
    return test
