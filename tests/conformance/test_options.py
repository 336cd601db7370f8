"""Every flag and every variable of the daemon, its effect and its refusals (issue A 6; opensandbox.md 3.1)."""

import contextlib
import json
import os
import re
import socket
import time

import pytest

from harness import frames, processes
from harness.daemon import PYTHON, Daemon, run_once
from harness.wire import Wire

# flag -> the environment variable beside it, and values that must be refused at start
FLAGS = {
    "--port": ("EXECD_PORT", ["70000", "-1", "x", "80 80", "0x50", "1e3", "99999999999999999999"]),
    "--host": ("EXECD_HOST", ["not-an-address", "256.1.1.1"]),
    "--listen": ("EXECD_LISTEN", ["nonsense", "127.0.0.1:x", "unix:", "1:2:3:99999"]),
    "--access-token": ("EXECD_ACCESS_TOKEN", []),
    "--allowed-origins": ("EXECD_ALLOWED_ORIGINS", []),
    "--log-level": ("EXECD_LOG_LEVEL", ["loud", "-1", "8"]),
    "--log-file": ("EXECD_LOG_FILE", []),
    "--envs-file": ("EXECD_ENVS", []),
    "--cwd": ("EXECD_CWD", ["/no/such/directory", "/etc/passwd", "relative-and-missing"]),
    "--state-dir": ("EXECD_STATE_DIR", []),
    "--python": ("EXECD_PYTHON", []),
    "--prewarm": ("EXECD_PREWARM", []),
    "--ready-kernels": ("EXECD_READY_KERNELS", ["-1", "1000", "some"]),
    "--preload": ("EXECD_PRELOAD", []),
    "--max-contexts": ("EXECD_MAX_CONTEXTS", ["0", "many"]),
    "--context-idle-timeout": ("EXECD_CONTEXT_IDLE_TIMEOUT", ["soon", "-1s"]),
    "--run-log-limit": ("EXECD_RUN_LOG_LIMIT", ["0", "1G"]),
    "--cgroups": ("EXECD_CGROUPS", ["on", "v2"]),
    "--max-connections": ("EXECD_MAX_CONNECTIONS", ["0", "-5", "many"]),
    "--upload-limit": ("EXECD_UPLOAD_LIMIT", ["0", "1G", "-1"]),
    "--drain-timeout": ("EXECD_DRAIN_TIMEOUT", ["soon", "-1s", "5 minutes"]),
    "--graceful-shutdown-timeout": ("EXECD_API_GRACE_SHUTDOWN", ["soon", "1x"]),
    "--line-terminators": ("EXECD_LINE_TERMINATORS", ["yes", "KEEP"]),
    "--jupyter-host": ("JUPYTER_HOST", ["127.0.0.1:44771", "ftp://x"]),
    "--jupyter-token": ("JUPYTER_TOKEN", []),
    "--jupyter-idle-poll-interval": ("EXECD_JUPYTER_IDLE_POLL_INTERVAL", ["often"]),
    "--version": (None, []),
    "--help": (None, []),
}
SECRETS = ["EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY", "JWT_PUBLIC_KEY"]
BAD = [(flag, env, value) for flag, (env, values) in FLAGS.items() for value in values]


def test_every_flag_of_help_is_in_the_table_above_and_the_other_way_round():
    text = run_once("--help").stdout
    listed = set(re.findall(r"^  (--[a-z][a-z-]+) ", text, re.M))
    assert listed | {"--help", "--version"} == set(FLAGS)
    assert "--help" in text and "--version" in text


def test_help_names_every_variable():
    text = run_once("--help").stdout
    missing = [env for env, _ in FLAGS.values() if env and env not in text]
    assert not missing
    assert all(name in text for name in SECRETS)


def refused(done, name):
    assert done.returncode, f"not refused: {done}"
    assert done.returncode > 0 and "listener.open" not in done.stdout, done
    assert name in done.stderr and len(done.stderr.split()) > 4, done


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, _, value in BAD])
def test_a_wrong_flag_value_is_refused_with_the_reason(flag, value):
    bare = flag.lstrip("-") if flag != "--host" else "address"
    port = [] if flag == "--port" else ["--port", "0"]
    for args in ([flag, value], [f"{flag}={value}"], [f"-{flag.lstrip('-')}={value}"]):
        done = run_once(*port, *args)
        refused(done, bare if bare in done.stderr else value)


@pytest.mark.parametrize(("env", "value"), [(env, value) for _, env, value in BAD])
def test_a_wrong_variable_is_refused_with_the_reason(env, value):
    port = [] if env == "EXECD_PORT" else ["--port", "0"]
    done = run_once(*port, env={env: value})
    refused(done, env if env in done.stderr else value)


@pytest.mark.parametrize("env", [env for env, values in FLAGS.values() if values])
def test_an_empty_variable_is_an_unset_one(env):
    one = Daemon(env={env: ""}).listening()
    assert one.call("GET", "/ping").status == 200
    one.stop()


def test_the_flag_wins_over_the_variable(fresh_daemon):
    assert fresh_daemon(env={"EXECD_PORT": "1"}).port != 1
    assert fresh_daemon(args=["--cwd", "/"], env={"EXECD_CWD": "/tmp"}).shell("pwd") == "/\n"


def test_a_bad_value_of_a_secret_is_never_shown():
    done = run_once("--port", "0", env={"JWT_PUBLIC_KEY": "canary-96-no-key"})
    assert "canary-96" not in done.stdout + done.stderr
    refused(done, "JWT_PUBLIC_KEY")


def test_secrets_given_as_flags_do_not_stay_in_the_arguments():
    one = Daemon(args=["--access-token", "canary-101", "-access-token=canary-102", "--jupyter-token", "canary-103"])
    one.listening()
    assert b"canary" not in open(f"/proc/{one.pid}/cmdline", "rb").read()
    assert one.call("GET", "/files/info", headers=[("X-EXECD-ACCESS-TOKEN", "canary-102")]).status == 200
    one.stop()


def test_host_restricts_the_listener(fresh_daemon):
    one = fresh_daemon(args=["--host", "127.0.0.2"])
    with Wire(one.port, "127.0.0.2") as wire:
        assert wire.request("GET", "/ping").status == 200
    with pytest.raises(ConnectionRefusedError):
        Wire(one.port, "127.0.0.1")


def test_ipv4_and_ipv6_on_one_port(daemon):
    with Wire(daemon.port, "127.0.0.1") as wire:
        assert wire.request("GET", "/ping").status == 200
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and processes.read("/proc/net/if_inet6"):
        with socket.create_connection(("::1", daemon.port), timeout=10) as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_listen_adds_a_unix_socket_and_removes_it_again(tmp_path):
    path = tmp_path / "s"
    one = Daemon(args=["--listen", f"unix:{path}"]).listening()
    with socket.socket(socket.AF_UNIX) as sock:
        processes.eventually(path.exists)
        sock.connect(str(path))
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert one.call("GET", "/ping").status == 200
    one.stop()
    assert not path.exists()


def test_max_connections(fresh_daemon):
    one = fresh_daemon(args=["--max-connections", "3"])
    wires = [one.wire() for _ in range(3)]
    for wire in wires:
        assert wire.request("GET", "/ping").status == 200
    with one.wire() as fourth:
        fourth.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert fourth.response().status == 503
    for wire in wires:
        wire.sock.close()
    processes.eventually(lambda: one.call("GET", "/ping").status == 200, what="room again")


def test_upload_limit(fresh_daemon, tmp_path):
    one = fresh_daemon(args=["--upload-limit=1000"])
    form = [("Content-Type", "multipart/form-data; boundary=b")]

    def body(size):
        meta = json.dumps({"path": f"{tmp_path}/f"})
        return (f'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{meta}\r\n'
                f'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
                f'{"x" * size}\r\n--b--\r\n').encode()

    assert one.call("POST", "/files/upload", body=body(100), headers=form).status == 200
    assert one.call("POST", "/files/upload", body=body(5000), headers=form).status == 413
    assert (tmp_path / "f").stat().st_size == 100


def test_drain_timeout_bounds_the_wait_for_running_requests():
    one = Daemon(args=["--drain-timeout", "300ms"]).listening()
    with one.stream("/command", {"command": "echo on; sleep 311"}) as stream:
        stream.until("stdout", "on")
        begun = time.monotonic()
        one.stop(expect=3, seconds=15)  # cut, and its exit status says so
        assert 0.25 < time.monotonic() - begun < 10


def test_graceful_shutdown_timeout_keeps_a_finished_stream_open(fresh_daemon):
    one = fresh_daemon(args=["--graceful-shutdown-timeout", "400ms"])
    with one.stream("/command", {"command": "true"}) as stream:
        stream.until("execution_complete")
        begun = time.monotonic()
        assert stream.next() is None
        assert 0.3 < time.monotonic() - begun < 5


def test_a_finished_stream_ends_at_once_by_default(daemon):
    with daemon.stream("/command", {"command": "true"}) as stream:
        stream.until("execution_complete")
        begun = time.monotonic()
        assert stream.next() is None
        assert time.monotonic() - begun < 0.5


def test_envs_file_is_read_for_every_command(fresh_daemon, tmp_path):
    path = tmp_path / "envs"
    one = fresh_daemon(args=["--envs-file", str(path)])
    assert one.shell("echo ${FROM_FILE-none} $EXECD_ENVS") == f"none {path}\n"
    path.write_text("FROM_FILE=1\n")
    assert one.shell("echo $FROM_FILE") == "1\n"


def test_cwd_is_where_commands_start(fresh_daemon, tmp_path):
    assert fresh_daemon(env={"EXECD_CWD": str(tmp_path)}).shell("pwd") == f"{tmp_path}\n"


def test_state_dir_is_private_and_cleaned(tmp_path):
    one = Daemon(args=["--state-dir", f"{tmp_path}/state"]).listening()
    one.shell("seq 1 300000")
    if (tmp_path / "state").exists():
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    one.stop()
    left = [p for p in (tmp_path / "state").rglob("*") if p.is_file()] if (tmp_path / "state").exists() else []
    assert not left


def test_python_chooses_the_interpreter(fresh_daemon):
    one = fresh_daemon(args=["--python", PYTHON], python=False)
    events = one.code("import sys; sys.prefix")
    assert [e["results"]["text"] for e in events if e["type"] == "result"], events


def test_prewarm_python_is_part_of_readiness(fresh_daemon):
    one = fresh_daemon(args=["--prewarm", "python"])
    processes.eventually(lambda: one.call("GET", "/execd/v1/ready").status == 200, 60, "ready")
    assert [e["results"]["text"] for e in one.code("1+1") if e["type"] == "result"] == ["2"]


def test_the_api_key_is_a_second_secret(fresh_daemon):
    one = fresh_daemon(env={"SANDBOX_API_KEY": "key-97"})
    with one.wire() as wire:
        assert wire.request("GET", "/files/info").status == 401
        assert wire.request("GET", "/ping").status == 200


def test_compatibility_flags_are_accepted(fresh_daemon):
    one = fresh_daemon(args=["--jupyter-host", "http://127.0.0.1:44771", "--jupyter-token=canary-98",
                             "--jupyter-idle-poll-interval", "50ms"])
    assert frames.joined(one.command("env")).count("canary-98") == 0
    assert "canary-98" not in "\n".join(line for line in one.log if line)


def test_allowed_origins(fresh_daemon):
    one = fresh_daemon(args=["--allowed-origins", "https://one.example, https://two.example"])
    assert one.call("GET", "/ping", headers=[("Origin", "https://one.example")]).status == 200


def listening_port(pid):
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    rows = [row.split() for table in ("tcp", "tcp6") for row in processes.read(f"/proc/{pid}/net/{table}").splitlines()]
    return any(words[3] == "0A" and f"socket:[{words[9]}]" in inodes for words in rows)


@pytest.mark.parametrize("level", ["3", "error", "off"])
def test_a_quiet_log_level(level):
    one = Daemon(args=["--log-level", level])
    processes.eventually(lambda: listening_port(one.pid), what="a listening socket")
    one.stop()
    assert [line for line in one.log if line] == []


def test_the_log_file(tmp_path):
    path = tmp_path / "log"
    one = Daemon(env={"EXECD_LOG_FILE": str(path)})
    processes.eventually(lambda: path.exists() and "listener.open" in path.read_text(), what="listener.open in it")
    one.stop()
    assert [line for line in one.log if line] == []


def test_an_impossible_log_file_is_said_and_does_not_stop_it(fresh_daemon):
    one = fresh_daemon(args=["--log-file", "/dev/null/log"])
    assert "/dev/null/log" in "\n".join(line for line in one.log + one.err if line)
