"""Native kernels (`execd kernel NAME`) driven by Jupyter's own client, without a daemon."""

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from .daemon import BINARY


class Driver:
    def __init__(self, name, room, env=None):
        self.manager = KernelManager(transport="ipc", ip=str(room / "s"), connection_file=str(room / "c.json"))
        argv = [str(BINARY), "kernel", name, "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=argv, display_name=name, language=name)
        self.manager.start_kernel(**({"env": env} if env else {}))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    def run(self, code, begun=None, seconds=30):
        """(reply's content, {stream: text}, [message types and contents])."""
        ident = self.client.execute(code, allow_stdin=False)
        streams, others = {"stdout": "", "stderr": ""}, []
        while True:
            message = self.client.get_iopub_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") != ident:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                streams[content["name"]] += content["text"]
                if begun:
                    begun()
            elif kind == "status" and content["execution_state"] == "idle":
                break
            elif kind not in ("status", "execute_input"):
                others.append((kind, content))
        return self.client.get_shell_msg(timeout=seconds)["content"], streams, others

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
