"""What each native kernel can do in its language (docs/native-kernels.md, issue J)."""

import queue

from harness.native import kernel  # noqa: F401  a fixture

SOURCES = {
    "bash": [  # (cell, stdout)
        ("cat <<END\nhere $((6 * 7))\nEND", "here 42\n"),
        ("f() { return 3; }; f; echo $?", "3\n"),
        ("exec 1>&1; echo still", "still\n"),
        ("cd / && pwd", "/\n"),
        ("(echo sub; exit 0)", "sub\n")],
    "python3": [
        ("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')", "awaited\n"),
        ("%cd /", "/\n"),
        ("!echo shell {6 * 7}", "shell 42\n"),
        ("lines = !printf 'a\\nb'\nprint(lines)", "['a', 'b']\n"),
        ("import os\nprint('before', flush=True)\n_ = os.system('echo child')\nprint('after')", "before\nchild\nafter\n"),
        ("%%bash\necho cell", "cell\n")],
    "node": [
        ("const c = 1", ""), ("const c = 2; let d = c; console.log(c)", "2\n"),
        ("await new Promise(done => setTimeout(done, 1)); console.log('awaited')", "awaited\n"),
        ("import path, { basename } from 'path'; console.log(basename('/a/b'), typeof path.join)", "b function\n"),
        ("console.log(require('os').EOL === '\\n', (await import('fs')).existsSync('/'))", "true true\n")],
}
LARGE = {"bash": "x='{}'; echo ${{#x}}", "python3": "x = '{}'; print(len(x))", "node": "var x = '{}'; console.log(x.length)"}
RICH = {"python3": "class R:\n    def _repr_html_(self): return '<b>1</b>'\nR()",
        "node": "({ [Symbol.for('Jupyter.display')]() { return { 'text/html': '<b>1</b>' } } })"}
ASK = {"bash": "read -p 'name? ' who; echo \"<$who>\"", "python3": "print('<' + input('name? ') + '>')"}


def test_cells_of_the_language(kernel):
    for code, wanted in SOURCES[kernel.name]:
        reply, streams, _ = kernel.run(code)
        assert (reply["status"], streams["stdout"]) == ("ok", wanted), (code, reply, streams)


def test_a_large_source(kernel):
    size = 1 << 20
    assert kernel.run(LARGE[kernel.name].format("x" * size))[1]["stdout"] == f"{size}\n"


def test_rich_results(kernel):
    if kernel.name in RICH:
        results = [content["data"] for kind, content in kernel.run(RICH[kernel.name])[2] if kind == "execute_result"]
        assert len(results) == 1 and results[0]["text/html"] == "<b>1</b>" and "text/plain" in results[0]


def test_input_is_asked_for(kernel):
    if kernel.name not in ASK:
        return
    ident = kernel.client.execute(ASK[kernel.name], allow_stdin=True)
    asked = kernel.client.get_stdin_msg(timeout=30)["content"]
    assert (asked["prompt"], asked["password"]) == ("name? ", False)
    kernel.client.input("execd")
    text = ""
    while True:
        message = kernel.client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") == ident:
            text += message["content"].get("text", "")
            if message["content"].get("execution_state") == "idle":
                break
    assert kernel.client.get_shell_msg(timeout=30)["content"]["status"] == "ok" and "<execd>\n" in text


def test_what_bash_jobs_print_later_belongs_to_their_cell(kernel, tmp_path):
    if kernel.name != "bash":
        return
    gate = tmp_path / "gate"
    kernel.run(f"mkfifo {gate}")
    ident = kernel.client.execute(f"( read line <{gate}; echo late ) & echo now", allow_stdin=False)
    kernel.client.get_shell_msg(timeout=30)
    other = kernel.client.execute(f"echo other; echo >{gate}; wait", allow_stdin=False)
    seen = {}
    while "late" not in seen.get(ident, ""):
        try:
            message = kernel.client.get_iopub_msg(timeout=30)
        except queue.Empty:
            raise AssertionError(seen) from None
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            parent = message["parent_header"]["msg_id"]
            seen[parent] = seen.get(parent, "") + message["content"]["text"]
    assert kernel.client.get_shell_msg(timeout=30)["content"]["status"] == "ok"
    assert seen[ident] == "now\nlate\n" and seen[other] == "other\n"
