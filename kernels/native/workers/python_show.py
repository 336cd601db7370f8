# Second part of the Python worker (python.py): results, displays, matplotlib, magics.


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
