"""Every route without, with a wrong and with the right credential: derived from the daemon's own route table."""

import json

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from harness.wire import build

NAME = "X-EXECD-ACCESS-TOKEN"


def status_of(wire, method, target, headers):
    """From the head alone: some answers have no end."""
    # No JSON object: whatever a POST would make of an empty body is not made a hundred times.
    wire.send(build(method, target, headers, b"[]" if method == "POST" else b""))
    return wire.head().status


def operations(document):
    """Every operation of an OpenAPI document: (method, path, operation)."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "x-also":
                yield method.upper(), path, operation
        # Another row of the same method and path, behind a guard.
        for operation in item.get("x-also", []):
            yield operation["x-method"].upper(), path, operation


def rows_of(document):
    """How many rows of the table the operations stand for."""
    found = list(operations(document))
    relays = {path for _, path, operation in found if operation.get("x-any-method")}
    return sum(not operation.get("x-any-method") for _, _, operation in found) + len(relays)


def target_of(path):
    # A parameter's value does not matter: authorisation comes before it is looked at.
    return path.replace("{", "").replace("}", "").replace("...", "")


def test_every_row_is_walked(daemon_with_token):
    document = json.loads(daemon_with_token.call("GET", "/execd/v1/openapi.json").body)
    # Were a row lost on its way into the document, it would not be tried here.
    assert rows_of(document) == document["x-rows"] > 100
    open_rows = []
    relays = 0
    for method, path, operation in operations(document):
        statuses = []
        for headers in ([], [(NAME, "wrong")], [(NAME, daemon_with_token.token)]):
            with daemon_with_token.wire() as wire:
                statuses.append(status_of(wire, method, target_of(path), headers))
        label = f"{method} {path}: {statuses}"
        if operation.get("security"):
            assert statuses[:2] == [401, 401] and statuses[2] != 401, label
        else:
            assert 401 not in statuses, label
            open_rows.append(path)
        relays += bool(operation.get("x-any-method"))
    assert relays == 55, "both rows of /proxy and nine of what there is not, by five methods"
    # Liveness (/health twice, /api/health) and readiness (twice), the page that shows the desktop (/vnc, /static twice).
    assert len(open_rows) == 9, open_rows


# Where each dialect's clients put their secret (docs/architecture.md, 7); tickets: test_auth.py.
CARRIERS = {
    "opensandbox": [("X-EXECD-ACCESS-TOKEN", "{}"), ("OPEN-SANDBOX-API-KEY", "{}"), ("Authorization", "Bearer {}"),
                    ("authorization", "bearer {}")],
    "agentrun": [("Agentrun-Access-Token", "{}"), ("Authorization", "Bearer {}"), ("X-API-KEY", "{}"),
                 ("X-Access-Token", "{}"), ("X-EXECD-ACCESS-TOKEN", "{}")],
    "sandbox_sdk": [("Authorization", "Bearer {}"), ("X-EXECD-ACCESS-TOKEN", "{}")],
    "cloud_sandbox": [("Authorization", "Bearer {}"), ("X-API-KEY", "{}"), ("X-EXECD-ACCESS-TOKEN", "{}")],
    "execd": [("X-EXECD-ACCESS-TOKEN", "{}"), ("Authorization", "Bearer {}")],
}
FOREIGN = [("X-API-KEY", "{}"), ("X-AIO-API-Key", "{}"), ("Agentrun-Access-Token", "{}"), ("Authorization", "Basic {}"),
           ("Cookie", "X-EXECD-ACCESS-TOKEN={}")]


@pytest.mark.parametrize("dialect", list(CARRIERS))
def test_every_row_in_every_carrier_of_its_dialect(daemon_with_token, dialect):
    one = daemon_with_token
    document = json.loads(one.call("GET", f"/execd/v1/openapi.json?dialect={dialect}").body)
    assert rows_of(document) == document["x-rows"] > 10
    rows = [(method, path) for method, path, operation in operations(document) if operation.get("security")]
    for method, path in rows:
        target = target_of(path)

        def status(name, form, secret, where=target):
            with one.wire() as wire:
                return status_of(wire, method, where, [(name, form.format(secret))])

        for name, form in CARRIERS[dialect]:
            label = f"{method} {path} by {name}"
            assert status(name, form, one.token) != 401, label
            for wrong in ("wrong", one.token + "x", one.token[:-1], ""):
                assert status(name, form, wrong) == 401, (label, wrong)
        own = {name for name, form in CARRIERS[dialect] if "Bearer" not in form}
        for name, form in FOREIGN:
            if name in own:
                continue
            assert status(name, form, one.token) == 401, (method, path, name)
        # A WebSocket's carrier opens nothing else, and no carrier at all lies in other query names.
        for key in ("Authorization", "ticket", "api_key", "token"):
            assert status("X-Nothing", "{}", "", f"{target}?{key}={one.token}") == 401, (method, path, key)


@pytest.mark.parametrize("dialect", ["", *CARRIERS])
def test_the_document_is_openapi(daemon_with_token, dialect):
    target = f"/execd/v1/openapi.json?dialect={dialect}" if dialect else "/execd/v1/openapi.json"
    document = daemon_with_token.call("GET", target).json()
    validate(document)  # among others: no operation id twice, no path parameter that is not declared
    schemes = document["components"]["securitySchemes"]
    for method, path, operation in operations(document):
        label = f"{method} {path}"
        used = {name for one in operation.get("security", []) for name in one}
        assert used <= set(schemes), label
        responses = operation["responses"]
        assert bool(used) == ("401" in responses), label
        assert "default" in responses, label
        if operation.get("x-any-method"):
            continue
        assert any(status[0] in "123" for status in responses), label
        if "{" in path:
            assert "404" in responses, label
        if method in ("PUT", "POST") and "413" in responses:
            assert "requestBody" in operation, label
        error = responses["default"]["content"]["application/json"]["schema"]
        assert error["$ref"].split("/")[-1] in document["components"]["schemas"], label


def test_each_dialect_names_its_own_carriers(daemon_with_token):
    for dialect, carriers in CARRIERS.items():
        document = daemon_with_token.call("GET", f"/execd/v1/openapi.json?dialect={dialect}").json()
        schemes = document["components"]["securitySchemes"]
        headers = {scheme["name"] for scheme in schemes.values() if scheme.get("in") == "header"}
        assert {name for name, form in carriers if "Bearer" not in form and "bearer" not in form} <= headers
        assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
        assert dialect == "agentrun" or "Agentrun-Access-Token" not in headers


def test_the_daemon_refuses_what_its_document_says_it_refuses(daemon_with_token):
    """The bodies of refusals are those of the document, for one route of each dialect."""
    one = daemon_with_token
    for dialect, method, target in (("opensandbox", "POST", "/command"), ("agentrun", "POST", "/contexts"),
                                    ("execd", "POST", "/execd/v1/executions")):
        document = one.call("GET", f"/execd/v1/openapi.json?dialect={dialect}").json()
        responses = document["paths"][target][method.lower()]["responses"]
        with one.wire() as wire:
            unauthorized = wire.request(method, target, [], b"{}")
        refused = one.call(method, target, body=b"[")
        for answer in (unauthorized, refused):
            told = responses.get(str(answer.status), responses["default"])["content"]["application/json"]["schema"]
            Draft202012Validator({**told, "components": document["components"]}).validate(answer.json())
            name = told["$ref"].split("/")[-1]
            assert set(document["components"]["schemas"][name]["properties"]) == set(answer.json()), answer


def test_an_unknown_dialect_has_no_document(daemon_with_token):
    assert daemon_with_token.call("GET", "/execd/v1/openapi.json?dialect=nobodys").status == 404


def test_the_document_needs_the_token_itself(daemon_with_token):
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", "/execd/v1/openapi.json").status == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null"])
def test_foreign_pages_may_not_change_anything(daemon, origin):
    with daemon.wire() as wire:
        assert wire.request("POST", "/command", [("Origin", origin)], b'{"command":"true"}').status == 401
