"""Every route without, with a wrong and with the right credential: derived from the daemon's own route table."""

import json

import pytest

NAME = "X-EXECD-ACCESS-TOKEN"


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
                statuses.append(wire.request(method, target, headers).status)
        label = f"{method} {path}: {statuses}"
        if protected:
            assert statuses[:2] == [401, 401] and statuses[2] != 401, label
        else:
            assert 401 not in statuses, label
            open_rows += 1
        walked += 1
    assert walked > 20
    # Liveness and readiness, nothing else.
    assert open_rows == 3


def test_the_document_needs_the_token_itself(daemon_with_token):
    with daemon_with_token.wire() as wire:
        assert wire.request("GET", "/execd/v1/openapi.json").status == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null"])
def test_foreign_pages_may_not_change_anything(daemon, origin):
    with daemon.wire() as wire:
        assert wire.request("POST", "/command", [("Origin", origin)], b'{"command":"true"}').status == 401
