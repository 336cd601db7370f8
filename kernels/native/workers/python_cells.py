# Third part of the Python worker (python.py): cells, questions, the loop.


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
        compiler = codeop.CommandCompiler()
        compiler.compiler.flags |= AWAIT
        for text in (source, translated(source)):
            try:
                done = compiler(text, "<input>", "exec")
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
        try:
            event(t="done", **reply)
        except Exception:  # the value of an expression is nothing that JSON can say
            event(t="done", **failure(*sys.exc_info()))


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
