"""The Python worker of execd's native kernel: evaluates cells, knows no Jupyter. Python 3.8 and newer, no packages.

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


def event(**values):
    data = json.dumps(values, default=str).encode("utf-8", "replace")
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


def ask(prompt, password):
    if not State.allow_stdin or _thread.get_ident() != State.main or State.forked or not State.in_cell:
        raise EOFError("this request brings no stdin: input() cannot be answered")
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


# ---- rich results

MIMES = (("_repr_html_", "text/html"), ("_repr_markdown_", "text/markdown"), ("_repr_svg_", "image/svg+xml"),
         ("_repr_png_", "image/png"), ("_repr_jpeg_", "image/jpeg"), ("_repr_latex_", "text/latex"),
         ("_repr_json_", "application/json"), ("_repr_javascript_", "application/javascript"),
         ("_repr_pdf_", "application/pdf"))


def plain(value):
    text = repr(value)
    if len(text) > 79 and type(value) in (dict, list, tuple, set, frozenset):
        import pprint
        text = pprint.pformat(value, width=79, sort_dicts=False)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "... (%d characters)" % len(text)


def carried(data):
    if isinstance(data, (bytes, bytearray)):
        import base64
        return base64.b64encode(data).decode("ascii")
    return data


def bundle(value, include=None):
    data, metadata = {}, {}

    def call(name, *args, **kwargs):
        if isinstance(value, type):
            return None
        # Objects that answer every name (mocks, proxies) answer this one too.
        if getattr(value, "_execd_no_such_repr_", None) is not None:
            return None
        method = getattr(value, name, None)
        if not callable(method):
            return None
        try:
            return method(*args, **kwargs)
        except NotImplementedError:
            return None
        except Exception:
            sys.stderr.write(traceback.format_exc())
            return None

    made = call("_repr_mimebundle_", include=None, exclude=None)
    if isinstance(made, tuple) and len(made) == 2:
        made, metadata = made[0], dict(made[1] or {})
    if isinstance(made, dict):
        data.update(made)
    for name, mime in MIMES:
        if mime in data:
            continue
        made = call(name)
        if isinstance(made, tuple) and len(made) == 2:
            made, metadata[mime] = made
        if made is not None:
            data[mime] = made
    figure = sys.modules.get("matplotlib.figure")
    if figure is not None and isinstance(value, figure.Figure) and "image/png" not in data:
        data["image/png"] = png_of(value)
    if "text/plain" not in data:
        try:
            data["text/plain"] = plain(value)
        except Exception:
            data["text/plain"] = "<%s whose repr() failed: %s>" % (type(value).__name__, sys.exc_info()[1])
    if include:
        data = {mime: each for mime, each in data.items() if mime in include}
    return {mime: carried(each) for mime, each in data.items()}, metadata


class Handle:
    def __init__(self, display_id):
        self.display_id = display_id

    def display(self, value, **kwargs):
        display(value, display_id=self.display_id, **kwargs)

    def update(self, value, **kwargs):
        display(value, display_id=self.display_id, update=True, **kwargs)


def display(*values, include=None, metadata=None, raw=False, display_id=None, update=False, transient=None, clear=False):
    if clear:
        clear_output(wait=True)
    if display_id is True:
        display_id = os.urandom(16).hex()
    transient = dict(transient or {})
    if display_id is not None:
        transient["display_id"] = display_id
    for value in values:
        data, meta = (value, {}) if raw else bundle(value, include)
        meta.update(metadata or {})
        event(t="update" if update else "display", data=data, metadata=meta, transient=transient)
    return Handle(display_id) if display_id is not None and not update else None


def clear_output(wait=False):
    event(t="clear", wait=bool(wait))


# ---- matplotlib


def png_of(figure):
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight")
    return out.getvalue()


def show_figures(*_, **__):
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        return
    try:
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            data = {"image/png": carried(png_of(figure)), "text/plain": repr(figure)}
            event(t="display", data=data, metadata={}, transient={})
    finally:
        pyplot.close("all")


class Backend:
    """Finds and fills the module that MPLBACKEND names. pyplot copies a backend's attributes, so they must be there."""

    NAME = "execd_inline"

    @classmethod
    def find_spec(cls, name, _path=None, _target=None):
        if name != cls.NAME:
            return None
        from importlib.machinery import ModuleSpec
        return ModuleSpec(name, cls)

    @staticmethod
    def create_module(_spec):
        return None

    @staticmethod
    def exec_module(module):
        from matplotlib.backend_bases import FigureManagerBase
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        module.FigureCanvas, module.FigureManager, module.show = FigureCanvasAgg, FigureManagerBase, show_figures

    @classmethod
    def install(cls):
        sys.meta_path.append(cls)
        if os.environ.get("MPLBACKEND", "") in ("", "module://matplotlib_inline.backend_inline"):
            os.environ["MPLBACKEND"] = "module://" + cls.NAME


# ---- magics


class UsageError(Exception):
    pass


def filled(command):
    """{expression} and $name of the namespace, as far as they are known."""
    import re

    def braces(match):
        try:
            return str(eval(match.group(1), NS))
        except Exception:
            return match.group(0)

    def name(match):
        return str(NS[match.group(1)]) if match.group(1) in NS else match.group(0)

    return re.sub(r"\$(\w+)", name, re.sub(r"(?<!\$)\{([^{}]+)\}", braces, command))


def run_shell(command):
    import subprocess
    before_fork()
    done = subprocess.run(filled(command), shell=True)
    NS["_exit_code"] = done.returncode


def shell_lines(command):
    import subprocess
    before_fork()
    done = subprocess.run(filled(command), shell=True, stdout=subprocess.PIPE)
    NS["_exit_code"] = done.returncode
    return done.stdout.decode("utf-8", "replace").splitlines()


def magic_cd(line):
    target = line.strip().strip("'\"")
    if target == "-":
        target = NS.get("_dh", [os.getcwd()])[-1]
    here = os.getcwd()
    os.chdir(os.path.expandvars(os.path.expanduser(target or "~")))
    NS.setdefault("_dh", []).append(here)
    print(os.getcwd())


def magic_time(line):
    import time
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        return run_source(line, "<time>")
    finally:
        print("CPU times: %.3g s\nWall time: %.3g s" % (time.process_time() - cpu, time.perf_counter() - wall))


def magic_timeit(line):
    import timeit
    timer = timeit.Timer(line, globals=NS)
    number, _ = timer.autorange()
    best = min(timer.repeat(3, number)) / number
    print("%.3g us per loop (best of 3, %d loops each)" % (best * 1e6, number))


def magic_pip(line):
    import importlib
    import shlex
    import subprocess
    before_fork()
    done = subprocess.run([sys.executable, "-m", "pip"] + shlex.split(filled(line)))
    importlib.invalidate_caches()
    if done.returncode:
        raise UsageError("pip ended with exit status %d" % done.returncode)


def magic_env(line):
    name, equals, value = line.partition("=")
    if not line.strip():
        return dict(os.environ)
    if not equals:
        name, _, value = line.strip().partition(" ")
        if not value:
            return os.environ[name]
    os.environ[name.strip()] = filled(value.strip())
    return None


def magic_who(_line):
    print("  ".join(sorted(n for n in NS if not n.startswith("_"))))


def magic_matplotlib(_line):
    pass


def magic_run(line):
    import runpy
    import shlex
    words = shlex.split(line)
    argv, sys.argv = sys.argv, words
    try:
        NS.update({k: v for k, v in runpy.run_path(words[0], run_name="__main__").items() if not k.startswith("__")})
    finally:
        sys.argv = argv


MAGICS = {"cd": magic_cd, "time": magic_time, "timeit": magic_timeit, "pip": magic_pip, "env": magic_env,
          "set_env": magic_env, "who": magic_who, "matplotlib": magic_matplotlib, "run": magic_run,
          "pwd": lambda _line: os.getcwd(), "ls": lambda line: run_shell("ls " + line)}


def run_magic(name, line):
    if name not in MAGICS:
        raise UsageError("Line magic function `%%%s` not found; there are: %s" % (name, ", ".join(sorted(MAGICS))))
    return MAGICS[name](filled(line) if name in ("cd", "run") else line)


def cell_writefile(line, body):
    name = line.replace("-a ", "").strip()
    with open(os.path.expanduser(name), "a" if line.strip().startswith("-a ") else "w") as file:
        file.write(body)
    print("Writing " + name)


def cell_shell(program):
    def run(_line, body):
        import subprocess
        before_fork()
        status = subprocess.run([program], input=body.encode()).returncode
        if status:
            raise UsageError("%s ended with exit status %d" % (program, status))
    return run


CELL_MAGICS = {"time": lambda line, body: magic_time(line + "\n" + body), "bash": cell_shell("bash"),
               "sh": cell_shell("sh"), "writefile": cell_writefile, "file": cell_writefile}


def run_cell_magic(name, line, body):
    if name not in CELL_MAGICS:
        raise UsageError("Cell magic `%%%%%s` not found; there are: %s" % (name, ", ".join(sorted(CELL_MAGICS))))
    return CELL_MAGICS[name](line, body)


def show_help(name):
    data = inspect_name(name, 0)
    print(data["text/plain"] if data else "Object `%s` not found." % name)


def translated(source):
    """Lines that are magics become calls; lines inside of strings stay."""
    import re
    out, quote, depth = [], "", 0
    for line in source.split("\n"):
        if not quote and depth <= 0:
            match = re.match(r"(\s*)(?:([A-Za-z_][\w.]*)\s*=\s*)?([%!])(?!%)\s*(.*)$", line)
            if match and (match.group(3) == "!" or re.match(r"[A-Za-z_]", match.group(4))):
                indent, target, kind, rest = match.groups()
                if kind == "!":
                    call = ("__execd_lines(%r)" if target else "__execd_shell(%r)") % rest
                else:
                    name, _, argument = rest.partition(" ")
                    call = "__execd_magic(%r, %r)" % (name, argument)
                out.append(indent + (target + " = " if target else "") + call)
                continue
            match = re.match(r"(\s*)(?:\?{1,2}([\w.]+)|([\w.]+)\?{1,2})\s*$", line)
            if match:
                out.append("%s__execd_help(%r)" % (match.group(1), match.group(2) or match.group(3)))
                continue
        out.append(line)
        quote, depth = scan(line, quote, depth)
    return "\n".join(out)


def scan(line, quote, depth):
    """Follows triple-quoted strings and brackets over one line."""
    at = 0
    while at < len(line):
        if quote:
            end = line.find(quote, at)
            if end < 0:
                return quote, depth
            at, quote = end + 3, ""
            continue
        char = line[at]
        if char == "#":
            break
        if char in "'\"":
            if line[at:at + 3] == char * 3:
                quote = char * 3
                at += 3
                continue
            at += 1
            while at < len(line) and line[at] != char:
                at += 2 if line[at] == "\\" else 1
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        at += 1
    return quote, depth


# ---- cells


def finish(code):
    State.futures |= code.co_flags & 0x1FF0000  # __future__ imports last
    value = eval(code, NS)
    return run_coroutine(value) if code.co_flags & COROUTINE else value


def run_coroutine(coroutine):
    import asyncio
    if State.loop is None or State.loop.is_closed():
        State.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(State.loop)
    task = State.loop.create_task(coroutine)
    try:
        return State.loop.run_until_complete(task)
    except BaseException:
        if not task.done():  # an interrupt while it waited
            task.cancel()
            try:
                State.loop.run_until_complete(task)
            except BaseException:
                pass
        raise


def parse(source, filename):
    flags = ast.PyCF_ONLY_AST | AWAIT | State.futures
    try:
        return compile(source, filename, "exec", flags, True)
    except SyntaxError:
        changed = translated(source)
        if changed == source:
            raise
        return compile(changed, filename, "exec", flags, True)


def run_source(source, filename):
    """The value of the last expression, or None."""
    tree = parse(source, filename)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not quiet(source):
        last = tree.body.pop()
    flags = AWAIT | State.futures
    if tree.body:
        finish(compile(tree, filename, "exec", flags, True))
    if last is None:
        return None
    return finish(compile(ast.Expression(last.value), filename, "eval", AWAIT | State.futures, True))


def quiet(source):
    """Ends with a semicolon, as far as can be told without tokens."""
    line = source.rstrip().rsplit("\n", 1)[-1]
    if "#" in line and "'" not in line and '"' not in line:
        line = line.split("#", 1)[0].rstrip()
    return line.endswith(";")


def run_cell(source, count):
    filename = "<cell %d>" % count
    lines = source.splitlines(True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    if source.startswith("%%"):
        head, _, body = source.partition("\n")
        name, _, line = head[2:].partition(" ")
        return run_cell_magic(name, line, body)
    return run_source(source, filename)


def show_result(value, count):
    if value is None:
        return
    for name, older in (("___", "__"), ("__", "_")):
        if older in NS:
            NS[name] = NS[older]
    NS["_"] = NS["_%d" % count] = value
    data, metadata = bundle(value)
    event(t="result", count=count, data=data, metadata=metadata)


def failure(kind, error, tb):
    """ename, evalue and traceback, without the worker's own frames."""
    def ours(frame):
        return frame.tb_frame.f_globals is WORKER
    first = tb
    while first is not None and not first.tb_frame.f_code.co_filename.startswith("<cell"):
        first = first.tb_next
    if first is None:
        first = tb
        while first is not None and ours(first):
            first = first.tb_next
    try:
        shown = traceback.TracebackException(kind, error, first)
        shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if f.filename != "<execd>"])
        lines = list(shown.format())
        text = "".join(lines).rstrip("\n").split("\n")
    except Exception:
        text = ["%s (its traceback cannot be shown)" % kind.__name__]
    try:
        value = str(error)
    except Exception:
        value = "<the error's text failed>"
    return {"status": "error", "ename": kind.__name__, "evalue": value, "traceback": text[-500:]}


def user_expressions(wanted):
    out = {}
    for name, expression in (wanted or {}).items():
        try:
            data, metadata = bundle(eval(expression, NS))
            out[name] = {"status": "ok", "data": data, "metadata": metadata}
        except Exception:
            out[name] = failure(*sys.exc_info())
    return out


def patch_getpass():
    module = sys.modules.get("getpass")
    if module is not None:
        module.getpass = module.unix_getpass = getpass


def execute(request):
    count = request["count"]
    State.count, State.allow_stdin = count, request["allow_stdin"]
    reply = {"status": "ok"}
    State.pending = False
    patch_getpass()
    try:
        State.in_cell = True
        event(t="begin")
        value = run_cell(request["code"], count)
        if not request["silent"]:
            show_result(value, count)
        show_figures()
        reply["user_expressions"] = user_expressions(request.get("user_expressions"))
    except BaseException:
        State.in_cell = False
        reply = failure(*sys.exc_info())
    finally:
        State.in_cell = False
    if State.forked:  # a child that os.fork() made has come to the end of the cell
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        os._exit(0)
    return reply


# ---- questions


def attribute_names(value):
    try:
        names = set(dir(value))
    except Exception:
        names = set()
    return [n for n in names if isinstance(n, str)]


def lookup(dotted):
    """The object behind names and dots; descriptors of instances are not run but for what getattr must."""
    first, *rest = dotted.split(".")
    value = NS[first] if first in NS else getattr(builtins, first)
    for name in rest:
        value = getattr(value, name)
    return value


def complete(request):
    import keyword
    import re
    code, cursor = request["code"], request["cursor"]
    before = code[:cursor]
    line = before.rsplit("\n", 1)[-1]
    word = re.search(r"[\w.]*$", line).group(0)
    match = re.match(r"\s*(?:from|import)\s+([\w.]*)$", line)
    percent = re.match(r"\s*%{1,2}(\w*)$", line)
    path = re.search(r"""['"]([^'"]*)$""", line)
    if percent:
        word = percent.group(1)
        names = MAGICS
    elif match:
        import pkgutil
        parent, _, word = match.group(1).rpartition(".")
        try:
            where = sys.modules[parent].__path__ if parent else None
            names = {m.name for m in pkgutil.iter_modules(where)} | (set() if parent else set(sys.builtin_module_names))
        except Exception:
            names = ()
    elif path and "." not in word[:1] and "/" in path.group(1):
        import glob
        word = path.group(1)
        names = [f + "/" if os.path.isdir(f) else f for f in glob.glob(glob.escape(word) + "*")]
    elif "." in word:
        head, _, word = word.rpartition(".")
        try:
            names = attribute_names(lookup(head))
        except Exception:
            names = ()
    else:
        names = set(NS) | set(dir(builtins)) | set(keyword.kwlist)
    hidden = not word.startswith("_")
    found = sorted(n for n in names if n.startswith(word) and not (hidden and n.startswith("_")))
    return {"status": "ok", "matches": found[:2000], "cursor_start": cursor - len(word), "cursor_end": cursor}


def inspect_name(name, detail):
    import inspect
    try:
        value = lookup(name)
    except Exception:
        return None
    parts = []
    try:
        if callable(value):
            parts.append("Signature: %s%s" % (name.rsplit(".", 1)[-1], inspect.signature(value)))
    except (ValueError, TypeError):
        pass
    parts.append("Type:      %s" % type(value).__name__)
    if not callable(value) and not isinstance(value, types.ModuleType):
        try:
            parts.append("Value:     %s" % plain(value)[:1000])
        except Exception:
            pass
    doc = inspect.getdoc(value)
    if doc:
        parts.append("Docstring:\n" + doc)
    if detail:
        try:
            parts.append("Source:\n" + inspect.getsource(value))
        except (OSError, TypeError):
            pass
    return {"text/plain": "\n".join(parts)}


def inspect_request(request):
    import re
    code, cursor = request["code"], request["cursor"]
    head = re.search(r"[\w.]*$", code[:cursor]).group(0)
    tail = re.match(r"\w*", code[cursor:]).group(0)
    name = head + tail
    if not name and code[:cursor].endswith("("):
        name = re.search(r"[\w.]*$", code[:cursor - 1]).group(0)
    data = inspect_name(name.strip("."), request.get("detail", 0)) if name else None
    return {"status": "ok", "found": data is not None, "data": data or {}}


def is_complete(request):
    import codeop
    import warnings
    source = request["code"]
    if source.startswith("%%"):
        return {"status": "complete" if source.endswith("\n") else "incomplete", "indent": ""}
    lines = source.split("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler = codeop.Compile()
        compiler.flags |= AWAIT
        for text in (source, translated(source)):
            try:
                done = codeop._maybe_compile(compiler, text, "<input>", "exec")
            except (SyntaxError, OverflowError, ValueError):
                continue
            if done is None or (len(lines) > 1 and lines[-1].strip() and lines[-1][:1].isspace()):
                last = [each for each in lines if each.strip()][-1:]
                indent = last[0][:len(last[0]) - len(last[0].lstrip())] if last else ""
                if last and last[0].rstrip().endswith(":"):
                    indent += "    "
                return {"status": "incomplete", "indent": indent}
            return {"status": "complete"}
    return {"status": "invalid"}


# ---- the loop

ANSWERS = {"execute": execute, "complete": complete, "inspect": inspect_request, "is_complete": is_complete}


def wait_for_request():
    """Tasks that cells left behind go on while nothing is asked."""
    loop = State.loop
    if loop is None or loop.is_closed():
        return
    import asyncio
    if not asyncio.all_tasks(loop):
        return
    come = loop.create_future()
    loop.add_reader(3, lambda: come.done() or come.set_result(None))
    try:
        loop.run_until_complete(come)
    finally:
        loop.remove_reader(3)


def serve():
    while True:
        try:
            wait_for_request()
        except BaseException:
            traceback.print_exc()
        kind, body = read_frame()
        if kind != b"j":
            continue
        request = json.loads(body)
        answer = ANSWERS.get(request.get("t"))
        if answer is None:
            continue
        try:
            reply = answer(request)
        except BaseException:
            State.in_cell = False
            reply = failure(*sys.exc_info())
        event(t="done", **reply)


def main():
    for fd in (3, 4):
        os.set_inheritable(fd, False)
    signal.signal(signal.SIGINT, on_sigint)
    os.register_at_fork(before=before_fork, after_in_child=after_fork)
    sys.addaudithook(on_audit)
    Backend.install()
    sys.modules["__main__"] = MAIN
    sys.stdin, sys.stdout, sys.stderr = Input(), OUT, ERR
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, OUT, ERR
    sys.argv = [""]
    NS.update(__execd_magic=run_magic, __execd_shell=run_shell, __execd_lines=shell_lines, __execd_help=show_help)
    builtins.display, builtins.clear_output, builtins.input = display, clear_output, lambda prompt="": ask(prompt, False)
    serve()


main()
