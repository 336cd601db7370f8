"""The sandbox_sdk dialect, call by call (docs/sandbox-sdk.md): what its client sends, and what it must be refused."""

import json
import os
import time
import uuid

import pytest

from clients.sandbox_sdk import Client, SandboxError
from harness.wire import build


@pytest.fixture
def client(daemon):
    one = Client(f"http://127.0.0.1:{daemon.port}", f"sk-{uuid.uuid4().hex}")
    yield one
    for sandbox in list(one.sandboxes):
        one.delete_sandbox(sandbox)


@pytest.fixture
def box(client):
    return client.create_sandbox({"template_id": "python-3.11"})["sandbox"]["id"]


def both(body, snake, camel):
    assert body[snake] == body[camel]
    return body[snake]


def refused(status, call, *args, **kwargs):
    with pytest.raises(SandboxError) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status and str(caught.value)
    return str(caught.value)


def post(daemon, target, body, key="sk-one"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with daemon.wire() as wire:
        return wire.request("POST", target, [("Authorization", f"Bearer {key}")], data)


# ---- sandboxes

def test_create_in_the_python_spelling(client):
    options = {"template_id": "python-3.11", "name": "n", "auto_start": True, "expiry_time": 3600_000,
               "initial_env_vars": {"GREETING": "hello"}, "metadata": {"a": {"b": [1, None]}}}
    answer = client.create_sandbox(options)["sandbox"]
    assert answer["template_config"]["language"] == answer["templateConfig"]["language"] == "python"
    assert both(answer, "template_id", "templateId") == "python-3.11"
    assert answer["name"] == "n" and answer["metadata"] == {"a": {"b": [1, None]}} and answer["status"] == "running"
    created, expires = both(answer, "created_at", "createdAt"), both(answer, "expires_at", "expiresAt")
    assert created < expires and both(answer, "user_id", "userId")
    assert client.run_code(answer["id"], "import os; os.environ['GREETING']")["results"][0]["text"] == "'hello'"
    assert client.run_terminal(answer["id"], "echo $GREETING") == "hello\n"


def test_create_in_the_spelling_of_the_original(daemon):
    answer = post(daemon, "/api/sandboxes/create", {
        "templateId": "bash", "autoStart": False, "expiryTime": None, "initialEnvVars": {"A": "1"}})
    assert answer.status == 201
    body = answer.json()["sandbox"]
    assert body["templateConfig"]["language"] == "bash" and body["status"] == "ready" and body["metadata"] == {}
    assert "expiresAt" not in body
    with daemon.wire() as wire:
        listed = wire.request("GET", "/api/sandboxes", [("Authorization", "Bearer sk-one")]).json()["sandboxes"]
        assert [one["id"] for one in listed] == [body["id"]]
        gone = wire.request("DELETE", f"/api/sandboxes/{body['id']}", [("Authorization", "Bearer sk-one")])
        assert gone.status == 200 and gone.json()["message"]


def test_status_follows_what_happens(client, box):
    assert client.get_sandbox_status(box) == "ready"
    client.run_terminal(box, "true")
    assert client.get_sandbox_status(box) == "running"


def test_the_end_is_the_end_of_its_work(client, box):
    pid = int(client.run_terminal(box, "sleep 1000 >/dev/null 2>&1 & echo $!"))
    kernel = int(client.run_code(box, "import os; os.getpid()")["results"][0]["text"])
    client.delete_sandbox(box)
    assert not os.path.exists(f"/proc/{kernel}")
    assert not os.path.exists(f"/proc/{pid}") or "\nState:\tZ" in open(f"/proc/{pid}/status").read()
    client.sandboxes[box] = {}
    for call in (client.get_sandbox_status, client.delete_sandbox):
        client.sandboxes[box] = {}
        assert "not found" in refused(404, call, box)


def test_it_ends_by_itself(client):
    box = client.create_sandbox({"template_id": "bash", "expiry_time": 300})["sandbox"]["id"]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.get_sandbox_status(box)
        except SandboxError as error:
            assert error.status == 404
            break
    else:
        pytest.fail("it lives on")
    client.sandboxes.clear()


@pytest.mark.parametrize("body, status, word", [
    ({}, 400, "templateId"), ({"template_id": ""}, 400, "templateId"), ({"template_id": "cobol"}, 404, "template"),
    ({"template_id": 3}, 400, "template_id"), ({"template_id": "bash", "expiry_time": "soon"}, 400, "expiry_time"),
    ({"template_id": "bash", "expiry_time": -1}, 400, "expiry_time"),
    ({"template_id": "bash", "initial_env_vars": {"A": 1}}, 400, "initial_env_vars"),
    ({"template_id": "bash", "initial_env_vars": {"A=B": "1"}}, 400, "A=B"),
    ({"template_id": "bash", "initial_env_vars": {"A": "x\0y"}}, 400, "A"),
    ({"template_id": "bash", "metadata": "text"}, 400, "metadata"), ([1], 400, ""), (b"{", 400, ""), (b"", 400, ""),
])
def test_bad_wishes_are_refused(daemon, body, status, word):
    answer = post(daemon, "/api/sandboxes/create", body)
    assert answer.status == status and word in answer.json()["message"], answer


def test_an_expiry_of_any_size(client):
    for huge in (10 ** 15, 1e300):
        answer = client.create_sandbox({"template_id": "bash", "expiry_time": huge})["sandbox"]
        assert answer["expires_at"][:2] in ("20", "21")


# ---- templates

def test_templates(client):
    page = client.get_templates()
    assert [one["id"] for one in page["templates"]] == ["python-3.11", "node", "bash"]
    assert page["total"] == 3 and page["page"] == 1 and both(page, "page_size", "pageSize") == 10
    assert client.get_templates(2, 2)["templates"][0]["id"] == "bash"
    assert client.get_templates(9223372036854775807, 2)["templates"] == []
    assert client.get_template("node")["config"]["language"] == "javascript"
    refused(404, client.get_template, "nothing")
    for page, size in ((0, 10), (1, 0), ("x", 10), (1, 100000)):
        refused(400, client.get_templates, page, size)


def test_a_template_of_ones_own(daemon, client):
    made = client.create_template({"name": "mine", "language": "bash", "env": {"X": [1]}})
    assert made["name"] == "mine" and made["config"] == {"name": "mine", "language": "bash", "env": {"X": [1]}}
    assert made["created_at"] == made["createdAt"] and made["is_public"] is made["isPublic"] is False
    assert client.get_template(made["id"])["config"]["env"] == {"X": [1]}
    assert client.get_templates()["total"] == 4
    box = client.create_sandbox({"template_id": made["id"]})["sandbox"]["id"]
    assert client.run_code(box, "echo $((6*7))")["logs"]["stdout"] == ["42"]
    other = Client(client.server_url, "sk-another")
    refused(404, other.get_template, made["id"])
    refused(404, other.create_sandbox, {"template_id": made["id"]})
    nested = client.create_template({"name": "n", "config": {"language": "python", "v": 1}})
    assert nested["config"] == {"language": "python", "v": 1}
    assert post(daemon, "/api/templates", {"language": 3}).status == 400
    assert post(daemon, "/api/templates", b"[]").status == 400
    assert post(daemon, "/api/templates", b'{"a":"' + b"x" * 70000 + b'"}').status == 413


# ---- code

def test_run_code_keeps_its_state_and_takes_a_null_language(client, box):
    first = client.run_code(box, "x = 20\nprint('one')\nprint('two', end='')")
    assert first["logs"] == {"stdout": ["one", "two"], "stderr": []} and first["results"] == []
    assert first["error"] is None
    second = client.run_code(box, "x + 22")
    assert second["results"] == [{"text": "42", "is_main_result": True}]
    assert both(second, "execution_count", "executionCount") > both(first, "execution_count", "executionCount")
    client.sandboxes[box] = {}  # what the original's client sends: it finds no template_config
    assert client.run_code(box, "x")["results"][0]["text"] == "20"
    batch = client.execute_batch(box, [{"id": 1, "code": "x += 1"}, {"id": 2, "code": "x"}])
    assert batch[1]["results"][0]["text"] == "21"


def test_environment_of_one_run(client, box):
    code = "import os; print(os.environ.get('ONLY_NOW'))"
    assert client.run_code(box, code, envs={"ONLY_NOW": "yes"})["logs"]["stdout"] == ["yes"]
    assert client.run_code(box, code)["logs"]["stdout"] == ["None"]
    refused(400, client.run_code, box, "1", envs={"": "x"})


def test_results_of_every_kind(client, box):
    code = """
from IPython.display import display
kinds = {"text/html": "<b>", "text/markdown": "*", "image/svg+xml": "<svg/>", "image/png": "UE5H", "image/jpeg": "SlBH",
         "application/pdf": "UERG", "text/latex": "$", "application/json": {"a": 1}, "application/javascript": "f()",
         "application/vnd.dataresource+json": {"data": []}, "application/vnd.plotly.v1+json": {"data": [1]}}
display(kinds, raw=True)
class Both:
    def _repr_mimebundle_(self, **_):
        return {"text/plain": "both", "text/html": "<i>"}
Both()
"""
    results = client.run_code(box, code)["results"]
    assert results[0] == {"html": "<b>", "markdown": "*", "svg": "<svg/>", "png": "UE5H", "jpeg": "SlBH", "pdf": "UERG",
                          "latex": "$", "json": {"a": 1}, "javascript": "f()", "data": {"data": []},
                          "chart": {"data": [1]}, "is_main_result": False}
    assert results[1] == {"text": "both", "html": "<i>", "is_main_result": True}


def test_errors_have_name_value_and_a_plain_traceback(client, box):
    answer = client.run_code(box, "import sys\nprint('to stderr', file=sys.stderr)\n1/0")
    assert answer["logs"]["stderr"] == ["to stderr"]
    error = answer["error"]
    assert (error["name"], error["value"]) == ("ZeroDivisionError", "division by zero")
    assert "Traceback" in error["traceback"] and "\x1b" not in error["traceback"]
    assert client.run_code(box, "'alive'")["results"][0]["text"] == "'alive'"


def test_bad_code_requests(daemon, client, box):
    where = f"/api/sandboxes/{box}/execute"
    for body in ({}, {"code": None}, {"code": 3}, {"code": "1", "language": 3}, {"code": "1", "envVars": ["A"]}, b"x"):
        assert post(daemon, where, body, client.api_key).status == 400, body
    answer = post(daemon, where, {"code": "1", "language": "cobol"}, client.api_key)
    assert answer.status == 400 and "cobol" in answer.json()["message"]
    assert post(daemon, where, {"code": "1", "contextId": "nobody's"}, client.api_key).status == 404


def test_terminal(client, box):
    assert client.run_terminal(box, "pwd; echo out; echo err >&2; exit 3") == "/workspace\nout\nerr\n"
    answer = client.request("POST", f"/api/sandboxes/{box}/terminal", {"command": "kill -9 $$"})
    assert both(answer, "exit_code", "exitCode") == 137
    for body in ({}, {"command": ""}, {"command": 3}, {"command": "a\0b"}):
        refused(400, client.request, "POST", f"/api/sandboxes/{box}/terminal", body)


def test_a_client_that_goes_takes_its_run_along(daemon, client, box, work):
    client.run_code(box, "1")
    body = json.dumps({"code": f"import time; open({str(work / 'began')!r}, 'w'); time.sleep(600)"}).encode()
    with daemon.wire() as wire:
        wire.send(build("POST", f"/api/sandboxes/{box}/execute", [("Authorization", f"Bearer {client.api_key}")], body))
        while not (work / "began").exists():
            time.sleep(0.01)
    assert client.run_code(box, "'free again'")["results"][0]["text"] == "'free again'"


# ---- contexts

def test_contexts(client, box, work):
    made = client.create_code_context(box)
    assert both(made, "sandbox_id", "sandboxId") == box and made["language"] == "python" and made["cwd"] == "/workspace"
    other = client.create_code_context(box, "bash", str(work / "made" / "here"))
    assert other["cwd"] == str(work / "made" / "here") and other["language"] == "bash"

    def run(context, code):
        return client.request("POST", f"/api/sandboxes/{box}/execute", {"code": code, "contextId": context["id"]})

    client.run_code(box, "where = 'default'")
    assert run(made, "where")["error"]["name"] == "NameError"
    assert run(other, "pwd")["logs"]["stdout"] == [str(work / "made" / "here")]
    assert client.delete_code_context(made["id"])["message"]
    client.contexts[made["id"]] = made
    refused(404, client.delete_code_context, made["id"])
    (work / "file").write_text("")
    refused(400, client.create_code_context, box, "python", str(work / "file"))
    refused(400, client.create_code_context, box, "cobol")
    assert [one["id"] for one in client.list_code_contexts(box)] == [other["id"]]


# ---- files

def test_files(client, box):
    name = f"t-{uuid.uuid4().hex}"
    path = client.write_file(box, f"{name}/a.txt", "caf\u00e9\n")
    assert path == f"/workspace/{name}/a.txt" and client.read_file(box, path) == "caf\u00e9\n"
    assert client.read_file(box, f"{name}/a.txt") == "caf\u00e9\n"
    assert client.run_terminal(box, f"cat {path}") == "caf\u00e9\n"
    listed = client.list_files(box, name)
    assert listed["directory"] == name
    row, = listed["files"]
    assert row["path"] == f"{name}/a.txt" and row["name"] == "a.txt" and row["size"] == 6
    assert both(row, "is_directory", "isDirectory") is False
    assert both(row, "created_at", "createdAt") <= both(row, "modified_at", "modifiedAt")
    assert client.list_files(box, f"/workspace/{name}")["files"][0]["path"] == path
    assert name in [one["path"] for one in client.list_files(box)["files"]]
    client.delete_file(box, path)
    assert client.list_files(box, name)["files"] == []
    refused(404, client.read_file, box, path)
    refused(404, client.delete_file, box, path)
    client.run_terminal(box, f"rmdir {name}")


@pytest.mark.parametrize("name", ["a b", "a&b=c", "a+b", "50%", "\u00e9\u6f22", "semi;colon", "quo'te\"", "ques?tion"])
def test_names_that_the_client_does_not_encode(client, box, work, name):
    path = f"{work}/{name}"
    assert client.write_file(box, path, name) == path
    assert (work / name).read_text() == name
    assert client.read_file(box, path) == name
    client.delete_file(box, path)
    assert not (work / name).exists()


def test_clients_that_do_encode(daemon, client, box, work):
    (work / "a b+c").write_text("x")
    with daemon.wire() as wire:
        where = f"{work}/a b+c".replace("/", "%2F").replace(" ", "%20").replace("+", "%2B")
        answer = wire.request("GET", f"/api/sandboxes/{box}/files?path={where}",
                              [("Authorization", f"Bearer {client.api_key}")])
    assert answer.json()["content"] == "x"


def test_bad_file_requests(daemon, client, box, work):
    where = f"/api/sandboxes/{box}/files"
    for query in ("", "?path=", "?other=/x", "?path=%00"):
        refused(400, client.request, "GET", where + query)
        refused(400, client.request, "DELETE", where + query)
        refused(400, client.request, "POST", where + query, {"content": "x"})
    refused(400, client.read_file, box, str(work))
    refused(400, client.delete_file, box, str(work))
    refused(404, client.write_file, box, str(work / "no" / "x"), "x", create_parents=False)
    assert not (work / "no").exists()
    (work / "f").write_text("")
    refused(400, client.write_file, box, str(work / "f" / "below"), "x")
    refused(400, client.list_files, box, str(work / "f"))
    refused(404, client.list_files, box, str(work / "no"))
    for body in ({}, {"content": None}, {"content": 3}, {"content": "x", "createParents": "maybe"}):
        refused(400, client.request, "POST", f"{where}?path={work}/x", body)
    assert not (work / "x").exists()
    assert client.read_file(box, f"{work}/../{work.name}/f") == ""  # cleaned, as a shell would
    (work / "binary").write_bytes(b"\xff\xfe\x00\x81\x82" * 3)
    answer = client.request("GET", f"{where}?path={work}/binary")
    assert answer["encoding"] == "base64"


# ---- who may what

def test_two_clients_do_not_see_each_other(client, box):
    other = Client(client.server_url, "sk-somebody-else")
    mine = other.create_sandbox({"template_id": "python-3.11"})["sandbox"]["id"]
    client.run_code(box, "secret = 1")
    assert other.run_code(mine, "secret")["error"]["name"] == "NameError"
    assert [one["id"] for one in other.request("GET", "/api/sandboxes")["sandboxes"]] == [mine]
    other.sandboxes[box] = {}
    for call, *args in ((other.get_sandbox_status,), (other.run_code, "1"), (other.run_terminal, "true"),
                        (other.list_files,), (other.read_file, "/etc/passwd"), (other.create_code_context,)):
        refused(404, call, box, *args)
    refused(404, other.delete_sandbox, box)
    context = client.create_code_context(box)
    other.contexts[context["id"]] = {"sandbox_id": mine}
    refused(404, other.delete_code_context, context["id"])
    other.delete_sandbox(mine)
    assert client.run_code(box, "secret")["results"][0]["text"] == "1"


def test_every_route_refuses_ids_that_nobody_has(client):
    client.sandboxes["no-such"] = {}
    for method, path, body in (
            ("DELETE", "", None), ("GET", "/status", None), ("POST", "/execute", {"code": "1"}),
            ("POST", "/terminal", {"command": "true"}), ("GET", "/files?path=/etc/passwd", None),
            ("POST", "/files?path=/tmp/x", {"content": ""}), ("DELETE", "/files?path=/tmp/x", None),
            ("GET", "/files/list?path=/", None), ("POST", "/contexts", {}), ("DELETE", "/contexts/x", None)):
        assert "not found" in refused(404, client.request, method, f"/api/sandboxes/no-such{path}", body)
    client.sandboxes.clear()


def test_unknown_routes_and_methods_answer_with_a_message(daemon):
    with daemon.wire() as wire:
        assert "message" in wire.request("GET", "/api/nothing").json()
        assert "message" in wire.request("GET", "/api").json()
        answer = wire.request("PUT", "/api/sandboxes")
        assert answer.status == 405 and "GET" in answer.json()["message"]


def test_health_and_registration(daemon):
    with daemon.wire() as wire:
        health = wire.request("GET", "/api/health").json()
        assert health["status"] == "ok" and health["timestamp"].endswith("Z")
    answer = post(daemon, "/api/auth/register", {"username": "u", "email": "e@x"})
    assert answer.status == 201
    body = answer.json()
    assert both(body, "user_id", "userId") and both(body, "api_key", "apiKey")
    client = Client(f"http://127.0.0.1:{daemon.port}", body["apiKey"])
    sandbox = client.create_sandbox({"template_id": "bash"})["sandbox"]
    assert sandbox["userId"] == body["userId"]
    client.delete_sandbox(sandbox["id"])
    for bad in ({}, {"username": "u"}, {"username": "", "email": "e"}, {"username": 1, "email": "e"}):
        assert post(daemon, "/api/auth/register", bad).status == 400


def test_where_a_secret_is_set(daemon_with_token):
    url = f"http://127.0.0.1:{daemon_with_token.port}"
    nobody = Client(url, "wrong")
    refused(401, nobody.get_templates)
    refused(401, nobody.request, "POST", "/api/auth/register", {"username": "u", "email": "e"})
    owner = Client(url, daemon_with_token.token)
    key = owner.request("POST", "/api/auth/register", {"username": "u", "email": "e"})["apiKey"]
    user = Client(url, key)
    box = user.create_sandbox({"template_id": "bash"})["sandbox"]["id"]
    assert user.run_terminal(box, "echo in") == "in\n"
    refused(403, user.request, "POST", "/api/auth/register", {"username": "u", "email": "e"})
    owner.sandboxes[box] = {}
    refused(404, owner.get_sandbox_status, box)
    user.delete_sandbox(box)
    # Good for its own dialect alone.
    for target in ("/contexts", "/execd/v1/executions", "/api/v1/sessions"):
        with daemon_with_token.wire() as wire:
            assert wire.request("GET", target, [("Authorization", f"Bearer {key}")]).status == 401
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", "/api/health").status == 200


def test_not_where_somebody_else_makes_sandboxes(fresh_daemon):
    one = fresh_daemon(args=["--lifecycle", "off"])
    for target, word in (("/api/templates", "message"), ("/api/v1/sessions", "error")):
        answer = one.call("GET", target)
        assert answer.status == 404 and answer.json()[word]


def test_create_is_fast(client, figure):
    client.create_sandbox({"template_id": "bash"})
    took = []
    for _ in range(20):
        began = time.monotonic()
        client.create_sandbox({"template_id": "bash"})
        took.append(time.monotonic() - began)
    figure(f"sandbox_sdk create: median {sorted(took)[10] * 1000:.1f} ms (with the client)")
