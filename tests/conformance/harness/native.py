"""Native kernels (`execd kernel NAME`): driven by Jupyter's own client, and below a daemon that has no other kernels."""

import os
import queue
import shutil

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from .daemon import BINARY, Daemon


class Driver:
    def __init__(self, name, room, env=None):
        self.manager = KernelManager(transport="ipc", ip=str(room / "s"), connection_file=str(room / "c.json"))
        argv = [str(BINARY), "kernel", name, "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=argv, display_name=name, language=name)
        self.manager.start_kernel(**({"env": env} if env else {}))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        # On a busy machine it has asked more than once: the other answers are not those of the first cells.
        asked = self.client.kernel_info()
        while self.client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != asked:
            pass

    def run(self, code, begun=None, seconds=30, said=None):
        """(reply's content, {stream: text}, [message types and contents]). `begun` is called when something is printed,
        `said` with all that stdout has by then."""
        ident = self.client.execute(code, allow_stdin=False)
        parts, others = {"stdout": [], "stderr": []}, []
        while True:
            message = self.client.get_iopub_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") != ident:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                parts[content["name"]].append(content["text"])
                if begun:
                    begun()
                if said and content["name"] == "stdout":
                    said("".join(parts["stdout"]))
            elif kind == "status" and content["execution_state"] == "idle":
                break
            elif kind not in ("status", "execute_input"):
                others.append((kind, content))
        streams = {name: "".join(texts) for name, texts in parts.items()}
        return self.client.get_shell_msg(timeout=seconds)["content"], streams, others

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def answer_of(one, seconds=60):
    """The reply to what was sent last; interrupted again when an interrupt came before the cell."""
    for _ in range(seconds):
        try:
            return one.client.get_shell_msg(timeout=1)["content"]
        except queue.Empty:
            one.manager.interrupt_kernel()
    raise AssertionError("no answer")


def bare_daemon(tools, names=("bash", "sh", "cat", "echo", "sleep", "node"), **env):
    """A daemon that finds these programs and Python on PATH, and no kernelspec."""
    for name in names:
        os.symlink(shutil.which(name), tools / name)
    os.symlink("/usr/bin/python3", tools / "python3")
    installed = [d for d in ("/usr/share/jupyter", "/usr/local/share/jupyter") if os.path.isdir(d)]
    hide = "".join(f"mount -t tmpfs none {d} && " for d in installed)
    wrapper = ["unshare", "-m", "sh", "-c", hide + 'export PATH="$0"; exec "$@"', str(tools)] if installed else []
    return Daemon(env={**({} if installed else {"PATH": str(tools)}), **env}, python=False, wrapper=wrapper).listening()


@pytest.fixture(scope="module", params=["bash", "python3", "node"])
def kernel(request, tmp_path_factory):
    one = Driver(request.param, tmp_path_factory.mktemp("k"))
    one.name = request.param
    yield one
    one.stop()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """In the place of conftest.py's daemon: the same tests on native kernels."""
    one = bare_daemon(tmp_path_factory.mktemp("bin"))
    yield one
    one.stop()
