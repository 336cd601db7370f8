"""The published agentrun-sdk, unmodified, pointed at a daemon (contracts/agentrun.md 7.1), sync and async alike."""

import asyncio
import os
from contextlib import contextmanager

# Before the import: no warning about breaking changes, no price list fetched from the network by a dependency.
os.environ["DISABLE_BREAKING_CHANGES_WARNING"] = "1"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
for name in ("AGENTRUN_ACCESS_KEY_ID", "AGENTRUN_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_ID",
             "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "AGENTRUN_DATA_ENDPOINT"):
    os.environ.pop(name, None)

from agentrun.sandbox import TemplateType  # noqa: E402
from agentrun.sandbox.aio_sandbox import AioSandbox  # noqa: E402
from agentrun.sandbox.client import SandboxClient  # noqa: E402
from agentrun.sandbox.code_interpreter_sandbox import CodeInterpreterSandbox  # noqa: E402
from agentrun.sandbox.template import Template  # noqa: E402
from agentrun.utils.config import Config  # noqa: E402

MODES = ("sync", "async")


def config(daemon, path="", key=("", ""), headers=None):
    return Config(account_id="local", data_endpoint=f"http://127.0.0.1:{daemon.port}{path}", access_key_id=key[0],
                  access_key_secret=key[1], headers=headers)


def sandbox(daemon, kind=CodeInterpreterSandbox, sandbox_id="sb1", **options):
    one = kind(sandbox_id=sandbox_id)
    one._config = config(daemon, **options)
    return one


class Caller:
    """caller(operations, "read", ...) calls operations.read, or operations.read_async in a loop of its own."""

    def __init__(self, mode):
        self.mode = mode

    def __call__(self, target, name, *args, **kwargs):
        if self.mode == "sync":
            return getattr(target, name)(*args, **kwargs)
        return asyncio.run(getattr(target, name + "_async")(*args, **kwargs))


@contextmanager
def local_templates(kind=TemplateType.CODE_INTERPRETER):
    """The three methods that talk to the HTTPS control plane, answered here instead (README, "AgentRun")."""
    def template(name):
        return Template(template_id=name, template_name=name, template_type=kind, status="READY")

    fakes = {"create_template": lambda self, input, config=None: template(input.template_name),
             "get_template": lambda self, template_name, config=None: template(template_name),
             "delete_template": lambda self, template_name, config=None: template(template_name)}
    kept = {}

    def asynchronous(fake):
        async def call(*args, **kwargs):
            return fake(*args, **kwargs)
        return call

    for name, fake in fakes.items():
        for full, value in ((name, fake), (name + "_async", asynchronous(fake))):
            kept[full] = getattr(SandboxClient, full)
            setattr(SandboxClient, full, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(SandboxClient, name, value)


__all__ = ["AioSandbox", "Caller", "CodeInterpreterSandbox", "Config", "MODES", "TemplateType", "config",
           "local_templates", "sandbox"]
