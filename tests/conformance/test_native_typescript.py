"""TypeScript in the native Node kernel: by Node itself (22.13) or an installed compiler, offered only where there is one."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.daemon import BINARY
from harness.native import Driver, bare_daemon

PACKAGES = Path(__file__).parent / "js/node_modules"  # scripts/deps --test puts `typescript` there
STRIPS = "typeof require('module').stripTypeScriptTypes == 'function'"
NODE_STRIPS = subprocess.run(["node", "-p", STRIPS], capture_output=True, text=True, timeout=60).stdout == "true\n"


@pytest.fixture(scope="module")
def typescript(tmp_path_factory):
    one = Driver("typescript", tmp_path_factory.mktemp("k"), {**os.environ, "NODE_PATH": str(PACKAGES)})
    yield one
    one.stop()


def test_types_are_stripped(typescript):
    reply, streams, others = typescript.run("""
interface Point { x: number; y: number }
const p: Point = { x: 20, y: 1 }
function twice<T extends number>(n: T): number { return n * 2 }
import type { Stats } from 'fs'
import { basename } from 'path'
console.log(basename('/a/b') as string)
twice(p.x) + 2""")
    assert reply["status"] == "ok", reply
    assert streams["stdout"] == "b\n" and others[-1][1]["data"]["text/plain"] == "42"
    assert typescript.run("const p: string = 'again'; p")[2][-1][1]["data"]["text/plain"] == "'again'"


def test_broken_types_are_an_error_of_the_cell(typescript):
    reply, _, _ = typescript.run("const x: = 1")
    assert (reply["status"], reply["ename"]) == ("error", "SyntaxError"), reply
    assert typescript.run("1 + 1")[0]["status"] == "ok"


def names(one):
    return [spec["name"] for spec in one.call("GET", "/execd/v1/kernelspecs").json()["kernelspecs"]]


def test_it_is_offered_where_it_works(tmp_path):
    one = bare_daemon(tmp_path, NODE_PATH=str(PACKAGES))
    try:
        assert {"execd-bash", "execd-python3", "execd-node", "execd-typescript"} <= set(names(one))
        ident = one.call("POST", "/code/context", json={"language": "typescript"}).json()["id"]
        events = one.events_of("/code", {"code": "const n: number = 42; n", "context": {"id": ident, "language": "typescript"}})
        assert [e["results"]["text"] for e in events if e["type"] == "result"] == ["42"]
    finally:
        one.stop()


@pytest.mark.skipif(NODE_STRIPS, reason="this Node strips types itself")
def test_where_it_does_not_work_it_is_not_offered_and_refused_with_the_reason(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "NODE_PATH"}
    why = "cannot strip types (22.13 can) and no package 'typescript' is installed"
    if subprocess.run([str(BINARY), "kernel", "check", "typescript"], cwd="/", env=env, capture_output=True).returncode == 0:
        why = None  # this machine has one installed
    one = bare_daemon(tmp_path)
    try:
        assert ("execd-typescript" in names(one)) == (why is None)
        answer = one.call("POST", "/code/context", json={"language": "typescript"})
        if why:
            assert answer.status >= 400 and why in answer.json()["message"], answer
            for words in (["doctor"], ["kernel", "list"]):
                said = subprocess.run([str(BINARY), *words], cwd="/", env=env, capture_output=True, text=True, timeout=60)
                assert "execd-typescript" not in said.stdout
                assert words == ["doctor"] or why in said.stdout
    finally:
        one.stop()


@pytest.mark.skipif(NODE_STRIPS, reason="this Node strips types itself")
def test_a_compiler_that_is_none_for_node_is_refused(tmp_path):
    package = tmp_path / "node_modules/typescript"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "typescript", "version": "7.0.2"}))
    checked = subprocess.run([str(BINARY), "kernel", "check", "typescript"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 1 and "'typescript' 7.0.2 is none for Node" in checked.stderr
    shutil.rmtree(package)
