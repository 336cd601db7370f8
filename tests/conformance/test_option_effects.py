"""What each flag and each variable of the daemon does, and what holds without it; the table: test_options.py."""

import base64
import contextlib
import errno
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import frames, processes
from harness.daemon import PYTHON, Daemon, live, run_once
from harness.wire import Wire
from test_options import AGENTRUN, FLAG_OF, FLAGS, WITHOUT_FLAG


def test_ipv4_and_ipv6_on_one_port(daemon):
    with Wire(daemon.port, "127.0.0.1") as wire:
        assert wire.request("GET", "/ping").status == 200
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and processes.read("/proc/net/if_inet6"):
        with socket.create_connection(("::1", daemon.port), timeout=10) as sock:
            sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_finished_stream_ends_at_once_by_default(daemon):
    with daemon.stream("/command", {"command": "true"}) as stream:
        stream.until("execution_complete")
        begun = time.monotonic()
        assert stream.next() is None
        assert time.monotonic() - begun < 0.5


# One function for each option: start(value, ...) is a fresh daemon that has it, once by flag and once by variable. Each
# fails when the option is ignored; the three --jupyter options are meant to be.
EFFECTS = {}


def effect(*names):
    def take(function):
        EFFECTS.update(dict.fromkeys(names, function))
        return function
    return take


@effect("--port")
def zero_takes_a_free_one(start):
    one = start("0", port=None)
    assert one.port != 8080 and one.call("GET", "/ping").status == 200


@effect("--host")
def the_listener_has_that_address_only(start):
    one = start("127.0.0.2")
    with Wire(one.port, "127.0.0.2") as wire:
        assert wire.request("GET", "/ping").status == 200
    with pytest.raises(ConnectionRefusedError):
        Wire(one.port, "127.0.0.1")


@effect("--listen")
def a_unix_socket_besides_that_goes_with_the_daemon(start, room):
    path = room / "s"
    one = start(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as sock:
        processes.eventually(path.exists)
        sock.connect(str(path))
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert one.call("GET", "/ping").status == 200
    one.stop()
    assert not path.exists()


def opens(one, *headers):
    """Whether a request with these headers is let in."""
    status = one.call("GET", "/files/info", headers=headers).status
    assert status in (200, 401), status
    return status == 200


@effect("--access-token")
def only_who_has_the_token_comes_in(start):
    one = start("token-97")
    assert opens(one, ("X-EXECD-ACCESS-TOKEN", "token-97"))
    assert not opens(one) and not opens(one, ("X-EXECD-ACCESS-TOKEN", "token-98"))


@effect("SANDBOX_API_KEY")
def a_second_secret(start):
    one = start("key-97", env={"EXECD_ACCESS_TOKEN": "token-97"})
    for name in ("OPEN-SANDBOX-API-KEY", "X-EXECD-ACCESS-TOKEN"):
        assert opens(one, (name, "key-97")) and opens(one, (name, "token-97")), name
        assert not opens(one, (name, "key-98")), name
    assert not opens(one) and one.call("GET", "/ping").status == 200


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_and_token(room, name):
    """A public key, and a token that its private key signed."""
    def openssl(*args, **options):
        return subprocess.run(["openssl", *args], check=True, capture_output=True, **options).stdout

    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", room / name)
    claims = {"sub": "conformance", "exp": int(time.time()) + 600}
    head = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = openssl("dgst", "-sha256", "-sign", room / name, input=head.encode())
    return openssl("pkey", "-in", room / name, "-pubout").decode(), f"{head}.{base64url(signature)}"


@effect("JWT_PUBLIC_KEY")
def tokens_of_that_key_are_accepted(start, room):
    key, token = key_and_token(room, "ours")
    one = start(key)
    assert opens(one, ("Authorization", f"Bearer {token}"))
    foreign = key_and_token(room, "foreign")[1]
    assert not opens(one) and not opens(one, ("Authorization", f"Bearer {foreign}"))


@effect(*AGENTRUN)  # what it opens: test_agentrun_lifecycle.py
def the_key_protects(start, name):
    one = start("half-97", env={other: "half-98" for other in AGENTRUN if other != name})
    assert not opens(one) and one.call("GET", "/contexts").status == 401


@effect("--allowed-origins")
def pages_of_these_origins_may_post(start):
    one = start("https://one.example, https://two.example:8443")

    def status(name):
        headers = [("Origin", f"https://{name}")]
        return one.call("POST", "/command", json={"command": "true"}, headers=headers).status

    assert [status(name) for name in ("one.example", "two.example:8443")] == [200, 200]
    assert [status(name) for name in ("two.example", "evil.example", "one.example.evil.example")] == [401] * 3


@effect("--log-level")
def a_quiet_daemon(start):
    one = start("off", listening=False)
    processes.eventually(lambda: listening_port(one.pid), what="a listening socket")
    one.stop()
    assert [line for line in one.log if line] == []


@effect("--log-file")
def the_log_is_there_and_not_here(start, room):
    path = room / "log"
    one = start(str(path), listening=False)
    processes.eventually(lambda: path.exists() and "listener.open" in path.read_text(), what="listener.open in it")
    one.stop()
    assert [line for line in one.log if line] == []


@effect("--envs-file")
def it_is_read_for_every_command(start, room):
    path = room / "envs"
    one = start(str(path))
    assert one.shell("echo ${FROM_FILE-none} $EXECD_ENVS") == f"none {path}\n"
    path.write_text("FROM_FILE=1\n")
    assert one.shell("echo $FROM_FILE") == "1\n"


@effect("--cwd")
def commands_start_there(start, room):
    assert start(str(room)).shell("pwd") == f"{room}\n"


@effect("--state-dir")
def a_missing_directory_is_made_used_and_emptied(start, room):
    state = room / "state"
    one = start(str(state))
    assert state.is_dir() and state.stat().st_mode & 0o7777 == 0o700
    assert one.shell("echo $EXECD_ENVS") == f"{state}/execd-{os.getuid()}.env\n"
    assert new_context(one, "bash")["state"] == "idle"
    assert list(state.iterdir()), "nothing of a running kernel is in it"
    assert not [path for path in one.tmp.iterdir() if path.name.startswith("execd")]
    one.stop()
    assert list(state.iterdir()) == []


def new_context(one, language="python", status=201):
    answer = one.call("POST", "/execd/v1/contexts", json={"language": language})
    assert answer.status == status, answer
    return answer.json()


def value_of(one, expression):
    events = one.code(f"import sys; {expression}")
    found = [event["results"]["text"] for event in events if event["type"] == "result"]
    assert len(found) == 1, events
    return found[0]


@effect("--python")
def contexts_run_in_that_python(start, room):
    wanted = subprocess.run([PYTHON, "-c", "import sys; print(repr(sys.prefix))"], capture_output=True, text=True,
                            check=True).stdout.strip()
    one = start(PYTHON, python=False, env={"PATH": str(room)})  # no other Python is found
    assert value_of(one, "sys.prefix") == wanted


def ready(one):
    processes.eventually(lambda: one.call("GET", "/execd/v1/ready").status == 200, 60, "ready")
    return one


@effect("--prewarm")
def a_kernel_waits_when_it_is_ready(start):
    assert new_context(ready(start("python")))["start"] == "pooled"


@effect("--ready-kernels")
def none_waits(start):
    one = ready(start("0", args=["--prewarm", "python"]))
    assert [new_context(one)["start"] for _ in range(2)] == ["zygote", "zygote"]


@effect("--preload")
def modules_are_there_already(start):
    one = start("colorsys, sched")
    assert value_of(one, "[name in sys.modules for name in ('colorsys', 'sched', 'tabnanny')]") == "[True, True, False]"


@effect("--max-contexts")
def one_more_is_refused(start):
    one = start("1")
    new_context(one, "bash")
    assert "1 contexts, the limit" in new_context(one, "bash", 429)["error"]["message"]


@effect("--context-idle-timeout")
def an_unused_context_ends(start):
    one = start("50ms")
    target = f"/execd/v1/contexts/{new_context(one, 'bash')['id']}"
    processes.eventually(lambda: one.call("GET", target).status == 404, what="its end")


@effect("--run-log-limit")
def the_oldest_run_is_forgotten(start):
    one = start(str(1 << 20))
    code = "head -c 500000 /dev/zero | tr '\\0' x"
    body = {"context": new_context(one, "bash")["id"], "code": code, "wait_ms": 30_000}
    first, second = (one.call("POST", "/execd/v1/runs", json=body).json()["id"] for _ in range(2))
    assert [one.call("GET", f"/execd/v1/runs/{run}").status for run in (first, second)] == [404, 200]


@effect("--cgroups")
def no_limit_can_be_set(start, name):
    assert "switched off" not in run_once("doctor").stdout
    by_flag = name.startswith("--")
    done = run_once("doctor", *([name, "off"] if by_flag else []), env={} if by_flag else {name: "off"})
    assert re.search(r"limits +switched off", done.stdout), done
    pid = start("off").pid
    assert not [path for path in Path("/sys/fs/cgroup").glob(f"**/execd-*-{pid}")]


@effect("--lifecycle")
def nothing_can_be_created(start):
    one = start("off")
    assert one.call("POST", "/v1/sandboxes", json={}).status == 404
    assert one.call("GET", "/v1/isolated/capabilities").status == 200


@effect("--exit-with-last-claim")
def it_ends_with_its_last_claim(start):
    one = start("on")
    made = one.call("POST", "/v1/sandboxes", json={}).json()
    assert one.call("DELETE", f"/v1/sandboxes/{made['id']}").status == 204
    assert one.proc.wait(20) == 0
    live.remove(one)


@effect("--runtime-init")
def init_comes_first(start):
    one = start("1")
    assert one.call("POST", "/command", json={"command": "true"}).status == 503
    assert one.call("POST", "/internal/init", json={"sandboxId": "s"}).status == 200
    assert one.call("POST", "/command", json={"command": "true"}).status == 200


@effect("--max-connections")
def one_more_connection_is_answered_503(start):
    one = start("3")
    wires = [one.wire() for _ in range(3)]
    for wire in wires:
        assert wire.request("GET", "/ping").status == 200
    with one.wire() as fourth:
        fourth.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert fourth.response().status == 503
    for wire in wires:
        wire.sock.close()
    processes.eventually(lambda: one.call("GET", "/ping").status == 200, what="room again")


@effect("--upload-limit")
def a_larger_upload_is_413(start, room):
    one = start("1000")
    form = [("Content-Type", "multipart/form-data; boundary=b")]

    def body(size):
        meta = json.dumps({"path": f"{room}/f"})
        return (f'--b\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{meta}\r\n'
                f'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
                f'{"x" * size}\r\n--b--\r\n').encode()

    assert one.call("POST", "/files/upload", body=body(100), headers=form).status == 200
    assert one.call("POST", "/files/upload", body=body(5000), headers=form).status == 413
    assert (room / "f").stat().st_size == 100


@effect("--slow-request")
def it_says_what_is_slow(start):
    one = start("1ms")
    waits = {"shell": "sleep 0.05", "wait_ms": 20000}
    assert one.call("POST", "/execd/v1/executions", json=waits).status == 201
    assert one.wait_event("http.slow")["ms"] > 1
    one = start("100s")
    assert one.call("POST", "/execd/v1/executions", json=waits).status == 201
    assert one.call("GET", "/execd/v1/no-such-route").status == 404
    one.wait_event("http.failed")  # whatever came before it is in the log too
    assert not [event for event in one.events() if event.get("event") == "http.slow"]


@effect("--drain-timeout")
def it_bounds_the_wait_for_running_requests(start):
    one = start("300ms")
    with one.stream("/command", {"command": "echo on; sleep 311"}) as stream:
        stream.until("stdout", "on")
        begun = time.monotonic()
        one.stop(expect=3, seconds=15)  # cut, and its exit status says so
        assert 0.25 < time.monotonic() - begun < 9


@effect("--graceful-shutdown-timeout")
def a_finished_stream_stays_open(start):
    with start("400ms").stream("/command", {"command": "true"}) as stream:
        stream.until("execution_complete")
        begun = time.monotonic()
        assert stream.next() is None
        assert 0.3 < time.monotonic() - begun < 5


@effect("--line-terminators")
def lines_come_without_their_ends(start):
    one = start("strip")
    events = one.command("printf 'a\\nb\\n'", headers=[("User-Agent", "OpenSandbox-Python-SDK/1.1.1")])
    assert [event["text"] for event in events if event["type"] == "stdout"] == ["a", "b"]


@effect("--browser")
def there_is_no_browser(start):
    one = start("off")
    assert one.call("GET", "/execd/v1/browser").json()["mode"] == "off"
    assert one.call("GET", "/json/version").status == 503


@effect("--browser-size")
def the_desktop_has_this_size(start):
    told = start("640x480").call("GET", "/execd/v1/browser").json()
    assert (told["width"], told["height"]) == (640, 480)


@effect("--browser-program")
def this_program_is_the_browser(start):
    assert "/nowhere/chromium is not installed" in start("/nowhere/chromium").call("GET", "/json/version").text


@effect("--browser-profile", "--recordings")
def the_desktop_keeps_its_files_there(start, room, name):
    told = start(f"{room}/kept").call("GET", "/execd/v1/browser").json()
    assert told["recordings" if "RECORDINGS" in name.upper() else "profile"] == f"{room}/kept"


@effect("--browser-flags")
def chromium_gets_more_flags(start):
    assert start(" --lang=de  --mute-audio").call("GET", "/execd/v1/browser").json()["flags"] == ["--lang=de", "--mute-audio"]


@effect("--browser-user")
def the_desktop_belongs_to_this_account(start):
    assert "no-such-account" in start("no-such-account").call("GET", "/json/version").text


@effect("--recording-limit")
def recordings_take_so_much(start):
    assert start("1048576").call("GET", "/execd/v1/browser").json()["recording_limit"] == 1048576


@effect("--recording-age")
def recordings_stay_so_long(start):
    assert start("90m").call("GET", "/execd/v1/browser").json()["recording_age_s"] == 5400


@effect("--jupyter-host", "--jupyter-token", "--jupyter-idle-poll-interval")
def accepted_and_without_effect(start, name):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        text = {"--jupyter-host": url, "--jupyter-token": "canary-98"}.get(FLAG_OF.get(name, name), "1ms")
        one = start(text)
        events = one.code("echo on", language="bash")
        assert [event["text"] for event in events if event["type"] == "stdout"] == ["on\n"]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody asked that server
            server.accept()
    if name.startswith("--"):  # a variable is the commands' too
        assert "canary-98" not in one.shell("env; cat /proc/$PPID/cmdline")
    assert "canary-98" not in "\n".join(line for line in one.log + one.err if line)
    assert "canary-98" not in processes.read(f"/proc/{one.pid}/cmdline")


TRY_CLONE3 = "import ctypes; c = ctypes.CDLL(None, use_errno=True); c.syscall(435, 0, 0); print(ctypes.get_errno())"


@effect("EXECD_CLONE3_COMPAT")
def clone3_is_unknown_to_all_that_is_started(start):
    """And everything works, as a command, in a session and on a terminal; by default clone3 is there (EINVAL: no
    arguments), and new privileges are as they were."""
    def seen(one):
        flags = one.shell("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status").split()
        return int(one.shell([PYTHON, "-c", TRY_CLONE3])), flags[1::2]

    as_it_is = seen(start("off"))
    for value in ("1", "TRUE", "yes", "on", "reexec"):
        one = start(value)
        assert seen(one) == (errno.ENOSYS, ["1", "2"]), value
    ident = one.call("POST", "/session").json()["session_id"]
    events = one.events_of(f"/session/{ident}/run", {"command": f"{PYTHON} -c '{TRY_CLONE3}'"})
    assert frames.joined(events) == f"{errno.ENOSYS}\n"
    assert seen(start("No")) == as_it_is and as_it_is[0] in (errno.EINVAL, errno.ENOSYS, errno.EPERM)


def test_every_option_has_an_effect_above():
    assert set(EFFECTS) == {*FLAGS, *WITHOUT_FLAG} - {"--help", "--version"}


@pytest.fixture
def room():
    """A directory with a short path: of a longer one no socket could be made."""
    path = Path(tempfile.mkdtemp(prefix="execd-o-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


BOTH_FORMS = [(flag, name) for flag in EFFECTS for name in (flag, FLAGS.get(flag, (None,))[0]) if name]


@pytest.mark.parametrize(("option", "name"), BOTH_FORMS, ids=[name for _, name in BOTH_FORMS])
def test_the_effect_of(option, name, room):
    started = []

    def start(value, listening=True, args=(), env=None, **options):
        by_flag = name.startswith("--")
        started.append(Daemon(args=[*args, *([name, value] if by_flag else [])],
                              env={**(env or {}), **({} if by_flag else {name: value})}, **options))
        return started[-1].listening() if listening else started[-1]

    check = EFFECTS[option]
    offered = {"start": start, "room": room, "name": name}
    try:
        check(**{key: offered[key] for key in inspect.signature(check).parameters})
    finally:
        for one in started:
            one.stop()


def listening_port(pid):
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    rows = [row.split() for table in ("tcp", "tcp6") for row in processes.read(f"/proc/{pid}/net/{table}").splitlines()]
    return any(words[3] == "0A" and f"socket:[{words[9]}]" in inodes for words in rows)


@pytest.mark.parametrize("level", ["3", "error"])
def test_a_quiet_log_level(level):
    one = Daemon(args=["--log-level", level])
    processes.eventually(lambda: listening_port(one.pid), what="a listening socket")
    one.stop()
    assert [line for line in one.log if line] == []
