"""The daemon as a process: doctor, exit codes, SIGTERM, PID 1, children (issue A 6; opensandbox.md 3.5, 13.6)."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from harness import frames, processes
from harness.daemon import BINARY, PYTHON, Daemon, run_once, write_kernelspec
from harness.wire import Wire


def test_version_is_one_line():
    done = run_once("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"execd \d+\.\d+\.\d+( .*)?\n", done.stdout), done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("spelling", ["--help", "-help", "-h"])
def test_help_exits_0(spelling):
    done = run_once(spelling)
    assert done.returncode == 0
    assert "--port" in done.stdout + done.stderr


@pytest.mark.parametrize("flag", ["--no-such-flag", "-no-such-flag", "-x", "-p", "-9"])
def test_an_unknown_flag_is_usage_and_exit_2(flag):
    done = run_once(flag, "9000")
    assert done.returncode == 2
    assert flag in done.stderr


def test_a_flag_without_its_value_is_exit_2():
    done = run_once("--port")
    assert done.returncode == 2
    assert "port" in done.stderr


def test_a_port_in_use_is_exit_1_with_the_reason():
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_once("--port", str(port))
        assert done.returncode == 1
        assert str(port) in done.stderr + done.stdout


def test_extra_positional_arguments_are_tolerated(fresh_daemon):
    one = fresh_daemon(args=["tail", "-f", "/dev/null"])  # how the server's injector starts it
    assert one.call("GET", "/ping").status == 200


def test_execd_port_and_single_dash_flags(fresh_daemon):
    assert fresh_daemon(env={"EXECD_PORT": "0"}, port=None).call("GET", "/ping").status == 200
    assert fresh_daemon(args=["-port=0", "-log-level", "7"], port=None).call("GET", "/ping").status == 200


def test_it_listens_on_every_ipv4_address(daemon):
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    for address in [a for a in addresses if ":" not in a] + ["127.0.0.1", "127.0.0.2"]:
        with Wire(daemon.port, address) as wire:
            assert wire.request("GET", "/ping").status == 200


def test_doctor_reports_and_exits():
    done = run_once("doctor")
    assert done.returncode in (0, 1), (done.stdout, done.stderr)
    assert len(done.stdout.splitlines()) >= 3
    for word in ("shell", "processes", "code contexts"):
        assert word in done.stdout.lower(), done.stdout


@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_no_thread_to_be_had_is_said_with_exit_1(command):
    """An account that may not have one more process or thread."""
    with tempfile.TemporaryDirectory() as room:  # where everybody may come
        os.chmod(room, 0o755)
        arguments = [shutil.copy(BINARY, room), *(["doctor"] if command == "doctor" else ["--port", "0"])]
        done = subprocess.run(arguments, user=65534, group=65534, cwd="/", capture_output=True, text=True, timeout=20,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)), check=False)
    assert done.returncode == 1, done
    assert "thread" in done.stdout + done.stderr and "raise the pids limit" in done.stdout + done.stderr, done
    assert command == "serve" or "BROKEN" in done.stdout


def code_contexts(*args, path, **env):
    """(grade, what is said, the mending step or "") of doctor's line, with nothing but `path` on PATH."""
    done = run_once("doctor", *args, env={"PATH": str(path), **env})
    assert done.returncode == 0, (done.stdout, done.stderr)
    grade, detail, mend = re.search(r"^(\S+) +code contexts +(.*)\n(?: +mend: (.*)\n)?", done.stdout, re.M).groups()
    return grade, detail, mend or ""


@pytest.fixture
def bare(tmp_path):
    """An empty directory to be PATH, and a home without kernels."""
    for name in ("bin", "home"):
        (tmp_path / name).mkdir()
    return {"path": tmp_path / "bin", "HOME": str(tmp_path / "home")}


def test_doctor_with_ipykernel(bare, tmp_path):
    grade, detail, mend = code_contexts(**bare, JUPYTER_PATH=str(write_kernelspec(tmp_path)))
    assert (grade, mend) == ("ok", "") and re.search(r"kernels: .*\bpython3\b", detail), detail
    assert "execd-python3" not in detail


def test_doctor_with_a_bare_python_only(bare):
    (bare["path"] / "python3").symlink_to(os.path.realpath(sys.executable))
    grade, detail, mend = code_contexts(**bare)
    assert (grade, mend) == ("ok", "") and "execd-python3" in detail, detail


def test_doctor_without_a_python(bare):
    grade, detail, mend = code_contexts(**bare)
    assert grade == "limited" and "python3" not in detail and "python3" in mend, (detail, mend)
    for name in ("bash", "node"):
        (bare["path"] / name).symlink_to(shutil.which(name))
    grade, detail, mend = code_contexts(**bare)
    assert grade == "limited" and "none for Python" in detail and "python3" in mend, (detail, mend)
    assert "execd-bash" in detail and "execd-node" in detail, detail


def test_doctor_with_a_python_that_is_not_on_path(bare):
    for args, env in ((["--python", PYTHON], {}), ([], {"EXECD_PYTHON": PYTHON})):
        grade, detail, mend = code_contexts(*args, **bare, **env)
        assert (grade, mend) == ("ok", "") and "python3" in detail and "execd-python3" not in detail, detail


def test_the_log_is_json_lines_with_an_event_each(daemon):
    lines = [line for line in daemon.log if line]
    assert lines and all(line.startswith("{") for line in lines), lines[:3]
    for event in daemon.events():
        assert event["event"] and event["level"] in ("debug", "info", "warn", "error")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_0(signum):
    one = Daemon().listening()
    with one.wire() as idle:
        idle.request("GET", "/ping")
        one.stop(signum=signum, expect=0, seconds=5)
        assert idle.at_end()


def test_sigterm_ends_running_commands_kernels_and_streams(tmp_path):
    one = Daemon(args=["--drain-timeout", "500ms"]).listening()
    one.code("x = 1")
    pids = tmp_path / "pids"
    with one.stream("/command", {"command": f"sleep 301 & echo $! > {pids}; echo on; wait"}) as stream:
        stream.until("stdout", "on")
        sleeper = int(pids.read_text())
        one.stop(expect=3, seconds=15)  # the stream had to be cut
        assert processes.wait_gone(sleeper, 1)


def test_sigterm_lets_a_running_request_finish(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    one = Daemon().listening()
    with one.stream("/command", {"command": f"echo on; read x < {gate}; echo done"}) as stream:
        stream.until("stdout", "on")
        os.kill(one.proc.pid, signal.SIGTERM)
        one.wait_event("daemon.stopping")
        gate.write_text("go\n")
        assert frames.joined(stream.rest()) == "on\ndone\n"
        assert frames.exit_of(stream.events) == 0
    one.stop(expect=0, seconds=15)


def test_sigterm_while_clients_are_at_every_stage():
    one = Daemon(args=["--drain-timeout", "500ms"]).listening()
    wires = [one.wire() for _ in range(4)]
    wires[0].send(b"GET /pi")
    wires[1].send(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    wires[2].send(b"POST /files/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                  b"Content-Type: multipart/form-data; boundary=b\r\n\r\n5\r\nhello\r\n")
    one.call("GET", "/ping")
    one.stop(expect=3, seconds=15)  # half requests were cut
    for wire in wires:
        wire.sock.close()


def test_children_start_with_default_signals():
    def ignore_and_block():
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGTTOU):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD])

    one = Daemon(preexec=ignore_and_block).listening()
    events = one.command(["grep", "-E", "Sig(Ign|Blk|Cgt)", "/proc/self/status"])
    masks = dict(line.split(":\t") for line in frames.joined(events).splitlines())
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigIgn"], 16) == 0
    one.stop()


NAMESPACE = ["unshare", "-pf", "--mount-proc"]


@pytest.fixture
def as_pid_1():
    one = Daemon(wrapper=NAMESPACE).listening()
    yield one
    one.stop(pid=one.pid)


def test_as_pid_1_it_serves_and_is_pid_1(as_pid_1):
    assert as_pid_1.shell("cat /proc/1/comm; echo $PPID").splitlines() == [BINARY.name[:15], "1"]


def test_as_pid_1_orphans_are_reaped(as_pid_1, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"for i in $(seq 1 50); do (sh -c 'read x < {gate}' &) ; done; echo started"
    assert as_pid_1.shell(script) == "started\n"
    pid = as_pid_1.pid
    processes.eventually(lambda: len(processes.children(pid)) >= 50, what="fifty orphans adopted")
    with open(gate, "w", encoding="ascii") as out:  # all fifty see the end of the FIFO
        out.write("go\n")
    processes.eventually(lambda: not processes.children(pid), what="no child and no zombie left")


def test_as_pid_1_no_status_is_lost(as_pid_1):
    with as_pid_1.wire() as wire:
        for number in range(100):
            code = number % 7
            body = b'{"command":"(sleep 0 &); (true &); exit %d"}' % code
            assert frames.exit_of(frames.split(wire.request("POST", "/command", body=body).body)) == code


def test_as_pid_1_sigterm_ends_it():
    one = Daemon(wrapper=NAMESPACE, args=["--drain-timeout", "500ms"]).listening()
    with one.stream("/command", {"command": "setsid sleep 302 & echo on; wait"}) as stream:
        stream.until("stdout", "on")
        one.stop(pid=one.pid, expect=3, seconds=15)  # the stream had to be cut


def test_not_as_pid_1_orphans_are_adopted_and_reaped(daemon):
    def kids():
        return set(processes.children(daemon.pid))

    before = kids()
    pid = int(daemon.shell("(sleep 303 >/dev/null 2>&1 & echo $!)"))
    processes.eventually(lambda: pid in kids(), what="the orphan adopted (subreaper)")
    os.kill(pid, 9)
    processes.eventually(lambda: kids() <= before, what="the orphan reaped")


def test_read_only_home_and_tmp_do_not_stop_it(tmp_path):
    wrapper = ["unshare", "-m", "sh", "-c",
               'mount -t tmpfs -o ro none /var/tmp; mount -t tmpfs -o ro none /root; exec "$@"', "sh"]
    one = Daemon(wrapper=wrapper, python=False, env={"HOME": "/root", "TMPDIR": "/var/tmp"})
    one.listening()
    assert one.shell("echo ok") == "ok\n"
    one.stop()


def test_an_unprivileged_daemon_works():
    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    one = Daemon(preexec=become_nobody, env={"HOME": "/nonexistent", "TMPDIR": "/tmp"}, python=False)
    one.listening()
    assert one.shell("id -u") == "65534\n"
    events = one.command("true", uid=0)
    assert frames.kinds(events) == ["init", "error"], "another uid is out of reach and must be said so"
    one.stop()


def test_without_home(fresh_daemon):
    assert fresh_daemon(env={"HOME": ""}, python=False).shell("echo ok") == "ok\n"
