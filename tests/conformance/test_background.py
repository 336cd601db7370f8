"""Background commands, status, logs, EXECD_ENVS: opensandbox.md 1.2.2, 1.4, 1.5, 13.2; opensandbox-1.1.md 4."""

import json
import os

import pytest

from harness import frames, processes, sdk


def start(daemon, command, **fields):
    events = daemon.events_of("/command", {"command": command, "background": True, **fields})
    assert [e["type"] for e in events] == ["init", "ping", "execution_complete"]
    return events[0]["text"]


def status(daemon, ident):
    answer = daemon.call("GET", f"/command/status/{ident}")
    assert answer.status == 200, answer
    return answer.json()


def ended(daemon, ident):
    return processes.eventually(lambda: not status(daemon, ident)["running"] and status(daemon, ident))


def logs(daemon, ident, cursor=None):
    answer = daemon.call("GET", f"/command/{ident}/logs" + ("" if cursor is None else f"?cursor={cursor}"))
    assert answer.status == 200, answer
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    return answer.body, int(answer.header("EXECD-COMMANDS-TAIL-CURSOR"))


def test_status_of_a_running_and_an_ended_command(daemon, work):
    gate = work / "gate"
    os.mkfifo(gate)
    ident = start(daemon, f"read x < {gate}; exit 3")
    row = status(daemon, ident)
    assert (row["id"], row["running"], row["content"]) == (ident, True, f"read x < {gate}; exit 3")
    assert "exit_code" not in row or row["exit_code"] is None
    gate.write_text("go\n")
    row = ended(daemon, ident)
    assert (row["exit_code"], row["error"]) == (3, "exit status 3")
    assert row["started_at"] <= row["finished_at"]


@pytest.mark.parametrize(("command", "code", "error"), [("true", 0, None), ("kill -9 $$", -1, "signal: killed")])
def test_status_codes(daemon, command, code, error):
    row = ended(daemon, start(daemon, command))
    assert (row["exit_code"], row.get("error")) == (code, error)


def test_status_of_foreground_argv_and_unknown_commands(daemon):
    ident = daemon.command(["printf", "a b"])[0]["text"]
    assert json.loads(status(daemon, ident)["content"]) == ["printf", "a b"]
    answer = daemon.call("GET", "/command/status/xx")
    assert (answer.status, answer.json()) == (
        404, {"code": "INVALID_REQUEST_BODY", "message": "command not found: xx"})


def test_logs_by_byte_cursor(daemon):
    ident = start(daemon, "printf 'out\\n'; printf 'e\\377r\\n' >&2; printf tail")
    ended(daemon, ident)
    body, cursor = logs(daemon, ident)
    assert (body, cursor) == (b"out\ne\xffr\ntail", 12)
    assert logs(daemon, ident, 4) == (b"e\xffr\ntail", 12)
    assert logs(daemon, ident, 12) == (b"", 12)
    assert logs(daemon, ident, 99) == (b"", 99)
    assert logs(daemon, ident, "x")[0] == body


def in_memory(fresh_daemon):
    """A daemon whose temporary directory is a tmpfs: it keeps 1 MiB of output and nothing on disk."""
    return fresh_daemon(python=False, wrapper=("unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                                               'mount -t tmpfs none "$TMPDIR" && exec "$@"', "sh"))


def test_logs_say_what_was_dropped(fresh_daemon):
    daemon = in_memory(fresh_daemon)
    ident = start(daemon, "seq 1 250000")
    ended(daemon, ident)
    whole = b"".join(b"%d\n" % i for i in range(1, 250_001))
    answer = daemon.call("GET", f"/command/{ident}/logs")
    lost = int(answer.header("X-Execd-Lost"))
    assert 0 < lost < len(whole) and int(answer.header("EXECD-COMMANDS-TAIL-CURSOR")) == len(whole)
    assert answer.body == b"[execd: %d bytes of output were dropped here]\n" % lost + whole[lost:]
    at = len(whole) - 1000
    tail = daemon.call("GET", f"/command/{ident}/logs?cursor={at}")
    assert tail.header("X-Execd-Lost") is None and tail.body == whole[at:]


def test_a_key_costs_the_live_reader_nothing(fresh_daemon):
    """Without a disk nothing beyond the ring is kept for a second reader, but the first one sees all of it."""
    daemon = in_memory(fresh_daemon)
    events = daemon.events_of("/command", {"command": "seq 1 250000"}, [("Idempotency-Key", "k")])
    assert frames.joined(events) == "".join(f"{i}\n" for i in range(1, 250_001))


def test_log_refusals(daemon):
    foreground = daemon.command("true")[0]["text"]
    for ident, message in (("xx", "command not found: xx"),
                           (foreground, f"command {foreground} is not running in background")):
        answer = daemon.call("GET", f"/command/{ident}/logs")
        assert (answer.status, answer.json()) == (400, {"code": "INVALID_REQUEST_BODY", "message": message})
    assert daemon.call("GET", f"/command/{start(daemon, 'true')}/logs?cursor=-1").status == 400


def test_a_server_outlives_the_shell_that_started_it(daemon):
    ident = start(daemon, "nohup sleep 304 >/dev/null 2>&1 & echo $!")
    ended(daemon, ident)
    pid = int(logs(daemon, ident)[0])
    assert processes.alive(pid)
    os.kill(pid, 9)


def test_interrupt_and_timeout_of_background_commands(daemon):
    ident = start(daemon, "sleep 305")
    assert daemon.call("DELETE", f"/command?id={ident}").status == 200
    assert ended(daemon, ident)["error"] == "signal: terminated"
    assert ended(daemon, start(daemon, "sleep 306", timeout=200))["error"] == "signal: killed"


def test_a_failed_start_in_background_is_exit_255(daemon):
    answer = daemon.call("POST", "/command", json={"argv": ["/no/such/program"], "background": True})
    ident = json.loads(answer.body.split(b"\n\n")[0])["text"]
    assert ended(daemon, ident)["exit_code"] == 255


def test_a_command_beyond_arg_max_runs(daemon):
    assert frames.joined(daemon.command("# " + "x" * 3_000_000 + "\necho ok")) == "ok\n"


ENVS = """
# comment
PLAIN = two words
HOMEDIR=$HOME/x
DOUBLE="a\\nb \\"q\\" ${HOME}"
SINGLE='literal $HOME \\n'
MULTI='line 1
line 2'
bad line
UNTERMINATED="x
AFTER=ok
PLAIN2=old
PLAIN2=new
"""


def test_the_env_file(fresh_daemon, tmp_path):
    (tmp_path / "envs").write_text(ENVS)
    one = fresh_daemon(env={"EXECD_ENVS": f"{tmp_path}/envs"})
    names = ["PLAIN", "HOMEDIR", "DOUBLE", "SINGLE", "MULTI", "AFTER", "PLAIN2"]
    values = [one.shell(f'printf %s "${name}"') for name in names]
    assert values == ["two words", f"{one.home}/x", f'a\nb "q" {one.home}', "literal $HOME \\n", "line 1\nline 2",
                      "ok", "new"]
    assert one.shell("echo $PLAIN", envs={"PLAIN": "request wins"}) == "request wins\n"


def test_set_env_of_the_sdk_works_without_a_bootstrap(fresh_daemon):
    one = fresh_daemon()
    with sdk.connect_sync(one) as services:
        for value in ("plain", "it's \"quoted\"\nand two lines\t\\", "$HOME"):
            services.commands.set_env("KEPT", value)
            assert one.shell('printf %s "$KEPT"') == value
