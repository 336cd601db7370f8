"""POST /command, the bytes of its event stream: opensandbox.md 2, 10, 11, 13; opensandbox-1.1.md 3."""

import os
import re

import pytest

from harness import frames, sdk

OLD_SDK = [("User-Agent", "OpenSandbox-Python-SDK/0.1.9")]
SDK_1_1 = [("User-Agent", "OpenSandbox-Python-SDK/1.1.1")]
HEX_ID = re.compile(r"[0-9a-f]{32}")


def test_golden_frames_of_echo(daemon):
    answer = daemon.call("POST", "/command", json={"command": "echo hi"})
    assert answer.status == 200
    assert re.fullmatch(
        rb'\{"type":"init","text":"[0-9a-f]{32}","timestamp":\d{13}\}\n\n'
        rb'\{"type":"ping","text":"pong","timestamp":\d{13}\}\n\n'
        rb'\{"type":"stdout","text":"hi\\n","timestamp":\d{13}\}\n\n'
        rb'\{"type":"execution_complete","execution_time":\d+,"timestamp":\d{13}\}\n\n', answer.body), answer.body


def test_golden_frames_of_exit_3(daemon):
    answer = daemon.call("POST", "/command", json={"command": "exit 3"})
    last = answer.body[:-2].split(b"\n\n")[-1]
    assert re.fullmatch(
        rb'\{"type":"error","timestamp":\d{13},'
        rb'"error":\{"ename":"CommandExecError","evalue":"3","traceback":\["exit status 3"\]\}\}', last), last


def test_golden_frames_for_sdks_before_1_1(daemon):
    answer = daemon.call("POST", "/command", json={"command": "echo hi"}, headers=OLD_SDK)
    assert re.search(rb'\{"type":"stdout","text":"hi","timestamp":\d{13}\}\n\n', answer.body), answer.body


def test_line_terminators_by_configuration(fresh_daemon):
    bare = fresh_daemon(env={"EXECD_LINE_TERMINATORS": "strip"})
    events = frames.split(bare.call("POST", "/command", json={"command": "printf 'a\\n\\nb'"}, headers=SDK_1_1).body)
    assert [e["text"] for e in events if e["type"] == "stdout"] == ["a", "\n", "b"]
    kept = fresh_daemon(env={"EXECD_LINE_TERMINATORS": "keep"})
    events = frames.split(kept.call("POST", "/command", json={"command": "printf 'a\\n\\nb'"}, headers=OLD_SDK).body)
    assert [e["text"] for e in events if e["type"] == "stdout"] == ["a\n", "\n", "b"]


def test_stream_headers(daemon):
    answer = daemon.call("POST", "/command", json={"command": "true"})
    assert answer.header("Content-Type") == "text/event-stream"
    assert answer.header("Cache-Control") == "no-cache"
    assert answer.header("X-Accel-Buffering") == "no"
    assert answer.header("Transfer-Encoding") == "chunked"


def test_the_connection_serves_another_request_after_a_stream(daemon):
    with daemon.wire() as wire:
        for number in range(3):
            answer = wire.request("POST", "/command", body=b'{"command":"echo %d"}' % number)
            assert frames.joined(frames.split(answer.body)) == f"{number}\n"
        assert wire.request("GET", "/ping").status == 200


def test_init_first_then_ping_and_a_new_id_per_command(daemon):
    first, second = daemon.command("true"), daemon.command("true")
    for events in (first, second):
        assert [e["type"] for e in events[:2]] == ["init", "ping"]
        assert HEX_ID.fullmatch(events[0]["text"])
        assert events[1]["text"] == "pong"
    assert first[0]["text"] != second[0]["text"]


def test_execution_time_is_always_sent(daemon):
    assert daemon.command("true")[-1]["execution_time"] >= 0


BLANKS = r"printf 'a\n\nb\n\n\nc\n'"


def test_blank_lines_with_terminators(daemon):
    assert frames.texts(daemon.command(BLANKS, SDK_1_1)) == ["a\n", "\n", "b\n", "\n", "\n", "c\n"]
    assert frames.texts(daemon.command(BLANKS)) == ["a\n", "\n", "b\n", "\n", "\n", "c\n"]


def test_blank_lines_for_sdks_before_1_1(daemon):
    assert frames.texts(daemon.command(BLANKS, OLD_SDK)) == ["a", "\n", "b", "\n", "\n", "c"]


@pytest.mark.parametrize("agent", ["OpenSandbox-Python-SDK/0.1.9", "OpenSandbox-JS-SDK/0.1.11",
                                   "OpenSandbox-Kotlin-SDK/0.5.0 okhttp/4"])
def test_terminators_are_stripped_for_every_old_sdk(daemon, agent):
    events = daemon.command("echo hi; echo there", [("User-Agent", agent)])
    assert frames.texts(events) == ["hi", "there"]


@pytest.mark.parametrize(("printf", "kept", "stripped"), [
    (r"10%%\r20%%\rdone\n", ["10%\r", "20%\r", "done\n"], ["10%", "20%", "done"]),
    (r"dos\r\nline\r\n", ["dos\r\n", "line\r\n"], ["dos", "line"]),
    (r"no end", ["no end"], ["no end"]),
    (r"a\nno end", ["a\n", "no end"], ["a", "no end"]),
    (r"\n", ["\n"], ["\n"]),
    (r"tail\r", ["tail\r"], ["tail"]),
])
def test_line_ends(daemon, printf, kept, stripped):
    assert frames.texts(daemon.command(f"printf '{printf}'")) == kept
    assert frames.texts(daemon.command(f"printf '{printf}'", OLD_SDK)) == stripped


def test_an_unterminated_prompt_then_its_rest_join_to_the_exact_output(daemon):
    assert daemon.shell("printf 'name? '; printf 'x\\n'; printf tail") == "name? x\ntail"


def test_line_separators_of_every_kind_are_escaped_and_arrive(daemon):
    text = "a\u0085b\u2028c\u2029d\x1ce\x0bf\x0cg"
    assert daemon.shell(f"printf '%s\\n' '{text}'") == text + "\n"  # frames.check refuses raw separators


def test_non_ascii_text_arrives_whole(daemon):
    text = "grüße 日本語 🎈 <&> \"quoted\" back\\slash\ttab"
    assert daemon.command(["printf", "%s\n", text])[2]["text"] == text + "\n"


def test_a_multi_byte_character_split_between_writes_is_not_broken(daemon):
    script = r"printf '\342\202'; /bin/true; printf '\254\n'"
    assert daemon.shell(script) == "\u20ac\n"


@pytest.mark.parametrize(("octal", "text"), [(r"a\377b", "a\ufffdb"), (r"\303(", "\ufffd("), (r"\200x", "\ufffdx")])
def test_invalid_utf8_becomes_the_replacement_character(daemon, octal, text):
    assert daemon.shell(f"printf '{octal}\\n'") == text + "\n"


def test_control_bytes_and_nul_arrive(daemon):
    assert daemon.shell(r"printf 'a\001\001\001b\000c\033[0m\n'") == "a\x01\x01\x01b\x00c\x1b[0m\n"


def test_stdout_and_stderr_are_separate(daemon):
    events = daemon.command("echo out; echo err >&2; echo out2; exit 4")
    assert frames.joined(events) == "out\nout2\n"
    assert frames.joined(events, "stderr") == "err\n"
    assert frames.exit_of(events) == 4


def test_five_megabytes_in_lines_lose_nothing(daemon):
    events = daemon.command("seq -f 'line %.0f of the long output, some more text here' 1 100000")
    lines = frames.joined(events).splitlines()
    assert len(lines) == 100000
    assert lines == [f"line {i} of the long output, some more text here" for i in range(1, 100001)]
    assert frames.exit_of(events) == 0


def test_five_megabytes_on_one_line_lose_nothing(daemon):
    text = daemon.shell("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end")
    assert len(text) == 5000005
    assert text == "x" * 5000000 + "\nend\n"


def test_five_megabytes_of_binary_neither_break_a_frame_nor_the_end(daemon):
    events = daemon.command("head -c 5000000 /dev/urandom; exit 9")
    assert frames.exit_of(events) == 9


def test_output_just_before_the_end_is_never_lost(daemon):
    with daemon.wire() as wire:
        for number in range(100):
            answer = wire.request("POST", "/command", body=b'{"command":"echo out %d; echo err >&2; exit 5"}' % number)
            events = frames.split(answer.body)
            assert frames.joined(events) == f"out {number}\n", events
            assert frames.joined(events, "stderr") == "err\n", events
            assert frames.exit_of(events) == 5


def test_a_line_arrives_while_the_command_still_runs(daemon, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with daemon.stream("/command", {"command": f"echo first; read x < {gate}; echo second"}) as stream:
        assert stream.until("stdout")["text"] == "first\n"
        gate.write_text("go\n")
        assert stream.until("stdout")["text"] == "second\n"
        stream.rest()
        assert frames.exit_of(stream.events) == 0


@sdk.asynchronous
async def test_async_sdk_sees_exact_output_and_exit_code(daemon):
    async with sdk.connect(daemon) as services:
        run = await services.commands.run(BLANKS + "; echo err >&2; exit 3")
        assert [m.text for m in run.logs.stdout] == ["a\n", "\n", "b\n", "\n", "\n", "c\n"]
        assert run.text == "a\n\nb\n\n\nc"
        assert [m.text for m in run.logs.stderr] == ["err\n"]
        assert (run.exit_code, run.error.name, run.error.value) == (3, "CommandExecError", "3")
        assert run.error.traceback == ["exit status 3"]
        assert HEX_ID.fullmatch(run.id)


@sdk.asynchronous
async def test_async_sdk_handlers_are_called_in_order(daemon):
    from opensandbox.models.execd import ExecutionHandlers

    seen = []

    def handler(name, value):
        async def on(event):
            seen.append((name, value(event)))
        return on

    handlers = ExecutionHandlers(
        on_init=handler("init", lambda e: len(e.id)), on_stdout=handler("out", lambda e: e.text),
        on_execution_complete=handler("end", lambda e: e.execution_time_in_millis >= 0))
    async with sdk.connect(daemon) as services:
        await services.commands.run("echo one; echo two", handlers=handlers)
    assert seen == [("init", 32), ("out", "one\n"), ("out", "two\n"), ("end", True)]


def test_sync_sdk_run(sync_sdk):
    run = sync_sdk.commands.run("echo hi")
    assert (run.exit_code, run.text, len(run.logs.stdout)) == (0, "hi", 1)
    assert sync_sdk.commands.run("kill -9 $$").exit_code == -1
