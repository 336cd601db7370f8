"""jupyter_kernel_test, the suite that kernels are judged by, against the native ones (docs/native-kernels.md, issue J).

It starts each by the kernelspec that `execd kernel install` writes, with Jupyter's own client.
"""

import os
import subprocess
import tempfile
import unittest
from queue import Empty

import jupyter_kernel_test as jkt
from jupyter_kernel_test.msgspec_v5 import validate_message

from harness.daemon import BINARY

PATIENCE = 30  # seconds: the suite itself waits a tenth of a second for an output


class Suite(jkt.KernelTests):
    __test__ = False
    supported_history_operations = ("tail", "range", "search")

    @classmethod
    def setUpClass(cls):
        cls.prefix = tempfile.TemporaryDirectory(prefix="execd-suite-")
        subprocess.run([str(BINARY), "kernel", "install", cls.kernel_name.removeprefix("execd-"), "--prefix", cls.prefix.name],
                       check=True, stdout=subprocess.DEVNULL, timeout=60)
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = f"{cls.prefix.name}/share/jupyter"
        try:
            super().setUpClass()
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before
        channel = cls.kc.iopub_channel
        cls.impatient, channel.get_msg = channel.get_msg, lambda timeout=None: cls.impatient(timeout=PATIENCE)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.prefix.cleanup()

    def flush_channels(self):
        for get in (self.kc.shell_channel.get_msg, self.impatient):
            while True:
                try:
                    validate_message(get(timeout=0.01))
                except Empty:
                    break


class Bash(Suite):
    __test__ = True
    kernel_name, language_name, file_extension = "execd-bash", "bash", ".sh"
    code_hello_world = "echo hello, world"
    code_stderr = "echo no >&2"
    code_generate_error = "(exit 3)"
    code_inspect_sample = "echo"
    completion_samples = [{"text": "__ek_no_such"}, {"text": "readon", "matches": {"readonly"}}]
    complete_code_samples = ["echo 1", "for i in 1 2; do echo $i; done"]
    incomplete_code_samples = ["for i in 1 2; do", "echo 'one", "cat <<END\nline"]
    invalid_code_samples = ["if then", "done"]
    code_execute_result = [{"code": "echo one"}, {"code": "echo two"}]  # for the history only
    code_history_pattern = "echo ?ne"

    def test_execute_result(self):
        raise unittest.SkipTest("bash prints, it has no results")


class Python(Suite):
    __test__ = True
    kernel_name, language_name, file_extension = "execd-python3", "python", ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('no', file=sys.stderr)"
    code_generate_error = "1 / 0"
    code_inspect_sample = "print"
    completion_samples = [{"text": "isinst", "matches": {"isinstance"}}, {"text": "zi", "matches": {"zip"}}]
    complete_code_samples = ["1", "def f(x):\n  return x*2\n\n", "x = 1 + \\\n2", "%pwd", "await f()"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2", "if x:", "(1 +"]
    invalid_code_samples = ["import = 7q", "x ="]
    code_execute_result = [{"code": "6*7", "result": "42"}, {"code": "'a' + 'b'", "result": "'ab'"}]
    code_display_data = [{"code": "display('x')", "mime": "text/plain"},
                         {"code": "class H:\n    def _repr_html_(self): return '<b>'\ndisplay(H())", "mime": "text/html"}]
    code_history_pattern = "6?7"
    code_clear_output = "clear_output()"


class Node(Suite):
    __test__ = True
    kernel_name, language_name, file_extension = "execd-node", "javascript", ".js"
    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('no')"
    code_generate_error = "throw new Error('no')"
    code_inspect_sample = "parseInt"
    completion_samples = [{"text": "parseIn", "matches": {"parseInt"}}, {"text": "JSON.strin", "matches": {"stringify"}}]
    complete_code_samples = ["1", "const f = x => x * 2", "await 1", "import fs from 'fs'"]
    incomplete_code_samples = ["function f() {", "`one", "f(1,"]
    invalid_code_samples = ["let = = 1", "1 2"]
    code_execute_result = [{"code": "6*7", "result": "42"}, {"code": "'a' + 'b'", "result": "'ab'"}]
    code_display_data = [{"code": "display.html('<b>')", "mime": "text/html"}]
    code_history_pattern = "6?7"
    code_clear_output = "display.clear()"
