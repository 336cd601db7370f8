"""SIGINT that comes from elsewhere, and interrupts of what waits, in native kernels (docs/native-kernels.md, issue J)."""

import os

import pytest

from harness.native import Driver

# Each says that it is about to wait (past the streams: prints are below);
# the interrupt goes out when that has come.
WAITS = {"a promise nobody settles": "await new Promise(() => {})",
         "a loop behind an await": "await null; for (;;);",
         "a loop in a callback": "setTimeout(() => { require('fs').writeSync(1, 'in it\\n'); for (;;); }, 10); await new Promise(() => {})",
         "a loop in a microtask": "queueMicrotask(() => { for (;;); }); await new Promise(() => {})"}


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    one = Driver("bash", tmp_path_factory.mktemp("k"))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    one = Driver("node", tmp_path_factory.mktemp("k"))
    yield one
    one.stop()


@pytest.mark.parametrize("code", [
    "kill -INT $$", "kill -INT 0", "set -m; bash -c 'kill -INT $$'",
    "PROMPT_COMMAND=; unset PROMPT_COMMAND; kill -INT $$", "PROMPT_COMMAND='(exit 7)'; kill -INT $$",
    "for i in 1 2 3 4; do bash -c 'kill -INT $PPID' & done; wait; wait"])
def test_an_interrupt_that_is_not_the_clients_ends_the_cell(bash, code):
    bash.run("k=7")
    reply, streams, _ = bash.run(f"echo on; {code}; echo after")
    assert (reply["status"], reply["ename"], reply["evalue"]) == ("error", "ExitStatus", "130"), reply
    assert streams["stdout"] == "on\n"
    for _ in range(5):
        reply, streams, _ = bash.run("echo $k $?; set +m; unset PROMPT_COMMAND; wait")
        if reply["status"] == "ok":  # the signal of a child that is slow ends the cell that it meets
            break
    assert (reply["status"], streams["stdout"]) == ("ok", "7 130\n")


def test_a_prompt_command_of_the_users_own_is_kept_and_run(bash):
    bash.run("PROMPT_COMMAND='prompts=$((prompts + 1))'")
    bash.run("kill -INT $$")
    reply, streams, _ = bash.run("echo $PROMPT_COMMAND $((prompts > 0)); unset PROMPT_COMMAND")
    assert (reply["status"], streams["stdout"]) == ("ok", "prompts=$((prompts + 1)) 1\n")


@pytest.mark.parametrize("options", ["set -u", "set -e", "set -o posix", "IFS=:; set -f"])
def test_options_of_the_users_own_change_no_report(bash, options):
    bash.run(f"{options}; k=7")
    reply, _, _ = bash.run("kill -INT $$; echo after")
    assert (reply["status"], reply["evalue"]) == ("error", "130"), reply
    reply, streams, _ = bash.run("echo $k; set +u; set +e; set +o posix; unset IFS; set +f")
    assert (reply["status"], streams) == ("ok", {"stdout": "7\n", "stderr": ""}), (reply, streams)


def test_a_posix_shell_has_them_too(tmp_path):
    one = Driver("bash", tmp_path, {**os.environ, "POSIXLY_CORRECT": "1"})
    try:
        reply, streams, _ = one.run("shopt -qo posix && echo posix; kill -INT $$")
        assert (reply["evalue"], streams["stdout"]) == ("130", "posix\n")
        assert one.run("echo on")[1] == {"stdout": "on\n", "stderr": ""}
    finally:
        one.stop()


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
def test_an_interrupt_of_a_wait_in_node_keeps_its_variables(node, code):
    node.run("var k = 7")
    last = "in it\n" if "in it" in code else "go\n"

    def said(text):
        if text.endswith(last):
            node.manager.interrupt_kernel()
    reply, _, _ = node.run("require('fs').writeSync(1, 'go\\n'); " + code, said=said)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt"), reply
    for _ in range(2):
        reply, streams, _ = node.run("await null; await new Promise(done => setTimeout(done, 1)); console.log(k)")
        assert (reply["status"], streams) == ("ok", {"stdout": "7\n", "stderr": ""}), (reply, streams)


@pytest.mark.parametrize("size", [1, 8_000, 100_000])
def test_an_interrupt_in_the_middle_of_prints_leaves_the_streams_whole(node, size):
    node.run("var k = 7")
    for _ in range(3):
        pressed = []

        def begun():
            if not pressed:
                pressed.append(node.manager.interrupt_kernel())
        reply, _, _ = node.run(f"for (;;) console.log('x'.repeat({size}))", begun=begun)
        assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt"), reply
        reply, streams, _ = node.run("console.log(k)")
        assert reply["status"] == "ok" and streams["stdout"][-2:] == "7\n" and streams["stderr"] == "", (reply, streams)
