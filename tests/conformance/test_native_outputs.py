"""What cells give out in native kernels: text cut anywhere, and what JSON cannot say (docs/native-kernels.md, issue J)."""

import pytest

from harness.native import Driver

DEEP = {"python3": "x = []\nfor _ in range({}): x = [x]\nNone", "node": "var x = []; for (let i = 0; i < {}; i++) x = [x]; undefined"}
SHOW = {"python3": "display({'application/json': x}, raw=True)\nprint('after')", "node": "display.json(x); console.log('after')"}
HOLDER = {"python3": "class J:\n    def _repr_json_(self): return x\nj = J()", "node": "var j = { _repr_json_() { return x } }; undefined"}


@pytest.fixture(scope="module", params=["python3", "node"])
def framed(request, tmp_path_factory):
    one = Driver(request.param, tmp_path_factory.mktemp("k"))
    one.name = request.param
    yield one
    one.stop()


def test_a_character_in_two_pieces_is_one(framed):
    code = {"node": "for (const b of [0xc3, 0xa9]) { process.stdout.write(Buffer.from([b])); await new Promise(done => setTimeout(done, 20)) }",
            "python3": "import sys\nfor b in b'\\xc3\\xa9': _ = sys.stdout.buffer.write(bytes([b]))"}[framed.name]
    assert framed.run(code)[1]["stdout"] == "é"
    if framed.name == "node":  # and one that stays unfinished is said in its own cell
        assert framed.run("process.stdout.write(Buffer.from([0xc3])); undefined")[1]["stdout"] == "\ufffd"
        assert framed.run("process.stdout.write(Buffer.from([0xa9])); undefined")[1]["stdout"] == "\ufffd"


@pytest.mark.parametrize("depth", [200, 100_000])
def test_what_nests_too_deeply_is_said(framed, depth):
    framed.run(DEEP[framed.name].replace("{}", str(depth), 1))
    reply, streams, _ = framed.run(SHOW[framed.name])
    if depth == 200:
        assert (reply["status"], streams["stdout"]) == ("ok", "after\n"), (reply, streams)
        assert streams["stderr"].startswith("[an output of ") and streams["stderr"].endswith(" bytes could not be read]\n")
    else:  # the language's own writer of JSON gives it up
        assert reply["status"] == "error" and reply["ename"] in ("RecursionError", "RangeError"), (reply, streams)
    framed.run(HOLDER[framed.name])
    assert framed.client.execute("1", user_expressions={"a": "j"}, allow_stdin=False)
    answer = framed.client.get_shell_msg(timeout=30)["content"]
    assert answer["status"] == "error", answer
    assert answer["ename"] == ("UnreadableOutput" if depth == 200 else reply["ename"]), answer
    assert framed.run("x = 1")[0]["status"] == "ok"


def test_numbers_that_json_has_not(framed):
    if framed.name == "node":  # JSON.stringify writes null
        shown = framed.run("display.json([NaN, -Infinity]); undefined")[2]
        assert [c["data"]["application/json"] for _, c in shown] == [[None, None]]
        return
    code = "n = float('nan')\nclass J:\n    def _repr_json_(self): return {'a': [n, -n, float('inf'), 1.5], (1, 2): -float('inf')}\nJ()"
    reply, _, shown = framed.run(code)
    assert reply["status"] == "ok"
    assert [c["data"]["application/json"] for _, c in shown] == [{"a": ["nan", "nan", "inf", 1.5], "(1, 2)": "-inf"}]
    framed.client.execute("1", user_expressions={"a": "J()"}, allow_stdin=False)
    answer = framed.client.get_shell_msg(timeout=30)["content"]
    assert answer["user_expressions"]["a"]["data"]["application/json"]["a"][0] == "nan", answer
    reply, streams, shown = framed.run("display({'application/json': 10 ** 400}, raw=True)")
    assert reply["status"] == "ok" and not shown and "bytes could not be read]" in streams["stderr"]
