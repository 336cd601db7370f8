"""POST /code with a real Python kernel: opensandbox.md 1.6, 2, 10, 11, 13.3 to 13.5; opensandbox-1.1.md 7."""

import itertools
import os
import re
import uuid

import pytest

from harness import frames, sdk


@pytest.fixture(scope="module")
def context(daemon):
    """The id of a Python context of this file's own."""
    answer = daemon.call("POST", "/code/context", json={"language": "python"})
    assert answer.status == 200, answer
    ident = answer.json()["id"]
    yield ident
    assert daemon.call("DELETE", f"/code/contexts/{ident}").status == 200


def run(daemon, context, code):
    return daemon.events_of("/code", {"code": code, "context": {"id": context, "language": "python"}})


def result(events):
    found = [e["results"] for e in events if e["type"] == "result"]
    assert len(found) == 1, events
    return found[0]


def test_golden_frames_of_an_expression(daemon, context):
    answer = daemon.call("POST", "/code", json={"code": "1+1", "context": {"id": context, "language": "python"}})
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/event-stream"
    assert re.fullmatch(
        rb'\{"type":"init","text":"' + context.encode() + rb'","timestamp":\d{13}\}\n\n'
        rb'\{"type":"ping","text":"pong","timestamp":\d{13}\}\n\n'
        rb'\{"type":"execution_count","execution_count":\d+,"timestamp":\d{13}\}\n\n'
        rb'\{"type":"result","timestamp":\d{13},"results":\{("text":"2","text/plain":"2"|"text/plain":"2","text":"2")\}\}\n\n'
        rb'\{"type":"execution_complete","execution_time":\d+,"timestamp":\d{13}\}\n\n', answer.body), answer.body


def test_the_init_text_is_the_context_id_a_uuid_with_dashes(daemon, context):
    events = run(daemon, context, "pass")
    assert events[0]["type"] == "init"
    assert str(uuid.UUID(events[0]["text"])) == events[0]["text"] == context


def test_a_statement_has_neither_count_nor_result(daemon, context):
    assert frames.kinds(run(daemon, context, "x = 1")) == ["init", "execution_complete"]


def test_rich_results_keep_their_mime_types(daemon, context):
    code = "class R:\n  def _repr_html_(self): return '<b>\\u2028&</b>'\n  def __repr__(self): return 'plain R'\nR()"
    found = result(run(daemon, context, code))
    assert found == {"text": "plain R", "text/plain": "plain R", "text/html": "<b>\u2028&</b>"}


def test_execution_count_rises_by_one(daemon, context):
    counts = [e["execution_count"] for code in ("1", "2")
              for e in run(daemon, context, code) if e["type"] == "execution_count"]
    assert counts[1] == counts[0] + 1


def test_state_persists_in_a_context(daemon, context):
    run(daemon, context, "kept = 40\ndef f(): return kept + 2")
    assert result(run(daemon, context, "f()"))["text"] == "42"


def test_prints_arrive_as_the_kernel_sends_them_and_before_the_end(daemon, context):
    events = run(daemon, context, "import sys\nprint('a\\n\\nb')\nprint('e', file=sys.stderr)\nprint('tail', end='')")
    assert frames.joined(events) == "a\n\nb\ntail"
    assert frames.joined(events, "stderr") == "e\n"
    assert frames.terminal(events)["type"] == "execution_complete"


def test_line_separators_survive_the_code_sdks_line_splitting(daemon, context):
    events = run(daemon, context, "print('a\\x85b\\u2028c\\u2029d')")
    assert frames.joined(events) == "a\x85b\u2028c\u2029d\n"


def test_an_error_names_type_value_and_traceback(daemon, context):
    events = run(daemon, context, "print('before')\n1/0")
    assert frames.joined(events) == "before\n"
    errors = [e["error"] for e in events if e["type"] == "error"]
    assert len(errors) == 1
    assert (errors[0]["ename"], errors[0]["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert any("1/0" in re.sub(r"\x1b\[[0-9;]*m", "", line) for line in errors[0]["traceback"])
    assert events[-1]["type"] in frames.TERMINAL


def test_a_syntax_error_and_then_the_context_still_works(daemon, context):
    events = run(daemon, context, "def broken(:")
    assert [e["error"]["ename"] for e in events if e["type"] == "error"] == ["SyntaxError"]
    assert result(run(daemon, context, "'fine'"))["text"] == "'fine'"


def test_a_print_of_5_mb_is_not_lost(daemon, context):
    events = run(daemon, context, "print('x' * 5_000_000)")
    assert frames.joined(events) == "x" * 5_000_000 + "\n"
    assert frames.terminal(events)["type"] == "execution_complete"


def test_fifty_thousand_lines_are_not_lost(daemon, context):
    events = run(daemon, context, "for i in range(50_000): print('line', i)")
    assert frames.joined(events).splitlines() == [f"line {i}" for i in range(50_000)]


def test_back_to_back_runs_never_lose_output(daemon, context):
    for number in range(50):
        events = run(daemon, context, f"print('out {number}')\n{number}")
        # ipykernel may send "out 1" and its line end as two messages.
        kinds = [kind for kind, _ in itertools.groupby(frames.kinds(events))]
        assert kinds == ["init", "stdout", "execution_count", "result", "execution_complete"], events
        assert frames.joined(events) == f"out {number}\n"
        assert result(events)["text"] == str(number)


def test_the_first_run_of_a_fresh_context_loses_nothing(daemon):
    ident = daemon.call("POST", "/code/context", json={"language": "python"}).json()["id"]
    events = run(daemon, ident, "print('first')\n7")
    assert frames.kinds(events) == ["init", "stdout", "execution_count", "result", "execution_complete"], events
    assert daemon.call("DELETE", f"/code/contexts/{ident}").status == 200


def test_the_kernel_has_no_stdin(daemon, context):
    events = run(daemon, context, "input('? ')")
    errors = [e["error"]["ename"] for e in events if e["type"] == "error"]
    assert errors == ["StdinNotImplementedError"]


def test_interrupt_by_delete_code_keeps_the_state(daemon, context):
    body = {"code": "kept = 5\nprint('on', flush=True)\nimport time\ntime.sleep(300)",
            "context": {"id": context, "language": "python"}}
    with daemon.stream("/code", body) as stream:
        stream.until("stdout", "on")
        answer = daemon.call("DELETE", f"/code?id={context}")
        assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "0")
        events = stream.rest()
    assert [e["error"]["ename"] for e in events if e["type"] == "error"] == ["KeyboardInterrupt"]
    assert events[-1]["type"] in frames.TERMINAL
    assert result(run(daemon, context, "kept"))["text"] == "5"


def test_a_client_that_leaves_does_not_stop_the_run(daemon, context, work):
    gate, done = work / "gate", work / "done"
    os.mkfifo(gate)
    os.mkfifo(done)
    code = f"print('on', flush=True)\nopen({str(gate)!r}).read()\nprint('more')\nopen({str(done)!r}, 'w').write('end')"
    with daemon.stream("/code", {"code": code, "context": {"id": context, "language": "python"}}) as stream:
        stream.until("stdout", "on")
        stream.wire.reset()
    gate.write_text("go")
    assert done.read_text() == "end"
    assert result(run(daemon, context, "1"))["text"] == "1"


def test_subprocess_output_and_jupyter_port(daemon, context):
    events = run(daemon, context, "import os\nos.environ.get('JUPYTER_PORT')")
    assert result(events)["text"] == repr(str(daemon.port))


def test_no_language_is_a_shell_command(daemon):
    events = daemon.events_of("/code", {"code": "echo $((6*7)); exit 2"})
    assert frames.joined(events) == "42\n"
    assert frames.exit_of(events) == 2
    assert frames.joined(daemon.events_of("/code", {"code": "echo x", "context": {"language": "command"}})) == "x\n"


@sdk.asynchronous
async def test_async_sdk_runs_code_in_a_context(daemon):
    async with sdk.connect(daemon) as services:
        context = await services.codes.create_context("python")
        assert str(uuid.UUID(context.id)) == context.id
        run_ = await services.codes.run("print('a\\u2028b')\n[1, 2]", context=context)
        assert [m.text for m in run_.logs.stdout] == ["a\u2028b\n"]
        assert [r.text for r in run_.result] == ["[1, 2]"]
        assert run_.error is None and run_.id == context.id
        assert run_.complete.execution_time_in_millis >= 0
        failed = await services.codes.run("undefined_name", context=context)
        assert (failed.error.name, failed.error.value) == ("NameError", "name 'undefined_name' is not defined")
        assert failed.error.traceback
        await services.codes.delete_context(context.id)


def test_sync_sdk_default_language_is_python(sync_sdk):
    assert [r.text for r in sync_sdk.codes.run("21 * 2").result] == ["42"]
