"""Native kernels (docs/native-kernels.md, issue J): contexts in an image with bare interpreters, and the kernels themselves
driven by Jupyter's own client."""

import json
import subprocess

import pytest
from jupyter_client.manager import KernelManager

from harness import frames
from harness.daemon import BINARY
from harness.native import bare_daemon, kernel  # noqa: F401  fixtures

HELLO = {"bash": "echo hello; echo wrong >&2", "python3": "import sys; print('hello'); print('wrong', file=sys.stderr)",
         "node": "console.log('hello'); console.error('wrong')"}
# Each says that it is in its code; interrupts at other instants: test_native_faults.py.
LOOP = {"bash": "echo go; while :; do :; done", "python3": "print('go', flush=True)\nwhile True: pass",
        "node": "console.log('go'); for (;;);"}
SET = {"bash": "x=41", "python3": "x = 41", "node": "const x = 41"}
GET = {"bash": "echo $((x + 1))", "python3": "print(x + 1)", "node": "console.log(x + 1)"}


def test_streams_state_and_errors(kernel):
    reply, streams, _ = kernel.run(HELLO[kernel.name])
    assert reply["status"] == "ok"
    assert streams == {"stdout": "hello\n", "stderr": "wrong\n"}
    kernel.run(SET[kernel.name])
    assert kernel.run(GET[kernel.name])[1]["stdout"] == "42\n"


def test_a_busy_loop_is_interrupted_and_state_stays(kernel):
    kernel.run(SET[kernel.name])
    reply, _, _ = kernel.run(LOOP[kernel.name], begun=kernel.manager.interrupt_kernel)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt"), reply
    kernel.manager.interrupt_kernel()  # nothing runs: ignored
    assert kernel.run(GET[kernel.name])[1]["stdout"] == "42\n"


def test_completion_and_inspection(kernel):
    word = {"bash": "ech", "python3": "prin", "node": "parseIn"}[kernel.name]
    kernel.client.complete(word, len(word))
    content = kernel.client.get_shell_msg(timeout=30)["content"]
    assert any(m.startswith(word) for m in content["matches"]), content
    name = {"bash": "echo", "python3": "print", "node": "parseInt"}[kernel.name]
    kernel.client.inspect(name, 2)
    content = kernel.client.get_shell_msg(timeout=30)["content"]
    assert content["found"] and name in content["data"]["text/plain"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    one = bare_daemon(tmp_path_factory.mktemp("bin"))
    yield one
    one.stop()


@pytest.mark.parametrize(("language", "code", "wanted"), [
    ("python", "import os; print(6 * 7)", "42\n"), ("bash", "echo $((6 * 7))", "42\n"),
    ("javascript", "console.log(6 * 7)", "42\n")])
def test_code_runs_without_jupyter(bare, language, code, wanted):
    ident = bare.call("POST", "/code/context", json={"language": language}).json()["id"]
    events = bare.events_of("/code", {"code": code, "context": {"id": ident, "language": language}})
    assert frames.joined(events) == wanted
    assert bare.call("DELETE", f"/code/contexts/{ident}").status == 200


def test_an_installed_kernelspec_wins(fresh_daemon):
    one = fresh_daemon()
    ident = one.call("POST", "/code/context", json={"language": "python"}).json()["id"]
    events = one.events_of("/code", {"code": "import sys; print('ipykernel' in sys.modules)", "context": {"id": ident, "language": "python"}})
    assert frames.joined(events) == "True\n"


def test_a_run_has_its_own_place_and_environment(bare, tmp_path):
    """In each language: set for one run, given back after it; what cannot be is refused and changes nothing."""
    show = {"python": "import os; print(os.getcwd(), os.environ.get('MARK'))", "bash": "echo $PWD ${MARK-None}",
            "javascript": "console.log(process.cwd(), process.env.MARK ?? 'None')"}
    for language, code in show.items():
        ident = bare.call("POST", "/execd/v1/contexts", json={"language": language}).json()["id"]

        def run(**fields):
            body = {"context": ident, "code": code, "wait_ms": 60_000, **fields}
            made = bare.call("POST", "/execd/v1/runs", json=body).json()
            page = bare.call("GET", f"/execd/v1/runs/{made['id']}/outputs").json()
            return made["outcome"], "".join(o["text"] for o in page["outputs"] if o["type"] == "stream").split()

        home = run()[1]
        assert home[1] == "None"
        assert run(cwd=str(tmp_path), env={"MARK": "a'b\"c"})[1] == [str(tmp_path), "a'b\"c"]
        assert run()[1] == home
        outcome, _ = run(cwd="/no/such", env={"MARK": "x"})
        assert (outcome["kind"], outcome["code"]) == ("failed", "not_found"), outcome
        assert run()[1] == home
        bare.call("DELETE", f"/execd/v1/contexts/{ident}")


def test_list_and_install(tmp_path):
    listed = subprocess.run([str(BINARY), "kernel", "list"], capture_output=True, text=True, timeout=30)
    assert listed.returncode == 0 and "python3" in listed.stdout
    made = subprocess.run([str(BINARY), "kernel", "install", "bash", "--prefix", str(tmp_path)],
                          capture_output=True, text=True, timeout=30)
    spec = json.loads((tmp_path / "share/jupyter/kernels/execd-bash/kernel.json").read_text())
    assert made.returncode == 0 and spec["argv"] == [str(BINARY), "kernel", "bash", "-f", "{connection_file}"]
    assert subprocess.run([str(BINARY), "kernel", "cobol"], capture_output=True, timeout=30).returncode == 2
