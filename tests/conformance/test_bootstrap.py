"""deploy/bootstrap.sh in the shells that images have, with a stand-in for execd that writes down what happens to it
(contracts/opensandbox.md §3.6, opensandbox-1.1.md §9)."""

import json
import os
import shutil
import signal
import subprocess
import threading

import pytest

from harness import frames, processes
from harness.daemon import BINARY, REPO, Daemon, run_once

SHELLS = [["dash"], ["busybox", "sh"], ["bash", "--posix"]]
SCRIPT = str(REPO / "deploy" / "bootstrap.sh")
STAND_IN = """#!/bin/sh
trap 'echo "told $$" >>{book}; kill $!; exit 0' TERM
echo "begun $$ $*" >>{book}
while :; do sleep 60 >/dev/null 2>&1 & wait $!; done
"""


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def box(request, tmp_path):
    assert shutil.which(request.param[0]), f"{request.param[0]} is missing: scripts/deps --test"
    return Box(request.param, tmp_path)


class Box:
    def __init__(self, shell, room):
        self.shell, self.room, self.book = shell, room, room / "book"
        self.book.touch()
        stand_in = room / "execd"
        stand_in.write_text(STAND_IN.format(book=self.book))
        stand_in.chmod(0o755)
        self.env = {"PATH": os.environ["PATH"], "EXECD": f"{stand_in} --log-level 3", "EXECD_ENVS": str(room / "made" / "env")}

    def start(self, *args, **env):
        return subprocess.Popen([*self.shell, SCRIPT, *args], env={**self.env, **env}, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def lines(self):
        return self.book.read_text().splitlines()

    def daemons(self):
        return [int(line.split()[1]) for line in self.lines() if line.startswith("begun")]

    def run(self, *args, given="", **env):
        one = self.start(*args, **env)
        late = threading.Timer(30, os.killpg, (one.pid, signal.SIGKILL))
        late.start()
        out, err = one.communicate(given)
        late.cancel()
        return one.returncode, out, err

    def nothing_left(self):
        processes.eventually(lambda: not any(processes.alive(pid) for pid in self.daemons()), what="no daemon left")


def test_the_programs_status_and_streams_are_its_own(box):
    status, out, err = box.run("sh", "-c", 'read -r line; echo "got $line"; echo wrong >&2; exit 7', given="hello\n")
    assert (status, out) == (7, "got hello\n") and "wrong" in err
    assert (box.room / "made" / "env").read_text() == ""
    box.nothing_left()


def test_text_instead_of_a_program(box):
    assert box.run("-c", 'echo "$0 $1"; exit 3', "zero", "one")[:2] == (3, "zero one\n")
    assert box.run(BOOTSTRAP_CMD="echo by variable; exit 4")[:2] == (4, "by variable\n")
    assert box.run(BOOTSTRAP_SHELL="sh", given="echo a shell; exit 5\n")[:2] == (5, "a shell\n")
    before = box.room / "before"
    before.write_text("export GIVEN=beforehand\n")
    assert box.run("-c", 'echo "$GIVEN $EXECD_ENVS"', EXECD_BOOTSTRAP_PRE_SCRIPT=str(before))[1] == \
        f"beforehand {box.env['EXECD_ENVS']}\n"
    assert box.run("/no/such/program")[0] == 127
    box.nothing_left()


def test_a_daemon_that_ends_is_started_again(box):
    one = box.start("sh", "-c", "read -r line")
    processes.eventually(lambda: len(box.daemons()) == 1, what="the daemon")
    assert box.lines()[0].endswith("--log-level 3 --port 44772 --lifecycle off")
    os.kill(box.daemons()[0], signal.SIGKILL)
    processes.eventually(lambda: len(box.daemons()) == 2, what="another daemon")
    out, err = one.communicate("go\n", timeout=30)
    assert one.returncode == 0 and "execd ended with status 137; starting it again in 0 s" in err
    assert f"told {box.daemons()[1]}" in box.lines()
    box.nothing_left()


def test_term_goes_to_both(box):
    one = box.start("sh", "-c", "trap 'echo told; kill $!; exit 9' TERM; echo ready; while :; do sleep 60 >/dev/null 2>&1 & wait $!; done")
    processes.eventually(lambda: len(box.daemons()) == 1, what="the daemon")
    assert one.stdout.readline() == "ready\n"
    one.terminate()
    out, _ = one.communicate(timeout=30)
    assert (one.returncode, out) == (0, "told\n")
    assert f"told {box.daemons()[0]}" in box.lines()
    box.nothing_left()


def test_a_daemon_that_ends_at_once_is_waited_for_longer_each_time(box):
    (box.room / "execd").write_text(f"#!/bin/sh\necho begun $$ >>{box.book}\nexit 9\n")
    one = box.start("sh", "-c", "read -r line")
    said = [one.stderr.readline().strip() for _ in range(3)]
    assert said == [f"bootstrap: execd ended with status 9; starting it again in {pause} s" for pause in (0, 1, 3)]
    one.communicate("go\n", timeout=30)
    assert one.returncode == 0
    assert len(box.daemons()) == 3


def test_the_status_of_a_daemon_that_has_ended_before_anybody_looked(box):
    (box.room / "execd").write_text("#!/bin/sh\nexit 9\n")
    late = 'kill() { while [ "$1" = -0 ] && grep -qs "^State:.[^Z]" /proc/$2/status; do :; done; command kill "$@"; }'
    (box.room / "late").write_text(late + "\n")
    one = box.start("sh", "-c", "read -r line", EXECD_BOOTSTRAP_PRE_SCRIPT=str(box.room / "late"))
    assert one.stderr.readline().strip() == "bootstrap: execd ended with status 9; starting it again in 0 s"
    one.communicate("go\n", timeout=30)


def test_who_makes_the_sandboxes(box):
    one = box.start("sh", "-c", "read -r line", EXECD_LIFECYCLE="on")
    processes.eventually(lambda: len(box.daemons()) == 1, what="the daemon")
    assert box.lines()[0].endswith("--lifecycle on")
    one.communicate("go\n", timeout=30)


INIT = """#!/bin/sh
echo "$$ $*" >>{book}
"""


def test_init_puts_execd_in_the_scripts_place(box):
    (box.room / "execd").write_text(INIT.format(book=box.book))
    cases = [(["sleep", "1 2"], {"EXECD_INIT": "1"}, "sleep 1 2"), (["--init", "true"], {}, "true"),
             (["-c", "echo x"], {"EXECD_INIT": "yes", "BOOTSTRAP_SHELL": "sh"}, "sh -c echo x"),
             (["--init"], {"BOOTSTRAP_SHELL": "sh"}, "sh"),
             ([], {"EXECD_INIT": "true", "BOOTSTRAP_CMD": "exit 3", "BOOTSTRAP_SHELL": "sh"}, "sh -c exit 3")]
    for args, env, program in cases:
        box.book.write_text("")
        one = box.start(*args, **env)
        one.communicate(timeout=30)
        assert box.lines() == [f"{one.pid} --log-level 3 --port 44772 --lifecycle off --init -- {program}"]


# execd itself in init mode -------------------------------------------------------------------------------------------


def init(*program, namespace=False, **options):
    """A daemon with `program` below it, as PID 1 of its own namespace where that is asked."""
    wrapper = ["unshare", "-pf", "--mount-proc", "--kill-child"] if namespace else ()
    return Daemon(python=False, args=["--init", "--", *program], wrapper=wrapper, **options).listening()


def ended(one, status):
    """Waits for the daemon's own end and looks for what it left."""
    assert one.proc.wait(20) == status, one.report()
    one.stop(expect=status)


@pytest.mark.parametrize("namespace", [False, True])
def test_its_status_is_the_programs(namespace, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    one = init("sh", "-c", f'echo "program $$"; read -r status <{gate}; exit $status', namespace=namespace)
    assert one.shell("echo beside it") == "beside it\n"
    gate.write_text("7\n")
    ended(one, 7)
    assert any(line and line.startswith("program ") for line in one.log)


def test_a_program_that_a_signal_ended():
    one = init("sh", "-c", "sleep 0.2; kill -9 $$")
    ended(one, 137)


@pytest.mark.parametrize(("program", "status"), [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_be_started(program, status):
    done = run_once("--port", "0", "--init", "--", program, seconds=20)
    assert done.returncode == status and program in done.stderr, done


def test_init_without_a_program_is_refused():
    for words in (["--init"], ["--init", "--"]):
        done = run_once("--port", "0", *words)
        assert done.returncode == 2 and "--init" in done.stderr, done


@pytest.mark.parametrize("namespace", [False, True])
def test_term_goes_to_the_program_and_its_answer_counts(namespace):
    one = init("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done", namespace=namespace)
    processes.eventually(lambda: "ready" in one.log, what="the program")
    os.kill(one.pid, signal.SIGTERM)
    ended(one, 9)


def test_term_while_its_start_is_on_its_way():
    """It runs and says so before the daemon knows its pid: each clone3 comes back 0.3 s late."""
    late = ["strace", "-f", "-o", "/dev/null", "-e", "trace=clone3", "-e", "inject=clone3:delay_exit=300000"]
    one = Daemon(python=False, wrapper=late, env={"ASAN_OPTIONS": "detect_leaks=0"},  # which cannot look under strace
                 args=["--init", "--", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"]).listening()
    processes.eventually(lambda: "ready" in one.log, what="the program")
    os.kill(one.pid, signal.SIGTERM)
    ended(one, 9)


def test_a_program_that_does_not_heed_term_is_killed_at_the_deadline():
    one = Daemon(python=False, args=["--drain-timeout", "300ms", "--init", "--", "sh", "-c",
                                     "trap '' TERM; echo ready; while :; do sleep 1; done"]).listening()
    processes.eventually(lambda: "ready" in one.log, what="the program")
    os.kill(one.pid, signal.SIGTERM)
    assert one.proc.wait(20) == 137
    one.stop(expect=137)


def test_options_end_before_the_program():
    one = init("sh", "-c", 'echo "$1"; read -r x', "sh", "--port")
    ended(one, 1)  # its standard input is ours, which is empty
    assert "--port" in one.log


def test_bootstrap_and_execd_in_init_mode(tmp_path):
    """The script itself in front, as PID 1: it is execd that is left of it."""
    env = {"PATH": os.environ["PATH"], "EXECD": str(BINARY), "EXECD_INIT": "1", "EXECD_ENVS": str(tmp_path / "env"),
           "TMPDIR": str(tmp_path)}
    program = "tr '\\0' ' ' </proc/1/cmdline; read -r x; exit 5"
    done = subprocess.run(["unshare", "-pfn", "--mount-proc", "sh", SCRIPT, "-c", program], env=env, input="go\n", text=True,
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == 5, done
    # The network is its own, so that port 44772 is free; the log is on the same output.
    assert f"{BINARY} --port 44772 --lifecycle off --init -- " in done.stdout
    opened = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and "listener.open" in line]
    assert [line["port"] for line in opened] == [44772]


# The original's flags and variables (opensandbox.md §3.1, §3.2) ------------------------------------------------------

FLAGS = [("jupyter-host", "JUPYTER_HOST", "http://127.0.0.1:44771"), ("jupyter-token", "JUPYTER_TOKEN", "secret"),
         ("port", None, "0"), ("log-level", None, "6"), ("log-level", None, "-1"), ("log-level", None, "9"),
         ("access-token", "EXECD_ACCESS_TOKEN", "token"), ("graceful-shutdown-timeout", "EXECD_API_GRACE_SHUTDOWN", "500ms"),
         ("jupyter-idle-poll-interval", "EXECD_JUPYTER_IDLE_POLL_INTERVAL", "100ms"),
         ("jupyter-idle-poll-interval", "EXECD_JUPYTER_IDLE_POLL_INTERVAL", "-1s")]


@pytest.mark.parametrize(("flag", "env", "value"), FLAGS, ids=[f"{flag}={value}" for flag, _, value in FLAGS])
def test_the_originals_flags(flag, env, value):
    """Each in Go's four spellings, and by its variable; --version only comes after all of it was found right."""
    for words in ([f"-{flag}", value], [f"--{flag}", value], [f"-{flag}={value}"], [f"--{flag}={value}"]):
        done = run_once(*words, "--version", seconds=30)
        assert (done.returncode, done.stderr) == (0, ""), done
    if env:
        assert run_once("--version", env={env: value}, seconds=30).returncode == 0
    assert run_once(f"-{flag}", seconds=30).returncode == 2, "and without its value it is refused"


def test_the_originals_command_line_as_a_whole(fresh_daemon):
    args = ["-jupyter-host=http://127.0.0.1:44771", "--jupyter-token", "t", "-log-level", "3", "--log-level=6",
            "-graceful-shutdown-timeout=1ms", "--jupyter-idle-poll-interval", "1s", "-access-token", "x"]
    one = fresh_daemon(args=args, env={"EXECD_LOG_FILE": "", "GOMAXPROCS": "2", "OTEL_SERVICE_NAME": "x",
                                       "OPENSANDBOX_ID": "i", "OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS": "a=b"})
    assert one.call("GET", "/files/info").status == 401
    events = one.command("true", headers=[("X-EXECD-ACCESS-TOKEN", "x")])
    assert frames.exit_of(events) == 0
