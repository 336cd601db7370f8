"""What goes wrong in a cell of a native kernel, and with its interpreter (docs/native-kernels.md, issue J)."""

import contextlib
import json
import os
import queue
import random
import shutil
import subprocess
import time

import pytest

from harness import processes
from harness.daemon import BINARY
from harness.native import answer_of, kernel  # noqa: F401  a fixture

FULL = bool(os.environ.get("EXECD_TEST_FULL"))

HELLO = {"bash": "echo hello", "python3": "print('hello')", "node": "console.log('hello')"}
BROKEN = {"bash": "if then", "python3": "x =", "node": "let {"}
EXIT = {"bash": "exit 3", "python3": "import os; os._exit(3)", "node": "process.exit(3)"}
KILLED = {"bash": "kill -9 $$", "python3": "import os; os.kill(os.getpid(), 9)", "node": "process.kill(process.pid, 'SIGKILL')"}
DEAF = {"bash": "for fd in /proc/self/fd/*; do eval \"exec ${fd##*/}>&-\"; done",
        "python3": "import os; os.closerange(0, 64)",
        "node": "for (let i = 3; i < 64; i++) try { require('fs').closeSync(i) } catch {}\nconsole.log(1)"}
BYTES = {"bash": "printf 'a\\xffb'", "python3": "import os; _ = os.write(1, b'a\\xffb')",
         "node": "require('child_process').execSync(\"printf 'a\\\\377b'\", { stdio: 'inherit' }); undefined"}
FLOOD = {"bash": "head -c {} /dev/zero | tr '\\0' x", "python3": "for _ in range({} // 8192): print('x' * 8191)",
         "node": "for (let i = 0; i < {} / 8192; i++) console.log('x'.repeat(8191))"}
ONE_PRINT = {"bash": "x=é; for _ in {1..22}; do x=$x$x; done; echo \"x$x\"", "python3": "print('x' + 'é' * (1 << 22))",
             "node": "console.log('x' + 'é'.repeat(1 << 22))"}
FORK = {"bash": "( echo child ); sh -c 'echo child' & wait $!; echo parent 2>/dev/null",
        "python3": "import os\nchild = os.fork()\nprint('parent' if child else 'child', flush=True)\nif child: _ = os.waitpid(child, 0)",
        "node": "const c = require('child_process').spawn('sh', ['-c', 'echo child'], { stdio: 'inherit' });"
                "await new Promise(done => c.on('close', done)); console.log('parent')"}
NUL = {"bash": "echo a\0b", "python3": "print('a\0b')", "node": "console.log('a\0b')"}
LOOP = {"bash": "while :; do :; done", "python3": "while True: pass", "node": "for (;;);"}
SHORT = {"bash": "for i in 1 2 3 4 5 6 7 8 9; do :; done", "python3": "for i in range(20000): pass",
         "node": "for (let i = 0; i < 2e5; i++);"}


def works(kernel):
    reply, streams, _ = kernel.run(HELLO[kernel.name])
    assert (reply["status"], streams["stdout"]) == ("ok", "hello\n"), (reply, streams)


def peak_kb(kernel):
    return int(open(f"/proc/{kernel.manager.provisioner.pid}/status").read().split("VmHWM:")[1].split()[0])


def test_a_syntax_error(kernel):
    reply, _, others = kernel.run(BROKEN[kernel.name])
    assert reply["status"] == "error" and [kind for kind, _ in others] == ["error"], reply
    works(kernel)


def test_broken_bytes_become_text(kernel):
    assert kernel.run(BYTES[kernel.name])[1]["stdout"] == "a\ufffdb"


def test_a_flood_in_one_print_is_whole(kernel):
    reply, streams, _ = kernel.run(ONE_PRINT[kernel.name])
    wanted = "x" + "é" * (1 << 22) + "\n"
    got = streams["stdout"]  # compared outside of the assert: pytest would write both of them
    same = got == wanted
    assert reply["status"] == "ok" and same, (reply, len(got), got.count("\ufffd"))
    assert peak_kb(kernel) < 96 << 10
    works(kernel)


def test_a_source_with_a_nul(kernel):
    reply, streams, _ = kernel.run(NUL[kernel.name])
    assert reply["status"] == "error" or streams["stdout"] == "a\0b\n"
    works(kernel)


@pytest.mark.parametrize("how", [EXIT, KILLED, DEAF], ids=["exit", "killed", "all-descriptors-closed"])
def test_an_interpreter_that_ends_is_said_and_replaced(kernel, how):
    reply, _, _ = kernel.run(how[kernel.name])
    assert reply["status"] == "error"
    assert reply["ename"] in ("ShellExit", "InterpreterExit"), reply
    if how is KILLED:
        assert "137" in reply["evalue"] or "SIGKILL" in reply["evalue"], reply
    works(kernel)


def test_an_interpreter_that_ends_between_cells(kernel):
    own = {"bash": "echo $$", "python3": "import os; print(os.getpid())", "node": "console.log(process.pid)"}
    os.kill(int(kernel.run(own[kernel.name])[1]["stdout"]), 9)
    reply, streams, _ = kernel.run(HELLO[kernel.name])
    # Said in the next cell; one that came while the signal was on its way may be the one that it ended.
    assert "variables are lost" in streams["stderr"] or reply["status"] == "error", (reply, streams)
    works(kernel)


def test_a_cell_that_forks(kernel):
    reply, streams, others = kernel.run(FORK[kernel.name])
    assert reply["status"] == "ok" and others == [], (reply, others)
    assert set(streams["stdout"].split()) == {"child", "parent"}, streams
    works(kernel)


def test_a_flood_is_whole_and_takes_no_memory(kernel):
    size = (200 if FULL else 8) << 20
    reply, streams, _ = kernel.run(FLOOD[kernel.name].format(size), seconds=120)
    assert reply["status"] == "ok" and len(streams["stdout"]) == size
    assert peak_kb(kernel) < 96 << 10
    works(kernel)


# Each is more than a pipe takes at once: the interrupt comes between two of its pieces.
SHOW = {"bash": "while :; do printf '%300000d' 1; done", "python3": "while True: display('x' * 300_000)",
        "node": "for (;;) display.text('x'.repeat(300_000))"}


def drain(kernel, asked):
    """Takes its outputs to their end: those that nobody takes are dropped after 10 s, and that end with them."""
    begun = pressed = time.monotonic()
    while time.monotonic() < begun + 60:
        with contextlib.suppress(queue.Empty):
            message = kernel.client.get_iopub_msg(timeout=1)
            ours = message["parent_header"].get("msg_id") == asked
            if ours and message["content"].get("execution_state") == "idle":
                return
        if time.monotonic() > pressed + 1:  # the first one came before the cell
            kernel.manager.interrupt_kernel()
            pressed = time.monotonic()
    raise AssertionError("no end")


@pytest.mark.parametrize("code", [LOOP, SHORT, SHOW], ids=["loop", "short", "show"])
def test_an_interrupt_at_any_instant_ends_the_cell_and_nothing_else(kernel, code):
    set_, get = {"bash": ("k=7", "echo $k"), "python3": ("k = 7", "print(k)"), "node": ("k = 7", "console.log(k)")}[kernel.name]
    kernel.run(set_)
    chance = random.Random(4711)
    for _ in range((200 if FULL else 25) // (5 if code is SHOW else 1)):
        asked = kernel.client.execute(code[kernel.name], allow_stdin=False)
        time.sleep(chance.random() * 0.004)  # the instant is what is tried
        kernel.manager.interrupt_kernel()
        drain(kernel, asked)
        reply = answer_of(kernel)
        assert reply["status"] == "ok" or reply["ename"] == "KeyboardInterrupt", reply
    assert kernel.run(get)[1]["stdout"] == "7\n"


def test_cells_sent_after_an_error_was_answered_run(kernel):
    for _ in range(25):
        kernel.client.execute(BROKEN[kernel.name], allow_stdin=False)
        assert answer_of(kernel)["status"] == "error"
        kernel.client.execute(HELLO[kernel.name], allow_stdin=False)
        assert answer_of(kernel)["status"] == "ok"


def test_a_missing_or_old_interpreter_is_said(tmp_path):
    connection = tmp_path / "c.json"
    connection.write_text(json.dumps({
        **{f"{n}_port": i + 1 for i, n in enumerate(("shell", "iopub", "stdin", "control", "hb"))},
        "transport": "ipc", "ip": str(tmp_path / "s"), "key": "k", "signature_scheme": "hmac-sha256"}))
    run = [str(BINARY), "kernel", "python3", "-f", str(connection)]
    missing = subprocess.run(run, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30)
    assert missing.returncode == 1 and "no python3 or python on PATH" in missing.stderr
    old = tmp_path / "python3"
    said = json.dumps({"t": "hello", "version": "3.6.1", "refusal": "Python 3.6.1 is too old"})
    old.write_text(f"#!/bin/sh\nprintf 'j\\{len(said):03o}\\000\\000\\000%s' '{said}' >&4\nexit 3\n")
    old.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    too_old = subprocess.run(run, env=env, capture_output=True, text=True, timeout=30)
    assert too_old.returncode == 1 and "too old" in too_old.stderr
    checked = subprocess.run([str(BINARY), "kernel", "check", "bash", "python3"], env=env, capture_output=True, text=True, timeout=30)
    assert checked.returncode == 1 and checked.stderr == "execd kernel python3: Python 3.6.1 is too old\n"
    broken = subprocess.run([*run[:-1], "/no/such"], capture_output=True, text=True, timeout=30)
    assert broken.returncode == 1 and "/no/such" in broken.stderr


def test_an_old_bash_or_node_is_said(tmp_path):
    bash, node = tmp_path / "bash", tmp_path / "node"
    bash.write_text("#!/bin/sh\nprintf 'R3.2.57(1)-release\\0' >&4\nexec sleep 60\n")
    # The real one, but for what it says of itself: --no-warnings -e CODE.
    node.write_text("#!/bin/sh\nexec " + shutil.which("node") + ' "$1" "$2" '
                    "\"Object.defineProperty(process.versions, 'node', { value: '16.20.2' });$3\"\n")
    for each in (bash, node):
        each.chmod(0o755)
    checked = subprocess.run([str(BINARY), "kernel", "check", "bash", "node"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 1
    assert checked.stderr.splitlines() == [
        "execd kernel bash: bash 3.2.57(1)-release is too old: 4.0 is the oldest that works",
        "execd kernel node: Node 16.20.2 is too old: 18 is the oldest that works"]


def test_a_kernel_ends_with_the_client_that_started_it(tmp_path):
    """Jupyter's clients name themselves in JPY_PARENT_PID; one that is killed can ask for no shutdown."""
    connection = tmp_path / "c.json"
    connection.write_text(json.dumps({
        **{f"{n}_port": i + 1 for i, n in enumerate(("shell", "iopub", "stdin", "control", "hb"))},
        "transport": "ipc", "ip": str(tmp_path / "s"), "key": "k", "signature_scheme": "hmac-sha256"}))
    client = subprocess.Popen(
        ["bash", "-c", f"JPY_PARENT_PID=$$ {BINARY} kernel bash -f {connection} & echo $!; read line"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    kernel_pid = int(client.stdout.readline())
    processes.eventually(lambda: (tmp_path / "s-5").exists() and processes.children(kernel_pid), what="the kernel")
    everyone = [kernel_pid, *processes.children(kernel_pid)]
    client.kill()
    client.wait()
    assert all(processes.wait_gone(pid) for pid in everyone)
