"""POST and DELETE /command, everything refused: opensandbox.md 1.0 to 1.3; opensandbox-1.1.md 1."""

import json

import pytest

from harness import frames

PARSE = "error parsing request, MAYBE invalid body format. "
INVALID = "invalid request, validation error "


def refused(answer, status, code, message):
    """The error body: both keys, exact text or a start ending in "..."."""
    assert answer.status == status, answer
    body = answer.json()
    assert set(body) == {"code", "message"}, body
    assert body["code"] == code
    if message.endswith("..."):
        assert body["message"].startswith(message[:-3]), body
    else:
        assert body["message"] == message


@pytest.mark.parametrize(("body", "tail"), [
    (b"", "EOF"), (b" \n", "EOF"), (b"x", "..."), (b"{", "..."),
    (b'{"command":', "..."), (b'{"command": "a",}', "..."), (b"[]", "..."), (b'"text"', "..."), (b"17", "..."),
    (b'{"command": 5}', "..."), (b'{"command": ["a"]}', "..."), (b'{"command":"a","timeout":1.5}', "..."),
    (b'{"command":"a","timeout":"1"}', "..."), (b'{"command":"a","uid":-1}', "..."),
    (b'{"command":"a","uid":4294967296}', "..."), (b'{"command":"a","uid":"root"}', "..."),
    (b'{"command":"a","envs":[]}', "..."), (b'{"command":"a","envs":{"A":1}}', "..."),
    (b'{"command":"a","background":"yes"}', "..."), (b'{"argv":"ls"}', "..."), (b'{"argv":[1]}', "..."),
    (b'{"command":"a","cwd":{}}', "..."), (b'{"command":"\xff\xfe', "..."), (b"\xef\xbb\xbf{}x", "..."),
    (b'{"command":"a","timeout":99999999999999999999}', "..."),
])
def test_a_body_that_is_not_the_right_json_is_400(daemon, body, tail):
    refused(daemon.call("POST", "/command", body=body), 400, "INVALID_REQUEST_BODY", PARSE + tail)


@pytest.mark.parametrize("body", [{}, {"command": ""}, {"command": None}, {"unknown": 1}])
def test_a_missing_command_is_400_with_the_validators_text(daemon, body):
    refused(daemon.call("POST", "/command", json=body), 400, "INVALID_REQUEST_BODY", INVALID +
            "Key: 'RunCommandRequest.Command' Error:Field validation for 'Command' failed on the 'required' tag")


def test_a_negative_timeout_is_400_with_the_validators_text(daemon):
    answer = daemon.call("POST", "/command", json={"command": "true", "timeout": -1})
    refused(answer, 400, "INVALID_REQUEST_BODY", INVALID +
            "Key: 'RunCommandRequest.TimeoutMs' Error:Field validation for 'TimeoutMs' failed on the 'gte' tag")


def test_gid_without_uid_is_400(daemon):
    answer = daemon.call("POST", "/command", json={"command": "true", "gid": 1})
    refused(answer, 400, "INVALID_REQUEST_BODY", INVALID + "uid is required when gid is provided")


@pytest.mark.parametrize("body", [
    {"command": "true", "argv": ["true"]}, {"argv": []}, {"argv": [""]}, {"argv": ["", "a"]},
    {"argv": ["echo", "a\0b"]}, {"argv": ["a\0b"]},
])
def test_bad_argv_is_400(daemon, body):
    refused(daemon.call("POST", "/command", json=body), 400, "INVALID_REQUEST_BODY", INVALID + "...")


@pytest.mark.parametrize("body", [{"command": "echo a\0b"}, {"command": "true", "envs": {"A": "x\0y"}},
                                  {"command": "true", "envs": {"A\0B": "x"}}, {"command": "true", "cwd": "/tmp\0x"}])
def test_nul_bytes_are_refused_not_cut(daemon, body):
    answer = daemon.call("POST", "/command", json=body)
    if answer.status == 200:  # a failed start may come as an event
        events = frames.split(answer.body)
        assert frames.kinds(events) == ["init", "error"]
        assert not events[-1]["error"]["evalue"].isdigit()
    else:
        refused(answer, 400, "INVALID_REQUEST_BODY", INVALID + "...")


def test_cwd_that_does_not_exist(daemon, work):
    where = f"{work}/missing"
    answer = daemon.call("POST", "/command", json={"command": "true", "cwd": where})
    refused(answer, 400, "INVALID_REQUEST_BODY", INVALID +
            f"working directory does not exist: {where}: stat {where}: no such file or directory")


def test_cwd_that_is_a_file(daemon, work):
    (work / "file").write_text("")
    answer = daemon.call("POST", "/command", json={"command": "true", "cwd": f"{work}/file"})
    refused(answer, 400, "INVALID_REQUEST_BODY", INVALID + f"working directory path is not a directory: {work}/file")


def test_cwd_with_an_undefined_variable(daemon):
    answer = daemon.call("POST", "/command", json={"command": "true", "cwd": "/x/$NOT_SET_A/${NOT_SET_B}"})
    assert answer.status == 400
    assert "path references undefined environment variables: NOT_SET_A,NOT_SET_B" in answer.json()["message"]


@pytest.mark.parametrize("body", [
    b'{"COMMAND":"echo ok"}', b'{"Command":"echo ok","more":{"deep":[1,2]}}', b'{"command":"echo ok"} {"x":1} junk',
    b'{"command":"echo ok","cwd":null,"timeout":null,"uid":null,"gid":null,"envs":null,"argv":null,"background":null}',
    b' \r\n\t {"command" : "echo ok"}', b'{"command":"false","command":"echo ok"}',
])
def test_json_is_read_as_leniently_as_go_does(daemon, body):
    answer = daemon.call("POST", "/command", body=body)
    assert answer.status == 200, answer
    assert frames.joined(frames.split(answer.body)) == "ok\n"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_the_requests_content_type_is_ignored(daemon, content_type):
    answer = daemon.call("POST", "/command", body=b'{"command":"true"}', headers=[("Content-Type", content_type)])
    assert answer.status == 200


def test_a_json_bomb_of_nested_arrays_is_400(daemon):
    for body in (b'{"command":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[" * 100_000, b'{"a":' * 100_000):
        answer = daemon.call("POST", "/command", body=body)
        assert answer.status == 400, answer
        assert answer.json()["code"] == "INVALID_REQUEST_BODY"


def test_a_body_announced_far_too_long_is_refused_at_once(daemon):
    with daemon.wire() as wire:
        wire.send(b"POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{")
        answer = wire.response()
        assert answer.status in (400, 413), answer
        assert set(answer.json()) == {"code", "message"}
        assert wire.at_end()


def test_an_endless_chunked_body_is_cut_off(daemon):
    with daemon.wire() as wire:
        wire.send(b"POST /command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 512 and not wire.pending:
                wire.send(chunk)
                sent += 1
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 512, "512 MiB of JSON body were accepted"
    assert daemon.call("GET", "/ping").status == 200


def test_delete_command_without_an_id(daemon):
    for target in ("/command", "/command?id=", "/command?other=1"):
        refused(daemon.call("DELETE", target), 400, "MISSING_QUERY", "missing query parameter 'id'")


def test_delete_of_an_unknown_command(daemon):
    refused(daemon.call("DELETE", "/command?id=0123456789abcdef0123456789abcdef"), 500, "RUNTIME_ERROR",
            "error interruptting code context. no such session")


def test_delete_of_a_finished_command(daemon):
    ident = daemon.command("true")[0]["text"]
    refused(daemon.call("DELETE", f"/command?id={ident}"), 500, "RUNTIME_ERROR",
            f"error interruptting code context. command session {ident} is not running")


def test_sdk_gets_the_reason(sync_sdk):
    from opensandbox.exceptions import SandboxApiException
    from opensandbox.models.execd import RunCommandOpts

    with pytest.raises(SandboxApiException) as caught:
        sync_sdk.commands.run("true", opts=RunCommandOpts(working_directory="/no/such/dir"))
    assert caught.value.status_code == 400
    assert caught.value.error.code == "INVALID_REQUEST_BODY"
    assert "working directory does not exist: /no/such/dir" in caught.value.error.message


def test_a_large_command_text_runs(daemon):
    body = json.dumps({"command": "# " + "x" * 100_000 + "\necho ok"}).encode()
    assert frames.joined(frames.split(daemon.call("POST", "/command", body=body).body)) == "ok\n"
