"""AgentRun's CodeInterpreterToolSet: an exception makes it create its sandbox again and do the same once more
(agentrun.md 4.3), so nothing that has begun may end in one, or it is done twice."""

import os
import signal
import threading

import pytest
from agentrun.integration.builtin.sandbox import CodeInterpreterToolSet

from harness import agentrun, processes
from harness.daemon import Daemon


def toolset(daemon):
    return CodeInterpreterToolSet("tools", agentrun.config(daemon), sandbox_idle_timeout_seconds=600)


@pytest.fixture
def tools(daemon):
    with agentrun.local_templates():
        one = toolset(daemon)
        yield one
        one.close()


class Counter:
    """A file with one byte for each time that the work began."""

    def __init__(self, folder):
        self.path = folder / "begun"
        self.python = f"open({str(self.path)!r}, 'a').write('x')\n"
        self.shell = f"printf x >> {self.path}; "

    def __call__(self):
        return len(self.path.read_text()) if self.path.exists() else 0


@pytest.fixture
def begun(work):
    return Counter(work)


@pytest.mark.parametrize(("code", "said"), [
    ("1/0", "ZeroDivisionError"), ("import os; os._exit(3)", "KernelDied"), ("raise SystemExit(5)", "SystemExit"),
    ("import time; time.sleep(600)", "TimeoutError"), ("def (", "SyntaxError")])
def test_failing_code_runs_once(tools, begun, code, said):
    result = tools.run_code(begun.python + code if said != "SyntaxError" else code, timeout=1)
    assert "error" not in result, result
    assert result["exit_code"] == 1 and said in result["stderr"], result
    assert begun() == (0 if said == "SyntaxError" else 1)


@pytest.mark.parametrize("end", ["deleted", "killed"])
def test_what_ends_the_kernel_from_outside(daemon, tools, begun, end):
    context = tools.create_context()
    ident = context.get("context_id") or context["id"]
    results = []
    code = begun.python + "import time; print('begun', flush=True); time.sleep(600)"
    thread = threading.Thread(target=lambda: results.append(tools.run_code(code, context_id=ident)))
    thread.start()
    processes.eventually(begun, what="the code runs")
    if end == "deleted":
        assert daemon.call("DELETE", f"/contexts/{ident}").status == 204
    else:
        kernel = next(c for c in daemon.call("GET", "/execd/v1/contexts").json()["contexts"] if c["id"] == ident)
        os.kill(kernel["pid"], signal.SIGKILL)
    thread.join(20)
    (result,) = results
    assert "error" not in result and result["exit_code"] == 1 and result["stderr"], result
    assert begun() == 1


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("sleep 600", 137),
                                                 ("no-such-program-of-ours", 127)])
def test_failing_commands_run_once(tools, begun, command, status):
    result = tools.process_exec_cmd(begun.shell + command, cwd="/", timeout=1)
    assert "error" not in result and result["exit_code"] == status, result
    assert begun() == 1


def test_a_command_that_is_killed_from_outside(tools, begun):
    result = tools.process_exec_cmd(begun.shell + "(sleep 0.2; kill -TERM $$) & exec sleep 600", cwd="/")
    assert "error" not in result and result["exit_code"] == 143, result
    assert begun() == 1


@pytest.mark.parametrize("what", ["code", "deaf code", "command"])
def test_work_that_the_end_of_the_daemon_cuts_off_has_an_answer(what, tmp_path):
    """At the end of the drain time: what there is so far, and not a connection that breaks."""
    one = Daemon(args=["--drain-timeout", "200ms"]).listening()
    begun = Counter(tmp_path)
    results = []
    with agentrun.local_templates():
        tools = toolset(one)
        wait = "import time\nprint('so far', flush=True)\n"
        wait += "while True:\n try: time.sleep(600)\n except KeyboardInterrupt: pass\n" if what == "deaf code" \
            else "time.sleep(600)\n"
        act = (lambda: tools.process_exec_cmd(begun.shell + "echo so far; sleep 600", cwd="/")) if what == "command" \
            else (lambda: tools.run_code(begun.python + wait))
        thread = threading.Thread(target=lambda: results.append(act()))
        thread.start()
        processes.eventually(begun, what="the work runs")
        one.stop(expect=3, seconds=15)
        thread.join(20)
    (result,) = results
    assert "error" not in result, result
    assert result["stdout"] == "so far\n" and result["exit_code"] != 0, result
    assert begun() == 1
