"""Every flag and every variable of the daemon: help, refusals, precedence (issue A 6; opensandbox.md 3.1)."""

import re

import pytest

from harness import processes
from harness.daemon import Daemon, run_once

# flag -> the environment variable beside it, and values that must be refused at start
SPOILT = [" ", "canary-93 ", " canary-93", "canary-93\n", "canary\t93"]  # secrets
FLAGS = {
    "--port": ("EXECD_PORT", ["70000", "-1", "x", "80 80", "0x50", "1e3", "99999999999999999999"]),
    "--host": ("EXECD_HOST", ["not-an-address", "256.1.1.1"]),
    "--listen": ("EXECD_LISTEN", ["nonsense", "127.0.0.1:x", "unix:", "1:2:3:99999", "no-address:0", "0,256.1.1.1:0"]),
    "--access-token": ("EXECD_ACCESS_TOKEN", SPOILT),
    "--allowed-origins": ("EXECD_ALLOWED_ORIGINS", ["one.example", "https://", "https://one.example/path",
                                                    "https://one.example,two.example"]),
    "--log-level": ("EXECD_LOG_LEVEL", ["loud", "6x", "1e1"]),
    "--log-file": ("EXECD_LOG_FILE", ["/", "/dev/null/log", "/no/such/dir/log", "/proc/execd-log"]),
    "--envs-file": ("EXECD_ENVS", ["/etc"]),
    "--cwd": ("EXECD_CWD", ["/no/such/directory", "/etc/passwd", "relative-and-missing"]),
    "--state-dir": ("EXECD_STATE_DIR", ["/etc/passwd", "/dev/null/x", "/no/such/parent", "/proc/execd-state"]),
    "--python": ("EXECD_PYTHON", ["/no/such/python", "/etc/passwd", "/etc"]),
    "--prewarm": ("EXECD_PREWARM", ["ruby", "python,bash"]),
    "--ready-kernels": ("EXECD_READY_KERNELS", ["-1", "1000", "some"]),
    "--preload": ("EXECD_PRELOAD", ["1abc;import os", "numpy,no-module", "a..b", "os.", "import os"]),
    "--max-contexts": ("EXECD_MAX_CONTEXTS", ["0", "many"]),
    "--context-idle-timeout": ("EXECD_CONTEXT_IDLE_TIMEOUT", ["soon", "-1s"]),
    "--run-log-limit": ("EXECD_RUN_LOG_LIMIT", ["0", "1G"]),
    "--browser": ("EXECD_BROWSER", ["on", "later"]),
    "--browser-size": ("EXECD_BROWSER_SIZE", ["800", "800x", "1x1", "800x99999", "-800x600"]),
    "--browser-program": ("EXECD_BROWSER_PROGRAM", ["chromium"]),
    "--browser-profile": ("EXECD_BROWSER_PROFILE", ["profile"]),
    "--browser-flags": ("EXECD_BROWSER_FLAGS", ["x", "--a b"]),
    "--browser-user": ("EXECD_BROWSER_USER", []),
    "--recordings": ("EXECD_RECORDINGS", ["here"]),
    "--recording-limit": ("EXECD_RECORDING_LIMIT", ["0", "1G"]),
    "--recording-age": ("EXECD_RECORDING_AGE", ["old", "-1s"]),
    "--cgroups": ("EXECD_CGROUPS", ["on", "v2"]),
    "--lifecycle": ("EXECD_LIFECYCLE", ["maybe", "2", "ON "]),
    "--exit-with-last-claim": ("EXECD_EXIT_WITH_LAST_CLAIM", ["yes!", "-1"]),
    "--runtime-init": ("EXECD_RUNTIME_INIT", ["2", "maybe"]),
    "--max-connections": ("EXECD_MAX_CONNECTIONS", ["0", "-5", "many"]),
    "--upload-limit": ("EXECD_UPLOAD_LIMIT", ["0", "1G", "-1"]),
    "--slow-request": ("EXECD_SLOW_REQUEST", ["soon", "-1s"]),
    "--drain-timeout": ("EXECD_DRAIN_TIMEOUT", ["soon", "-1s", "5 minutes"]),
    "--graceful-shutdown-timeout": ("EXECD_API_GRACE_SHUTDOWN", ["soon", "1x"]),
    "--line-terminators": ("EXECD_LINE_TERMINATORS", ["yes", "KEEP"]),
    "--jupyter-host": ("JUPYTER_HOST", ["127.0.0.1:44771", "ftp://x"]),
    "--jupyter-token": ("JUPYTER_TOKEN", []),
    "--jupyter-idle-poll-interval": ("EXECD_JUPYTER_IDLE_POLL_INTERVAL", ["often"]),
    "--version": (None, []),
    "--help": (None, []),
}
AGENTRUN = ["EXECD_AGENTRUN_ACCESS_KEY_ID", "EXECD_AGENTRUN_ACCESS_KEY_SECRET"]
WITHOUT_FLAG = ["SANDBOX_API_KEY", "JWT_PUBLIC_KEY", "EXECD_CLONE3_COMPAT", *AGENTRUN]
FLAG_OF = {env: flag for flag, (env, _) in FLAGS.items() if env}
ALSO_READ = {"JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_PREFER_ENV_PATH", "XDG_DATA_HOME", "CONDA_PREFIX",
             "CONDA_DEFAULT_ENV", "OPENSANDBOX_LIFECYCLE", "EXECD_LIFECYCLE_CONFIG"}  # and some of one word
BAD = [(flag, env, value) for flag, (env, values) in FLAGS.items() for value in values]


def test_every_flag_of_help_is_in_the_table_above_and_the_other_way_round():
    text = run_once("--help").stdout
    listed = set(re.findall(r"^  (--[a-z][a-z-]+) ", text, re.M))
    assert listed | {"--help", "--version"} == set(FLAGS) and "--init" in text  # its tests: test_bootstrap.py
    assert "--help" in text and "--version" in text


def test_every_variable_of_help_is_in_the_table_above_and_the_other_way_round():
    text = run_once("--help").stdout
    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", text)) == {*FLAG_OF, *WITHOUT_FLAG, *ALSO_READ}
    for name in ("PATH", "HOME", "TMPDIR", "IPYTHONDIR", "PYTHONUSERBASE"):
        assert re.search(rf"\b{name}\b", text), name
    lines = re.findall(r"^  (--[a-z-]+|\(no flag\)) .*?([A-Z][A-Z0-9_]+)$", text, re.M)
    assert {env: None if flag == "(no flag)" else flag for flag, env in lines} == \
        {**FLAG_OF, **dict.fromkeys(WITHOUT_FLAG)}


def refused(done, name):
    assert done.returncode == 2 and "listener.open" not in done.stdout, done
    first = done.stderr.splitlines()[0]
    assert re.search(rf"(?<![\w-]){name}(?![\w-])", first) and len(first.split()) > 4, done


@pytest.mark.parametrize(("flag", "value"), [(flag, value) for flag, _, value in BAD])
def test_a_wrong_flag_value_is_refused_with_the_reason(flag, value):
    port = [] if flag == "--port" else ["--port", "0"]
    for args in ([flag, value], [f"{flag}={value}"], [f"-{flag.lstrip('-')}={value}"]):
        refused(run_once(*port, *args), flag)


@pytest.mark.parametrize(("env", "value"), [(env, value) for _, env, value in BAD])
def test_a_wrong_variable_is_refused_with_the_reason(env, value):
    port = [] if env == "EXECD_PORT" else ["--port", "0"]
    refused(run_once(*port, env={env: value}), env)


@pytest.mark.parametrize("value", SPOILT)
@pytest.mark.parametrize("env", ["SANDBOX_API_KEY", *AGENTRUN])
def test_a_spoilt_secret_is_refused_and_never_shown(env, value):
    """Trimmed to nothing half of AgentRun's key would leave the daemon open; the others would lock everybody out."""
    done = run_once("--port", "0", env={**dict.fromkeys(AGENTRUN, "good"), env: value})
    assert "canary" not in done.stdout + done.stderr
    refused(done, env)


@pytest.mark.parametrize("value", ["2", "maybe", "onn", "re-exec", " 1", "-1"])
def test_what_is_no_answer_about_clone3_is_refused(value):
    refused(run_once("--port", "0", env={"EXECD_CLONE3_COMPAT": value}), "EXECD_CLONE3_COMPAT")


@pytest.mark.parametrize("env", AGENTRUN)
def test_half_an_agentrun_key_is_refused(env):
    for other in ({}, {name: "" for name in AGENTRUN if name != env}):
        done = run_once("--port", "0", env={env: "canary-95", **other})
        assert "canary-95" not in done.stdout + done.stderr
        for name in AGENTRUN:
            refused(done, name)


@pytest.mark.parametrize("key", ["canary-96-no-key", "-----BEGIN PUBLIC KEY-----\ncanary-96\n-----END PUBLIC KEY-----"])
def test_a_wrong_public_key_is_refused_and_never_shown(key):
    done = run_once("--port", "0", env={"JWT_PUBLIC_KEY": key})
    assert "canary-96" not in done.stdout + done.stderr
    refused(done, "JWT_PUBLIC_KEY")


@pytest.mark.parametrize("env", [*FLAG_OF.values(), *WITHOUT_FLAG])
def test_an_empty_variable_is_an_unset_one(env):
    one = Daemon(env={env: ""}).listening()
    assert one.call("GET", "/files/info").status == 200
    one.stop()


def test_the_flag_wins_over_the_variable(fresh_daemon):
    assert fresh_daemon(env={"EXECD_PORT": "1"}).port != 1
    assert fresh_daemon(args=["--cwd", "/"], env={"EXECD_CWD": "/tmp"}).shell("pwd") == "/\n"


def test_secrets_given_as_flags_do_not_stay_in_the_arguments():
    one = Daemon(args=["--access-token", "canary-101", "-access-token=canary-102", "--jupyter-token", "canary-103"])
    one.listening()
    assert b"canary" not in open(f"/proc/{one.pid}/cmdline", "rb").read()
    assert one.call("GET", "/files/info", headers=[("X-EXECD-ACCESS-TOKEN", "canary-102")]).status == 200
    one.stop()


def test_hooks_that_are_not_run_are_named_and_hidden():
    """The original's server gives them to the daemon; a program in the sandbox has never seen them."""
    one = Daemon(python=False, env={"OPENSANDBOX_LIFECYCLE": '{"preStart":{"command":"true"}}'}).listening()
    try:
        processes.eventually(lambda: any("OPENSANDBOX_LIFECYCLE" in line and "not run" in line for line in one.err if line),
                             what="a line about the hooks")
        assert one.shell("echo ${OPENSANDBOX_LIFECYCLE-unset}") == "unset\n"
    finally:
        one.stop()
