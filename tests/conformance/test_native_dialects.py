"""Every dialect picks native kernels up by language where the image has no Jupyter (issue J), and what the languages' own packages
need: npm modules beside the code, `%pip`, `%time`."""

import json
import uuid

import pytest

from clients.cloud_sandbox import Client as CloudSandbox
from clients.sandbox_sdk import Client as SandboxSdk
from harness.native import daemon  # noqa: F401  the fixture of this module

PRINT = {"python": ("print(6 * 7)", "42\n"), "javascript": ("console.log(6 * 7)", "42\n"), "bash": ("echo $((6 * 7))", "42\n")}


@pytest.mark.parametrize("language", PRINT)
def test_agentrun(daemon, language):  # noqa: F811
    code, said = PRINT[language]
    answer = daemon.call("POST", "/contexts/execute", json={"code": code, "language": language})
    assert answer.status == 200 and answer.json()["stdout"] == said, answer


@pytest.mark.parametrize("language", PRINT)
def test_sandbox_sdk(daemon, language):  # noqa: F811
    client = SandboxSdk(f"http://127.0.0.1:{daemon.port}", f"sk-{uuid.uuid4().hex}")
    template = {"python": "python-3.11", "javascript": "node", "bash": "bash"}[language]
    box = client.create_sandbox({"template_id": template})["sandbox"]["id"]
    code, said = PRINT[language]
    assert "".join(client.run_code(box, code)["logs"]["stdout"]).strip() == said.strip()
    client.delete_sandbox(box)


@pytest.mark.parametrize("language", PRINT)
def test_cloud_sandbox(daemon, language):  # noqa: F811
    client = CloudSandbox(f"http://127.0.0.1:{daemon.port}")
    client.token = client.get_token("somebody")["access_token"]
    client.create_session()
    box = client.acquire_sandbox()["sandbox_id"]
    code, said = PRINT[language]
    assert client.execute(box, code, language)["stdout"] == said


def test_an_npm_module_beside_the_code(daemon, work):  # noqa: F811
    module = work / "node_modules" / "forty-two"
    module.mkdir(parents=True)
    (module / "package.json").write_text(json.dumps({"name": "forty-two", "version": "1.0.0", "main": "index.js"}))
    (module / "index.js").write_text("exports.answer = 42\n")
    context = daemon.call("POST", "/execd/v1/contexts", json={"language": "javascript", "cwd": str(work)}).json()["id"]
    for code in ("console.log(require('forty-two').answer)", "const m = await import('forty-two'); console.log(m.default.answer)"):
        run = daemon.call("POST", "/execd/v1/runs", json={"context": context, "code": code, "wait_ms": 30_000}).json()
        kept = daemon.call("GET", f"/execd/v1/runs/{run['id']}/outputs").json()["outputs"]
        assert [o["text"] for o in kept if o["type"] == "stream"] == ["42\n"], kept


def test_time_and_pip(daemon):  # noqa: F811
    def said(code):
        answer = daemon.call("POST", "/contexts/execute", json={"code": code, "language": "python"}).json()
        return answer["stdout"] + answer["stderr"]
    timed = said("%time sum(range(1000))")
    assert "ime" in timed and " s" in timed.replace("ms", " s").replace("µs", " s"), timed
    assert "pip" in said("%pip --version"), said("%pip --version")
