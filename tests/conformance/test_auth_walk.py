"""Every route without, with a wrong and with the right credential: derived from the daemon's own route table."""

import json

import pytest

from harness.wire import build

NAME = "X-EXECD-ACCESS-TOKEN"


def status_of(wire, method, target, headers):
    """From the head alone: some answers have no end."""
    # No JSON object: whatever a POST would make of an empty body is not made a hundred times.
    wire.send(build(method, target, headers, b"[]" if method == "POST" else b""))
    return wire.head().status


def routes(daemon):
    document = json.loads(daemon.call("GET", "/execd/v1/openapi.json").body)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method.upper(), path, bool(operation.get("security"))


def test_every_row_is_walked(daemon_with_token):
    walked = open_rows = 0
    for method, path, protected in routes(daemon_with_token):
        # A parameter's value does not matter: authorisation comes before it is looked at.
        target = path.replace("{", "").replace("}", "").replace("...", "")
        statuses = []
        for headers in ([], [(NAME, "wrong")], [(NAME, daemon_with_token.token)]):
            with daemon_with_token.wire() as wire:
                statuses.append(status_of(wire, method, target, headers))
        label = f"{method} {path}: {statuses}"
        if protected:
            assert statuses[:2] == [401, 401] and statuses[2] != 401, label
        else:
            assert 401 not in statuses, label
            open_rows += 1
        walked += 1
    assert walked > 20
    # Liveness (/health twice) and readiness, nothing else.
    assert open_rows == 4


# Where each dialect's clients put their secret (docs/architecture.md, 7); tickets are minted by no route yet.
CARRIERS = {
    "opensandbox": [("X-EXECD-ACCESS-TOKEN", "{}"), ("OPEN-SANDBOX-API-KEY", "{}"), ("Authorization", "Bearer {}"),
                    ("authorization", "bearer {}")],
    "agentrun": [("Agentrun-Access-Token", "{}"), ("Authorization", "Bearer {}"), ("X-API-KEY", "{}"),
                 ("X-Access-Token", "{}"), ("X-EXECD-ACCESS-TOKEN", "{}")],
    "execd": [("X-EXECD-ACCESS-TOKEN", "{}"), ("Authorization", "Bearer {}")],
}
FOREIGN = [("X-API-KEY", "{}"), ("X-AIO-API-Key", "{}"), ("Agentrun-Access-Token", "{}"), ("Authorization", "Basic {}"),
           ("Cookie", "X-EXECD-ACCESS-TOKEN={}")]


@pytest.mark.parametrize("dialect", list(CARRIERS))
def test_every_row_in_every_carrier_of_its_dialect(daemon_with_token, dialect):
    one = daemon_with_token
    document = json.loads(one.call("GET", f"/execd/v1/openapi.json?dialect={dialect}").body)
    rows = [(method.upper(), path) for path, operations in document["paths"].items()
            for method, operation in operations.items() if operation.get("security")]
    assert rows
    for method, path in rows:
        target = path.replace("{", "").replace("}", "").replace("...", "")

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


def test_the_document_needs_the_token_itself(daemon_with_token):
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", "/execd/v1/openapi.json").status == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null"])
def test_foreign_pages_may_not_change_anything(daemon, origin):
    with daemon.wire() as wire:
        assert wire.request("POST", "/command", [("Origin", origin)], b'{"command":"true"}').status == 401
