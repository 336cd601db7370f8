"""Liveness, readiness and everything nobody serves: opensandbox.md 1.0, 1.1, 13.8; DESIGN section 1."""

import pytest

from harness import sdk
from harness.processes import eventually

NOT_FOUND = b"404 page not found"


def test_ping_is_200_with_content_length_0(daemon):
    answer = daemon.call("GET", "/ping")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")


def test_ping_with_a_trailing_slash_is_served_directly(daemon):
    answer = daemon.call("GET", "/ping/")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")


def test_health_is_always_200_and_names_a_status(daemon):
    answer = daemon.call("GET", "/health")
    assert answer.status == 200
    assert answer.json()["status"] in ("starting", "ok")


def test_ready_becomes_200(daemon):
    def ready():
        answer = daemon.call("GET", "/execd/v1/ready")
        assert answer.status in (200, 503), answer
        assert isinstance(answer.json(), dict)
        return answer.status == 200

    eventually(ready, what="/execd/v1/ready answering 200")


@pytest.mark.parametrize(("method", "target"), [
    ("GET", "/ping/nope"), ("GET", "/code/nope?x=1"), ("POST", "/files/nope"), ("PUT", "/command"), ("GET", "/command"),
    ("POST", "/ping"), ("PATCH", "/code"), ("GET", "/code/context"), ("POST", "/files/info"), ("GET", "/proxy"),
    ("GET", "/command/status"), ("GET", "/code/contexts/a/b"), ("OPTIONS", "/ping"), ("OPTIONS", "/command"),
    ("OPTIONS", "/code/nope"), ("DELETE", "/ping"),
])
def test_unknown_route_or_method_is_the_18_byte_404(daemon, method, target):
    answer = daemon.call(method, target)
    assert answer.status == 404
    assert answer.header("Content-Type") == "text/plain"
    assert answer.header("Content-Length") == "18"
    assert answer.body == NOT_FOUND
    assert answer.header("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("target", ["/ping", "/command/nope", "/files/info", "/command"])
def test_head_is_404_with_the_same_headers_and_no_body(daemon, target):
    with daemon.wire() as wire:
        answer = wire.request("HEAD", target)
        assert answer.status == 404
        assert answer.header("Content-Type") == "text/plain"
        assert answer.header("Content-Length") == "18"
        # The connection must still be in step: a body sent by mistake would be read as the next head.
        assert wire.request("GET", "/ping").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE", "BREW"])
def test_a_path_that_nobody_owns_is_404(daemon, method):
    with daemon.wire() as wire:
        assert wire.request(method, "/nope/deeper").status == 404
        assert wire.request("GET", "/ping").status == 200


def test_unknown_route_with_a_body_keeps_the_connection_in_step(daemon):
    with daemon.wire() as wire:
        answer = wire.request("POST", "/nope", body=b"x" * 1000)
        assert answer.status == 404
        if answer.header("Connection", "keep-alive").lower() != "close":
            assert wire.request("GET", "/ping").status == 200


def test_sync_sdk_ping(sync_sdk):
    assert sync_sdk.health.ping("any") is True
    assert sync_sdk.codes.ping() is True


@sdk.asynchronous
async def test_async_sdk_ping(daemon):
    async with sdk.connect(daemon) as services:
        assert await services.health.ping("any") is True
        assert await services.codes.ping() is True
