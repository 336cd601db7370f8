"""POST /command, what a command is and how it ends: opensandbox.md 1.2, 1.3, 3.4; opensandbox-1.1.md 1."""

import os
import time

import pytest

from harness import frames, processes
from harness.daemon import MARK


@pytest.mark.parametrize(("command", "code", "traceback"), [
    ("exit 1", 1, "exit status 1"), ("exit 255", 255, "exit status 255"), ("false", 1, "exit status 1"),
    ("no-such-program-here", 127, "exit status 127"), ("kill -9 $$", -1, "signal: killed"),
    ("kill -TERM $$", -1, "signal: terminated"), ("kill -SEGV $$", -1, None), ("ulimit -c 0; kill -ABRT $$", -1, None),
])
def test_exit_codes_and_signals(daemon, command, code, traceback):
    events = daemon.command(command)
    assert frames.exit_of(events) == code
    error = frames.terminal(events)["error"]
    assert (error["ename"], error["evalue"]) == ("CommandExecError", str(code))
    assert len(error["traceback"]) == 1
    assert traceback is None or error["traceback"] == [traceback]


def test_stdin_is_empty(daemon):
    assert daemon.shell("cat; echo end; readlink /proc/self/fd/0") == "end\n/dev/null\n"


def test_shell_syntax_is_bash(daemon):
    assert daemon.shell("a=(1 2 3); echo ${#a[@]} <(true) | cut -d' ' -f1; cat <<'E'\nhere $x\nE\n") == "3\nhere $x\n"


def test_children_see_only_their_three_descriptors(daemon):
    names = frames.joined(daemon.command(["ls", "/proc/self/fd"])).split()
    assert names == ["0", "1", "2", "3"]  # 3 is ls reading the directory


def test_own_process_group_without_a_terminal(daemon):
    pid, group, tty = daemon.shell("ps -o pid=,pgid=,tty= -p $$").split()
    assert pid == group
    assert tty == "?"


def test_environment_layers(daemon):
    events = daemon.command(f'echo "$HOME|$ADDED|$PATH_KEPT|${MARK}"', envs={"ADDED": "x y $HOME", "PATH_KEPT": ""})
    assert frames.joined(events) == f"{daemon.home}|x y $HOME||{daemon.run_id}\n"


def test_cwd_default_is_the_daemons_and_pwd_is_set(daemon, work):
    assert daemon.shell("pwd") == f"{daemon.work}\n"
    assert daemon.shell("pwd; printenv PWD", cwd=str(work)) == f"{work}\n{work}\n"


def test_cwd_expands_home_and_variables(daemon):
    assert daemon.shell("pwd", cwd="~") == f"{daemon.home}\n"
    assert daemon.shell("pwd", cwd="$HOME/../work") == f"{daemon.work}\n"
    assert daemon.shell("pwd", cwd="${WHERE}/work", envs={"WHERE": str(daemon.room)}) == f"{daemon.work}\n"


def test_argv_runs_without_a_shell(daemon):
    events = daemon.command(["printf", "%s|", "$HOME", "", "a b", "*", "`id`"])
    assert frames.joined(events) == "$HOME||a b|*|`id`|"
    assert frames.exit_of(daemon.command(["false"])) == 1


def test_argv_is_found_on_the_childs_path_and_relative_to_cwd(daemon, work):
    tool = work / "tool"
    tool.write_text("#!/bin/sh\necho tool $1\n")
    tool.chmod(0o755)
    assert frames.joined(daemon.command(["tool", "1"], envs={"PATH": f"{work}:/usr/bin:/bin"})) == "tool 1\n"
    assert frames.joined(daemon.command(["./tool", "2"], cwd=str(work))) == "tool 2\n"


@pytest.mark.parametrize("argv", [["/nonexistent/program"], ["no-such-program-here"], ["/etc/passwd"], ["/"]])
def test_a_failed_start_is_an_error_event_not_an_exit_code(daemon, argv):
    events = daemon.command(argv)
    assert frames.kinds(events) == ["init", "error"]
    error = events[-1]["error"]
    assert error["ename"] == "CommandExecError"
    assert not error["evalue"].lstrip("-").isdigit() and error["evalue"]
    assert error["traceback"] == [error["evalue"]]


def test_uid_of_a_known_account_brings_its_groups(daemon):
    assert os.getuid() == 0, "the identity tests need root"
    assert daemon.shell("id -u; id -g; id -G", uid=65534) == "65534\n65534\n65534\n"


def test_uid_and_gid_as_given(daemon):
    assert daemon.shell("id -u; id -g; id -G; umask", uid=12345, gid=54321).split()[:3] == ["12345", "54321", "54321"]


def test_unknown_uid_keeps_no_group_of_the_daemons(daemon):
    uid, groups = daemon.shell("id -u; id -G", uid=12345).splitlines()
    assert uid == "12345"
    assert len(groups.split()) == 1


def test_a_background_grandchild_does_not_hold_the_answer(daemon):
    started = time.monotonic()
    pid = int(daemon.shell("sleep 100 & echo $!"))
    assert time.monotonic() - started < 5
    assert processes.alive(pid), "a normal end of the shell must not kill what it started"
    os.kill(pid, 9)
    assert processes.wait_gone(pid)


def test_a_grandchild_may_go_on_writing_after_the_end(daemon, work):
    gate, verdict = work / "gate", work / "verdict"
    os.mkfifo(gate)
    os.mkfifo(verdict)
    script = f"(read x < {gate}; i=0; while [ $i -lt 2000 ]; do echo late line $i; i=$((i+1)); done; " \
             f"echo rc=$? > {verdict}) & echo started"
    assert daemon.shell(script) == "started\n"
    gate.write_text("go\n")
    assert verdict.read_text() == "rc=0\n"


def test_timeout_kills_the_whole_group(daemon, work):
    pids = work / "pids"
    events = daemon.command(f"sleep 100 & echo $! > {pids}; echo on; wait", timeout=300)
    assert frames.joined(events) == "on\n"
    error = frames.terminal(events)["error"]
    assert (error["evalue"], error["traceback"][0]) == ("-1", "signal: killed")
    assert processes.wait_gone(int(pids.read_text()))


def test_timeout_0_is_none_and_a_long_one_does_not_disturb(daemon):
    assert daemon.shell("echo ok", timeout=0) == "ok\n"
    assert daemon.shell("echo ok", timeout=2**40) == "ok\n"


def test_client_disconnect_does_not_kill_the_command(daemon, work):
    gate, done = work / "gate", work / "done"
    os.mkfifo(gate)
    os.mkfifo(done)
    script = f"echo on; read x < {gate}; seq 1 20000; echo err >&2; echo finished > {done}"
    with daemon.stream("/command", {"command": script}) as stream:
        stream.until("stdout", "on")
        stream.wire.reset()
    assert daemon.call("GET", "/ping").status == 200
    gate.write_text("go\n")
    assert done.read_text() == "finished\n"


def interrupt(daemon, script, ready="on"):
    """Runs `script`, interrupts it after its first line and returns all events."""
    with daemon.stream("/command", {"command": script}) as stream:
        ident = stream.until("init")["text"]
        stream.until("stdout", ready)
        answer = daemon.call("DELETE", f"/command?id={ident}")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
        return stream.rest()


def test_delete_command_interrupts_the_whole_group(daemon, work):
    pids = work / "pids"
    events = interrupt(daemon, f"sleep 300 & echo $! > {pids}; echo on; wait")
    error = frames.terminal(events)["error"]
    assert (error["evalue"], error["traceback"][0]) == ("-1", "signal: terminated")
    assert processes.wait_gone(int(pids.read_text()))


def test_delete_command_lets_a_term_handler_finish(daemon):
    events = interrupt(daemon, "trap 'echo bye; exit 3' TERM; echo on; sleep 300 & wait")
    assert frames.joined(events) == "on\nbye\n"
    assert frames.exit_of(events) == 3


def test_delete_command_of_a_program_that_ends_well_is_complete(daemon):
    events = interrupt(daemon, "trap 'echo bye; exit 0' TERM; echo on; sleep 300 & wait")
    assert frames.joined(events) == "on\nbye\n"
    assert frames.exit_of(events) == 0


def test_delete_command_kills_what_ignores_term(daemon):
    started = time.monotonic()
    events = interrupt(daemon, "trap '' TERM; echo on; sleep 300")
    assert frames.terminal(events)["error"]["traceback"][0] == "signal: killed"
    assert time.monotonic() - started < 10


def test_sync_sdk_interrupt(daemon, sync_sdk):
    with daemon.stream("/command", {"command": "echo on; sleep 300"}) as stream:
        ident = stream.until("init")["text"]
        stream.until("stdout", "on")
        sync_sdk.commands.interrupt(ident)
        assert frames.exit_of(stream.rest()) == -1


def test_sync_sdk_options(sync_sdk, work):
    from datetime import timedelta

    from opensandbox.models.execd import RunCommandOpts

    opts = RunCommandOpts(working_directory=str(work), envs={"A": "b"}, timeout=timedelta(seconds=20), uid=0, gid=0)
    assert sync_sdk.commands.run("echo $PWD $A", opts=opts).text == f"{work} b"
    assert sync_sdk.commands.run(["echo", "$A"], opts=opts).text == "$A"


def test_thirty_two_commands_at_once(daemon):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(32) as pool:
        outputs = list(pool.map(lambda i: daemon.shell(f"echo {i}; echo {i} | cat"), range(96)))
    assert outputs == [f"{i}\n{i}\n" for i in range(96)]


def test_many_commands_leave_no_descriptor_and_no_child(daemon):
    daemon.shell("true")
    before = processes.open_fds(daemon.pid)
    with daemon.wire() as wire:
        for _ in range(200):
            wire.request("POST", "/command", body=b'{"command":"echo x >&2"}')
    processes.eventually(lambda: processes.open_fds(daemon.pid) <= before + 2, what="descriptors back to the start")
    zombies = [pid for pid in processes.children(daemon.pid) if not processes.alive(pid)]
    assert not zombies


@pytest.fixture(scope="module", autouse=True)
def no_stray_sleep(daemon):
    yield
    stray = [pid for pid in processes.marked(MARK, daemon.run_id)
             if processes.read(f"/proc/{pid}/cmdline").startswith("sleep")]
    assert not stray, "a sleep of these tests is still running"
