"""The Python worker of execd's native kernel: evaluates cells, knows no Jupyter. Python 3.8 and newer, no packages.

It is one program in three sources, that are read one after the other: this one (frames and streams), python_show.py
(results, displays, magics) and python_cells.py (cells, questions, the loop).

fd 3 brings requests, fd 4 takes events, both in frames (kernels/native/framed_worker.cpp); fd 1 and 2 are pipes for
child processes and libraries. What Python itself prints goes by frames, in order with results and displays.
"""
import _thread
import ast
import builtins
import fcntl
import io
import json
import linecache
import os
import signal
import sys
import traceback
import types

WORKER = globals()
MAIN = types.ModuleType("__main__")
NS = MAIN.__dict__
NS["__builtins__"] = builtins
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
COROUTINE = 0x80
PIPE_TEXT = 8192  # characters of an unfinished line that are kept back
TEXT_LIMIT = 1 << 20  # of one text/plain


class State:
    pid = os.getpid()
    main = _thread.get_ident()
    lock = _thread.RLock()
    critical = 0  # of the main thread: no KeyboardInterrupt now
    pending = False
    in_cell = False
    allow_stdin = False
    forked = False
    loop = None
    futures = 0
    count = 0


# ---- frames


class Critical:
    """No KeyboardInterrupt inside: half a frame would be the end of the connection."""

    def __enter__(self):
        if _thread.get_ident() == State.main:
            State.critical += 1
        State.lock.acquire()

    def __exit__(self, *_):
        State.lock.release()
        if _thread.get_ident() == State.main:
            State.critical -= 1
            if State.critical == 0 and State.pending:
                State.pending = False
                if State.in_cell:
                    raise KeyboardInterrupt


def on_sigint(_number, _frame):
    if State.forked:
        raise KeyboardInterrupt
    if State.critical:
        State.pending = State.in_cell
    elif State.in_cell:
        raise KeyboardInterrupt


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def send_frame(kind, data):
    if State.forked:
        return
    try:
        write_all(4, kind + len(data).to_bytes(4, "little") + data)
    except OSError:  # the cell has closed it: there is no way back
        os._exit(1)


def read_exactly(n):
    data = b""
    while len(data) < n:
        more = os.read(3, n - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def read_frame():
    try:
        kind = os.read(3, 1)  # an interrupt may come here, where nothing is lost
    except OSError:
        os._exit(1)
    if not kind:
        os._exit(0)
    with Critical():
        body = read_exactly(int.from_bytes(read_exactly(4), "little"))
    return kind, body


def unread(fd, room=bytearray(4)):
    try:
        fcntl.ioctl(fd, 0x541B, room)  # FIONREAD
        return any(room)
    except OSError:
        return False


def settle():
    """What children have written to fd 1 and 2 comes before what is sent now."""
    if State.in_cell and _thread.get_ident() == State.main and (unread(1) or unread(2)):
        send_frame(b"d", b"")


def cleaned(value):
    """As jupyter_client's json_clean: NaN and infinity, for which JSON has no word, become text, and so do keys."""
    if isinstance(value, float):
        return value if value - value == 0 else float.__repr__(value)
    if isinstance(value, dict):
        return {str(key): cleaned(each) for key, each in value.items()}
    return [cleaned(each) for each in value] if isinstance(value, (list, tuple)) else value


def packed(values):
    try:
        return json.dumps(values, default=str, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(cleaned(values), default=str, allow_nan=False)


def event(**values):
    data = packed(values).encode("utf-8", "replace")
    with Critical():
        OUT.push()
        ERR.push()
        settle()
        send_frame(b"j", data)


# ---- streams


class Bytes(io.RawIOBase):
    def __init__(self, stream):
        self.stream = stream

    def writable(self):
        return True

    def fileno(self):
        return self.stream.fileno()

    def write(self, data):
        self.stream.flush()
        write_all(self.stream.fd, bytes(data))
        return len(data)


class Stream(io.TextIOBase):
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, kind, name, fd):
        self.kind, self.name, self.fd, self.parts, self.size = kind, name, fd, [], 0
        self.buffer = Bytes(self)
        self.mode = "w"

    def writable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        return self.fd

    def push(self):
        if not self.parts:
            return
        text, self.parts, self.size = "".join(self.parts), [], 0
        data = text.encode("utf-8", "backslashreplace")
        if State.forked:
            write_all(self.fd, data)
            return
        settle()
        for at in range(0, len(data), 1 << 20):
            send_frame(self.kind, data[at:at + (1 << 20)])

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        if text:
            with Critical():
                (ERR if self is OUT else OUT).push()
                self.parts.append(text)
                self.size += len(text)
                if "\n" in text or "\r" in text or self.size > PIPE_TEXT:
                    self.push()
        return len(text)

    def flush(self):
        with Critical():
            self.push()

    def close(self):
        pass

    def reconfigure(self, **_):
        pass


OUT = Stream(b"o", "<stdout>", 1)
ERR = Stream(b"e", "<stderr>", 2)


class Input(io.TextIOBase):
    """sys.stdin: each line is asked for."""

    encoding = "utf-8"
    name = "<stdin>"

    def readable(self):
        return True

    def isatty(self):
        return False

    def fileno(self):
        return 0

    def readline(self, size=-1):
        try:
            return ask("", False) + "\n"
        except EOFError:
            return ""

    def read(self, size=-1):
        return "".join(iter(self.readline, "")) if size is None or size < 0 else self.readline()[:size]

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class StdinNotImplementedError(EOFError, NotImplementedError):
    """As IPython calls it."""


def ask(prompt, password):
    if not State.allow_stdin or _thread.get_ident() != State.main or State.forked or not State.in_cell:
        raise StdinNotImplementedError("this request brings no stdin: input() cannot be answered")
    event(t="input", prompt=str(prompt), password=password)
    while True:
        kind, body = read_frame()
        if kind == b"j":
            request = json.loads(body)
            if request.get("t") == "input":
                return request["value"]


def getpass(prompt="Password: ", stream=None, **_):
    return ask(prompt, True)


def after_fork():
    State.forked, State.lock, State.critical = True, _thread.RLock(), 0
    State.main = _thread.get_ident()
    OUT.parts, ERR.parts = [], []
    for fd in (3, 4):
        try:
            os.close(fd)
        except OSError:
            pass


def before_fork():
    for stream in (OUT, ERR):
        stream.flush()


def on_audit(name, _arguments):
    if name in ("subprocess.Popen", "os.system", "os.posix_spawn"):
        before_fork()
