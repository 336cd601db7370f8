"""The cloud_sandbox dialect, call by call (docs/cloud-sandbox.md): what its client sends, and what is refused."""

import json
import os
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from clients.cloud_sandbox import AuthError, Client, NotFoundError, Sandbox, SandboxError
from harness.processes import eventually


def url_of(daemon):
    return f"http://127.0.0.1:{daemon.port}"


def new_user(daemon):
    one = Client(url_of(daemon))
    one.token = one.get_token(f"user-{uuid.uuid4().hex}")["access_token"]
    return one


@pytest.fixture
def client(daemon):
    one = new_user(daemon)
    yield one
    for session in one.list_sessions():
        one.delete_session(session["id"])


@pytest.fixture
def box(client):
    client.create_session()
    return client.acquire_sandbox()["sandbox_id"]


def refused(status, call, *args, **kwargs):
    with pytest.raises(SandboxError) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status, caught.value
    return caught.value


# ---- the way its users go

def test_variables_survive_pause_and_resume(daemon):
    user = f"user-{uuid.uuid4().hex}"
    one = Sandbox.create(url_of(daemon), user_id=user)
    assert one.run_code("x = 42")["exit_code"] == 0
    session = one.pause()
    assert one.session["status"] == "paused" and one.session["paused_at"]
    other = Sandbox.resume(session, url_of(daemon), user_id=user)  # with a new token
    assert other.session["status"] == "active"
    assert other.run_code("print(x)")["stdout"] == "42\n"
    other.destroy()
    refused(404, other.client.get_session, session)


def test_with_statement_releases_and_the_session_lives_on(daemon):
    user = f"user-{uuid.uuid4().hex}"
    with Sandbox.create(url_of(daemon), user_id=user, image="python:3.11-slim") as one:
        assert one.run_code("print('hi')") == {"exit_code": 0, "stdout": "hi\n", "stderr": "", "timed_out": False,
                                               "duration_ms": pytest.approx(0, abs=60_000)}
        assert one.run_command("echo $0 $((6*7))")["stdout"] == "bash 42\n"
        held = one.id
    assert "not found" in str(refused(404, one.client.execute, held, code="1"))
    assert one.client.get_session(one.session["id"])["status"] == "active"
    one.destroy()


def test_while_paused_work_is_refused_and_lifecycle_answers(client):
    session = client.create_session()["id"]
    box = client.acquire_sandbox()["sandbox_id"]
    assert client.execute(box, code="x = 1")["exit_code"] == 0
    assert client.pause_session(session)["status"] == "paused"
    assert client.pause_session(session)["status"] == "paused"  # a second time is no fault
    assert "paused" in str(refused(409, client.execute, box, code="1"))
    refused(409, client.execute, box, command=["true"])
    refused(409, client.list_files, box)
    assert client.get_session(session)["status"] == "paused"
    assert client.get_sandbox_stats()["active"] == 1
    assert client.resume_session(session)["status"] == "active"
    assert client.resume_session(session)["status"] == "active"
    assert client.execute(box, code="print(x)")["stdout"] == "1\n"


# ---- tokens

def test_tokens_name_their_user(daemon):
    one = Client(url_of(daemon))
    answer = one.get_token("alice", role="admin")
    assert answer["token_type"] == "Bearer" and answer["expires_in"] == 86400 and len(answer["access_token"]) == 64
    one.token = answer["access_token"]
    session = one.create_session()
    assert session["user_id"] == "alice"
    again = Client(url_of(daemon))
    again.token = again.get_token("alice")["access_token"]
    assert again.token != one.token and again.get_session(session["id"])["id"] == session["id"]
    again.delete_session(session["id"])
    for body in ({}, {"user_id": ""}, {"user_id": 3}, {"user_id": "x" * 300}, [], "x"):
        refused(400, one.request, "POST", "/api/v1/auth/token", data=body or None)


def test_where_a_secret_is_set(daemon_with_token):
    nobody = Client(url_of(daemon_with_token))
    for token in (None, "wrong"):
        nobody.token = token
        with pytest.raises(AuthError):
            nobody.get_token("eve")
        with pytest.raises(AuthError):
            nobody.list_sessions()
    owner = Client(url_of(daemon_with_token), daemon_with_token.token)
    token = owner.get_token("alice")["access_token"]
    with Sandbox.create(url_of(daemon_with_token), token=token) as one:
        assert one.run_command("echo in")["stdout"] == "in\n"
        assert one.session["user_id"] == "alice"
        refused(403, one.client.get_token, "eve")
        assert owner.list_sessions() == []
        refused(404, owner.delete_session, one.session["id"])
    one.destroy()
    for target in ("/contexts", "/execd/v1/executions", "/api/sandboxes"):
        with daemon_with_token.wire() as wire:
            assert wire.request("GET", target, [("Authorization", f"Bearer {token}")]).status == 401


# ---- sessions

def test_sessions(client):
    assert client.list_sessions() == []
    session = client.create_session(image="python:3.11-slim", cpu_count=2, memory_mb=512, ttl_hours=2)
    assert session["status"] == "active" and session["image"] == "python:3.11-slim" and session["metadata"] == {}
    assert (session["cpu_count"], session["memory_mb"]) == (2, 512)
    assert set(session["not_enforced"]) <= {"image", "cpu", "memory"} and "image" in session["not_enforced"]
    life = session["expires_at"] - datetime.now(timezone.utc)
    assert timedelta(hours=1, minutes=59) < life < timedelta(hours=2, minutes=1)
    assert client.get_session(session["id"])["created_at"] == session["created_at"]
    assert [one["id"] for one in client.list_sessions()] == [session["id"]]
    assert client.delete_session(session["id"]) is True
    assert client.list_sessions() == []
    for call in (client.get_session, client.delete_session, client.pause_session, client.resume_session):
        for dead in (session["id"], "no-such", str(uuid.uuid4())):
            refused(404, call, dead)


def test_a_session_ends_when_its_time_is_over(client):
    session = client.request("POST", "/api/v1/sessions", data={"ttl": 300_000_000})["id"]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.get_session(session)
        except NotFoundError:
            return
    pytest.fail("it lives on")


@pytest.mark.parametrize("body, word", [
    ({"ttl": -1}, "ttl"), ({"ttl": "long"}, "ttl"), ({"cpu_count": "2"}, "cpu_count"), ({"cpu_count": -2}, "cpu_count"),
    ({"memory_mb": [1]}, "memory_mb"), ({"image": 3}, "image"), ({"metadata": {"a": 1}}, "metadata"), ([1], ""),
])
def test_bad_sessions(client, body, word):
    assert word in str(refused(400, client.request, "POST", "/api/v1/sessions", data=body))


def test_wishes_of_any_size(client):
    body = {"ttl": 3.6e21, "cpu_count": 1e9, "memory_mb": 1e300}
    assert client.request("POST", "/api/v1/sessions", data=body)["expires_at"].startswith("21")
    client.request("POST", "/api/v1/sessions", data={"ttl": 10 ** 25, "cpu_count": None, "image": None})


# ---- sandboxes

def test_acquire_takes_the_session_created_or_resumed_last(client):
    first, second = client.create_session()["id"], client.create_session()["id"]
    box = client.acquire_sandbox()
    assert box["container_id"] == second and box["status"] == "active"
    assert client.get_session(second)["sandbox_id"] == box["sandbox_id"]
    assert client.get_sandbox_stats() == {"idle": 1, "active": 1, "creating": 0, "max": 1000}
    assert client.release_sandbox(box["sandbox_id"]) is True
    refused(404, client.release_sandbox, box["sandbox_id"])
    client.pause_session(first)
    client.resume_session(first)
    again = client.acquire_sandbox()
    assert again["container_id"] == first and again["sandbox_id"] != box["sandbox_id"]
    client.pause_session(first)  # what is paused cannot be taken
    client.release_sandbox(again["sandbox_id"])
    assert client.acquire_sandbox()["container_id"] == second


def test_a_sandbox_without_a_session_ends_with_its_release(client):
    box = client.acquire_sandbox()["sandbox_id"]
    assert client.list_sessions() == []
    pid = int(client.execute(box, command=["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"])["stdout"])
    assert client.get_sandbox_stats()["active"] == 1
    client.release_sandbox(box)
    assert client.get_sandbox_stats() == {"idle": 0, "active": 0, "creating": 0, "max": 1000}
    assert not os.path.exists(f"/proc/{pid}") or "\nState:\tZ" in open(f"/proc/{pid}/status").read()


def test_bad_releases(client):
    for body in ({}, {"sandbox_id": 3}):
        refused(400, client.request, "POST", "/api/v1/sandbox/release", data=body)
    for dead in ("", "x", str(uuid.uuid4()), f"{uuid.uuid4()}-00000000"):
        refused(404, client.release_sandbox, dead)


# ---- execute

def test_exit_codes_of_code(client, box):
    answer = client.execute(box, code="import sys; sys.exit(3)")
    assert (answer["exit_code"], answer["stderr"]) == (3, "")
    answer = client.execute(box, code="import sys; sys.exit('said so')")
    assert (answer["exit_code"], answer["stderr"]) == (1, "said so\n")
    assert client.execute(box, code="raise SystemExit") | {"duration_ms": 0} == {
        "exit_code": 0, "stdout": "", "stderr": "", "duration_ms": 0, "timed_out": False}
    answer = client.execute(box, code="print('before'); 1/0")
    assert answer["exit_code"] == 1 and answer["stdout"] == "before\n"
    assert answer["stderr"].endswith("ZeroDivisionError: division by zero\n") and "\x1b" not in answer["stderr"]
    assert client.execute(box, code="6*7")["stdout"] == ""
    for language in ("bash", "sh"):
        assert client.execute(box, code="y=5; echo $y; (exit 7)", language=language)["exit_code"] == 7
    assert client.execute(box, code="echo $y", language="bash")["stdout"] == "5\n"
    assert client.execute(box, code="echo bye; exit 4", language="bash")["exit_code"] == 4


def test_javascript(client, box):
    answer = client.execute(box, code="var n = 6; console.log(n * 7)", language="node")
    if answer["exit_code"] == 0:
        assert answer["stdout"] == "42\n"
        assert client.execute(box, code="console.log(n)", language="javascript")["stdout"] == "6\n"
        assert client.execute(box, code="process.exit(5)", language="js")["exit_code"] == 5


def test_programs(client, box):
    assert client.execute(box, command=["sh", "-c", "pwd; echo e >&2; exit 9"])["exit_code"] == 9
    answer = client.execute(box, command=["printf", "%s|", "a b", "$HOME", ""])
    assert answer["stdout"] == "a b|$HOME||" and answer["exit_code"] == 0
    assert client.execute(box, command=["sh", "-c", "kill -9 $$"])["exit_code"] == 137
    missing = client.execute(box, command=["/no/such/program"])
    assert missing["exit_code"] == 127 and "No such file" in missing["error"] and missing["stderr"]
    assert client.execute(box, command=["/etc/passwd"])["exit_code"] == 126


def test_place_and_environment_are_for_one_run(client, box, work):
    where = work / "made" / "here"
    for options in ({"code": "import os; print(os.getcwd(), os.environ['V'])"},
                    {"code": "echo $PWD $V", "language": "bash"}, {"command": ["sh", "-c", "echo $PWD $V"]}):
        answer = client.execute(box, work_dir=str(where), env={"V": "v"}, **options)
        assert answer["stdout"] == f"{where} v\n", answer
    for options in ({"code": "import os; print(os.getcwd(), os.environ.get('V', ''))"},
                    {"code": "echo $PWD $V", "language": "bash"}, {"command": ["sh", "-c", "echo $PWD $V"]}):
        assert client.execute(box, **options)["stdout"].split() == ["/workspace"]
    (work / "file").write_text("")
    refused(400, client.execute, box, command=["true"], work_dir=str(work / "file"))
    refused(400, client.execute, box, command=["true"], work_dir="/x\0y")
    refused(400, client.execute, box, command=["true"], env={"A=B": "c"})
    assert client.execute(box, command=["pwd"], work_dir="below")["stdout"] == "/workspace/below\n"
    assert client.delete_file(box, "below") is True


@pytest.mark.parametrize("options", [
    {"code": "import time\nprint('so far', flush=True)\ntime.sleep(600)"},
    {"code": "echo so far; sleep 600", "language": "bash"},
    {"command": ["sh", "-c", "echo so far; sleep 600"]},
])
def test_time_over_is_said_before_the_client_hangs_up(client, box, options):
    client.execute(box, code="kept = 1")
    answer = client.execute(box, timeout=2, **options)
    assert answer["timed_out"] is True and answer["exit_code"] == -1 and answer["stdout"] == "so far\n"
    assert answer["duration_ms"] < 2000
    assert client.execute(box, code="print(kept)")["stdout"] == "1\n"


@pytest.mark.parametrize("how", ["code", "command"])
def test_time_over_is_said_while_paused_too(client, work, how):
    session = client.create_session()["id"]
    box = client.acquire_sandbox()["sandbox_id"]
    client.execute(box, code="kept = 1")
    began = work / "began"
    options = {"code": {"code": f"import time; open({str(began)!r}, 'w'); time.sleep(600)"},
               "command": {"command": ["sh", "-c", f"echo so far; : >{began}; sleep 600"]}}[how]
    answers, second = [], Client(client.base_url, client.token)
    ask = threading.Thread(target=lambda: answers.append(second.execute(box, timeout=1.5, **options)), daemon=True)
    ask.start()
    eventually(began.exists, what="it has begun")
    client.pause_session(session)
    ask.join(20)
    assert answers and answers[0]["timed_out"] is True and answers[0]["exit_code"] == -1, answers
    client.resume_session(session)
    assert client.execute(box, code="print(kept)")["stdout"] == "1\n"


def test_a_run_in_the_queue_times_out_too(client, box):
    client.execute(box, code="1")
    long = threading.Thread(target=client.execute, args=(box, "import time; time.sleep(2.5)"), kwargs={"timeout": 20})
    long.start()
    second = Client(client.base_url, client.token)
    while second.execute(box, code="print(1)", timeout=1)["timed_out"] is False:
        pass
    long.join()
    assert second.execute(box, code="print('free')")["stdout"] == "free\n"


@pytest.mark.parametrize("body", [
    {}, {"code": None}, {"command": []}, {"code": 3}, {"command": "ls"}, {"command": [1]}, {"command": ["a\0b"]},
    {"code": "1", "timeout": -1}, {"code": "1", "timeout": "x"}, {"code": "1", "language": "cobol"},
    {"code": "1", "env": {"A": 1}}, {"code": "1", "work_dir": 3},
])
def test_bad_executions(client, box, body):
    refused(400, client.request, "POST", "/api/v1/execute", data={"sandbox_id": box, **body})


def test_huge_timeouts_are_no_fault(client, box):
    for huge in (10 ** 12, 1e300):
        body = {"sandbox_id": box, "command": ["true"], "timeout": huge}
        answer = client.request("POST", "/api/v1/execute", data=body)
        assert answer["exit_code"] == 0


def test_limits_hold_or_are_said(client):
    session = client.create_session(memory_mb=64)
    box = client.acquire_sandbox()["sandbox_id"]
    code = "b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('had it')"
    answer = client.execute(box, command=["python3", "-c", code])
    if "memory" in session["not_enforced"]:
        assert answer["stdout"] == "had it\n"
    else:
        assert answer["exit_code"] != 0 and answer["stdout"] == ""


# ---- files

def test_files(client, box):
    name = f"t-{uuid.uuid4().hex}"
    assert client.write_file(box, f"{name}/a b.txt", "caf\u00e9") is True
    row, = client.list_files(box, f"/workspace/{name}")
    assert (row["name"], row["path"], row["size"], row["is_dir"]) == ("a b.txt", f"/workspace/{name}/a b.txt", 5, False)
    assert abs(row["mod_time"] - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert client.execute(box, command=["cat", f"{name}/a b.txt"])["stdout"] == "caf\u00e9"
    assert [one["is_dir"] for one in client.list_files(box) if one["name"] == name] == [True]
    assert client.delete_file(box, f"{name}/a b.txt") is True
    assert client.list_files(box, name) == []
    assert client.delete_file(box, name) is True
    refused(404, client.delete_file, box, name)
    refused(404, client.list_files, box, name)


def test_bad_file_requests(client, box, work):
    (work / "f").write_text("old")
    refused(400, client.list_files, box, str(work / "f"))
    refused(400, client.list_files, box, "a\0b")
    refused(400, client.write_file, box, str(work / "f" / "x"), "x")
    refused(400, client.write_file, box, str(work), "x")
    refused(400, client.write_file, box, "", "x")
    refused(400, client.delete_file, box, "")
    refused(400, client.delete_file, box, "/")
    refused(400, client.request, "GET", "/api/v1/files")
    for content in ({}, {"content": 3}, {"content": None}):
        data = {"sandbox_id": box, "path": str(work / "y"), **content}
        refused(400, client.request, "PUT", "/api/v1/files", data=data)
    assert sorted(os.listdir(work)) == ["f"] and (work / "f").read_text() == "old"
    for call, *args in ((client.list_files,), (client.write_file, "/tmp/x", ""), (client.delete_file, "/tmp/x")):
        refused(404, call, "no-such", *args)


# ---- who may what

def test_two_users_do_not_see_each_other(daemon, client, box):
    other = new_user(daemon)
    session = client.list_sessions()[0]["id"]
    client.execute(box, code="secret = 1")
    other.create_session()
    theirs = other.acquire_sandbox()["sandbox_id"]
    assert theirs != box and other.execute(theirs, code="print(secret)")["exit_code"] == 1
    assert session not in [one["id"] for one in other.list_sessions()]
    for call in (other.get_session, other.delete_session, other.pause_session, other.resume_session):
        refused(404, call, session)
    refused(404, other.execute, box, code="1")
    refused(404, other.release_sandbox, box)
    refused(404, other.list_files, box)
    for one in other.list_sessions():
        other.delete_session(one["id"])
    assert client.execute(box, code="print(secret)")["stdout"] == "1\n"
    # Without a token, or with one that nobody issued, one is somebody else.
    stranger = Client(client.base_url)
    refused(404, stranger.get_session, session)
    stranger.token = "made-up"
    refused(404, stranger.get_session, session)


def test_errors_are_texts_of_the_classes_that_the_client_knows(daemon, client):
    with daemon.wire() as wire:
        for method, target, status in (("GET", "/api/v1", 404), ("GET", "/api/v1/nothing", 404),
                                       ("PATCH", "/api/v1/sessions", 405), ("GET", "/api/v1/execute", 405)):
            answer = wire.request(method, target)
            assert answer.status == status and isinstance(answer.json()["error"], str), target
        answer = wire.request("POST", "/api/v1/auth/token", [], b"{")
        assert answer.status == 400 and answer.json()["error"]
        assert {"status", "service"} <= set(json.loads(wire.request("GET", "/health").body))


def test_create_is_fast(client, figure):
    client.create_session()
    took = []
    for _ in range(20):
        began = time.monotonic()
        client.create_session()
        took.append(time.monotonic() - began)
    figure(f"cloud_sandbox create: median {sorted(took)[10] * 1000:.1f} ms (with the client)")
