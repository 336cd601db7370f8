# The zygote of Python kernels: imports ipykernel once, then forks a kernel per request (made for ipykernel 6.17 to 7.x;
# where a detail fails the daemon starts kernels cold). Runs as `python -c BOOT`; fd 3 is a SOCK_SEQPACKET pair, one JSON
# value per packet, descriptors by SCM_RIGHTS.
#
#   daemon: {"id", "connection_file", "cwd", "env"} + fds [stdout, stderr, control of this kernel]
#   zygote: {"id", "pid"} | {"id", "errno", "what"}
#   on the kernel's control socket, kernel: {"ev": "hello"}, then it waits
#                                   daemon: {"op": "go"}      its pid is registered with the daemon's reaper by now
#                                   daemon: {"op": "contained"}  it is in its own cgroup: children and users' code may come
#                                   kernel: {"ev": "bound"} | {"ev": "failed", "errno", "what"}
#                                   daemon: {"op": "adopt", "cwd", "env"}  at most once, while idle; or just closes
#                                   kernel: {"ev": "adopted"} | {"ev": "failed", ...}
#
# Up to the fork there is one thread, no event loop, no ZeroMQ context: that is what makes the fork safe.
import array
import codecs
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import threading
import time

gc.disable()  # until the freeze: a collection would leave holes, and every hole costs a dirty page in each kernel

SOCKET_FD = 3
RUNTIME_DIR = os.getcwd()
MARKER = None
IMPORTED = {}  # environment variables that the imports set, as they do in a kernel of its own


def send(sock, value, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([json.dumps(value).encode()], rights)


def receive(sock):
    data, ancillary, _, _ = sock.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 4), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return (json.loads(data) if data else None), list(fds)


def find_marker():
    # Where the value of our EXECD_EXECUTION stands in the memory that /proc/<pid>/environ shows. A fork inherits it:
    # who looks for what the zygote started would find the kernels, so each writes its own id there.
    import ctypes

    name = b"EXECD_EXECUTION="
    wanted = name + os.environ.get("EXECD_EXECUTION", "").encode()
    block = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    for number in range(100_000):
        if not block[number]:
            return None
        if ctypes.string_at(block[number]) == wanted:
            return block[number] + len(name)


def take_marker(place, ident):
    import ctypes

    value = ident.encode()
    if place and len(ctypes.string_at(place)) == len(value):
        ctypes.memmove(place, value, len(value))


def take_place(cwd, env):
    if env is not None:
        os.environ.clear()
        os.environ.update({**IMPORTED, **env})
        time.tzset()
    if cwd:
        os.chdir(cwd)


def become_kernel_process(fds):
    # What a forked child must not share with the zygote and its sisters: session, descriptors, signals, randomness.
    os.setsid()
    out, err, control = fds
    null = os.open("/dev/null", os.O_RDONLY)
    for target, fd in enumerate((null, out, err, control)):
        os.dup2(fd, target, inheritable=target < 3)
    os.closerange(4, 1 << 30)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # random reseeds itself after a fork, numpy does not
    import faulthandler

    # ipykernel makes fd 2 a pipe that dies with its reader thread; a crash has to reach the log.
    faulthandler.enable(file=os.dup(2))
    gc.enable()
    return socket.socket(fileno=3)


def keep_interrupts(app):
    # Python prints and forgets what is raised in a callback (__del__, weakref, gc), a KeyboardInterrupt too. That one
    # is sent again to the cell that it was meant for, once the callback is over.
    forget = sys.unraisablehook
    main = threading.main_thread().ident

    def again(count):
        if app.shell.execution_count == count and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.pthread_kill(main, signal.SIGINT)

    def hook(unraisable):
        forget(unraisable)
        if unraisable.exc_type is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
            timer = threading.Timer(0.05, again, (app.shell.execution_count,))
            timer.daemon = True
            timer.start()

    sys.unraisablehook = hook


def make_app(request, control):
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    class ForkedKernelApp(IPKernelApp):
        def parse_command_line(self, argv=None):
            # Parsing costs 10 ms and there is nothing to parse. One sqlite history for all kernels locks.
            self.update_config(
                Config(
                    {
                        "IPKernelApp": {"connection_file": request["connection_file"]},
                        "HistoryManager": {"hist_file": ":memory:"},
                    }
                )
            )

        def init_code(self):
            if receive(control)[0] is None:
                os._exit(125)  # the daemon is gone
            # Late: a failing import lists the working directory, however many files it has.
            take_place(request.get("cwd"), None)
            super().init_code()

    app = ForkedKernelApp.instance()
    app.initialize([])
    return app


def wake_loop_on_signals(loop):
    # A SIGINT during a top-level await only queues the cancellation: without this it waits for the next message.
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    loop.add_handler(reader, lambda *_: reader.recv(4096), loop.READ)
    return reader, writer


CHUNK = 16384


def watch_output():
    # ipykernel reads what subprocesses write to fd 1 and 2 in threads of its own, and nothing waits for them: the last
    # lines came after the end of their cell. This reader says what it has in hand, and settle() waits for it.
    from ipykernel.iostream import OutStream

    if not all(hasattr(OutStream, name) for name in ("_watch_pipe_fd", "_setup_stream_redirects")):
        return None
    moved = threading.Condition()

    def read(self):
        if self._fid is None:
            return
        text = codecs.getincrementaldecoder("utf-8")("replace")
        waiting = select.poll()
        waiting.register(self._fid, select.POLLIN)
        try:
            while True:
                waiting.poll()
                self._execd_busy = True
                data = os.read(self._fid, CHUNK)
                if not data or not self._should_watch:
                    break
                self.write(text.decode(data))
                os.write(self._original_stdstream_copy, data)
                with moved:
                    self._execd_moved += len(data)
                    self._execd_busy = False
                    moved.notify_all()
        except Exception:
            self._exc = sys.exc_info()
        finally:
            with moved:
                self._execd_busy = False
                moved.notify_all()

    OutStream._watch_pipe_fd = read
    OutStream._execd_busy = False
    OutStream._execd_moved = 0
    return moved


def settle(streams, moved):
    for stream in streams:
        # In this order: what has left the pipe and is not in the stream yet makes the reader busy.
        waiting = struct.unpack("i", fcntl.ioctl(stream._fid, termios.FIONREAD, b"\0\0\0\0"))[0]
        if not waiting and not stream._execd_busy:
            continue
        # A process in the background that never stops writing must not hold the cell: what came later may wait.
        enough = stream._execd_moved + waiting + CHUNK
        limit = time.monotonic() + 2
        with moved:
            while stream._execd_moved < enough:
                waiting = struct.unpack("i", fcntl.ioctl(stream._fid, termios.FIONREAD, b"\0\0\0\0"))[0]
                left = limit - time.monotonic()
                if (not waiting and not stream._execd_busy) or left <= 0:
                    break
                moved.wait(left)


def fail_once(app):
    # The first traceback of a kernel, also an interrupt's, imports for some 60 ms: learned here, imported by the zygote.
    try:
        exec(compile("1 / 0", "<cell>", "exec"), {})
    except ZeroDivisionError:
        try:
            app.shell.InteractiveTB.structured_traceback(*sys.exc_info())
        except Exception:
            pass


def run_kernel(request, fds):
    before = set(sys.modules)
    control = become_kernel_process(fds)
    take_marker(MARKER, request.get("id", ""))
    send(control, {"ev": "hello"})
    if receive(control)[0] is None:
        os._exit(125)  # the daemon is gone
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG; the daemon is our parent by now
    try:
        take_place(None, request.get("env"))
        sys.argv = ["ipykernel_launcher.py", "-f", request["connection_file"]]
        moved = watch_output()
        app = make_app(request, control)
        keep_interrupts(app)
        streams = [each for each in (sys.stdout, sys.stderr) if getattr(each, "_fid", None) is not None]
        if moved is not None and streams:
            app.shell.events.register("post_execute", lambda: settle(streams, moved))
        # What ipykernel itself sets (MPLBACKEND, TERM, PAGER ...) has to outlive the final environment.
        given = request.get("env") or {}
        own = {name: value for name, value in os.environ.items() if given.get(name) != value}
    except BaseException as e:
        send(control, {"ev": "failed", "errno": getattr(e, "errno", None) or 0, "what": f"{type(e).__name__}: {e}"[:1000]})
        raise
    if request.get("rehearsal"):
        fail_once(app)
        send(control, {"ev": "modules", "names": sorted(set(sys.modules) - before)})
        os._exit(0)
    from tornado.ioloop import IOLoop

    loop = IOLoop.current()
    kept = wake_loop_on_signals(loop)

    def on_control(*_):
        message = receive(control)[0]
        if message is not None:
            try:
                final = message.get("env")
                for name, value in own.items():
                    if final is not None and final.get(name) == given.get(name):
                        final[name] = value
                take_place(message.get("cwd"), final)
                send(control, {"ev": "adopted"})
            except OSError as e:
                send(control, {"ev": "failed", "errno": e.errno, "what": str(e)})
                return
        loop.remove_handler(control.fileno())
        control.close()

    def on_started():
        loop.add_handler(control.fileno(), on_control, loop.READ)
        send(control, {"ev": "bound"})

    loop.add_callback(on_started)
    app.start()
    del kept


def fork_spare():
    # A kernel before it knows which one it is: forking takes 10 ms, and nobody waits for them here. Returns its pid and
    # the socket that brings its request; in the spare itself the pid is None.
    # Forked twice, so that it becomes the daemon's child (a subreaper), which alone learns how it ends.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            ours.close()
            os.close(reader)
            os.close(writer)
            return None, theirs
        os.write(writer, b"%d" % pid)
        os._exit(0)
    theirs.close()
    os.close(writer)
    answer = os.read(reader, 32)
    os.close(reader)
    os.waitpid(middle, 0)  # from here on the kernel has its new parent
    if not answer:
        ours.close()
        raise OSError(11, "the second fork failed")
    return int(answer), ours


def wake_spare(spare, request, fds):
    # True when there is one and it has the request.
    if spare is None:
        return False
    try:
        send(spare[1], request, fds)
        return True
    except OSError:  # somebody has ended it
        return False
    finally:
        spare[1].close()


def rehearse():
    # What a kernel imports late is learned from one that is thrown away: no list of module names to maintain.
    path = os.path.join(RUNTIME_DIR, "zygote-%d" % os.getpid())
    with open(path + ".json", "w") as f:
        ports = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
        json.dump({"transport": "ipc", "ip": path, "key": "k", "signature_scheme": "hmac-sha256", **ports}, f)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open("/dev/null", os.O_WRONLY)
    child = os.fork()
    if child == 0:
        try:
            # Above the numbers that become_kernel_process() overwrites.
            fds = [os.dup(null), os.dup(null), os.dup(theirs.fileno())]
            run_kernel({"connection_file": path + ".json", "rehearsal": True}, fds)
        finally:
            os._exit(1)
    theirs.close()
    os.close(null)
    ours.settimeout(20)
    names = []
    try:
        receive(ours)
        send(ours, {"op": "go"})
        send(ours, {"op": "contained"})
        names = (receive(ours)[0] or {}).get("names", [])
    except OSError:
        os.kill(child, signal.SIGKILL)
    ours.close()
    os.waitpid(child, 0)
    import importlib

    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            pass
    for name in os.listdir(RUNTIME_DIR):
        if name.startswith(os.path.basename(path)):
            os.unlink(os.path.join(RUNTIME_DIR, name))


def main(preload):
    if sys.path and sys.path[0] == "":
        del sys.path[0]  # ipykernel puts it back for the user's code
    global MARKER
    MARKER = find_marker()
    sock = socket.socket(fileno=SOCKET_FD)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    before = dict(os.environ)
    for name in ("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "zmq"):
        __import__(name)
    try:
        import ipykernel.debugger  # noqa: F401
    except ImportError:
        pass
    rehearse()
    failed = []
    for name in preload:
        try:
            __import__(name)
        except Exception as e:
            failed.append("%s: %s: %s" % (name, type(e).__name__, e))
    IMPORTED.update({name: value for name, value in os.environ.items() if before.get(name) != value})
    gc.freeze()
    send(sock, {"ev": "ready", "threads": len(os.listdir("/proc/self/task")), "failed": failed})
    spare = None
    while True:
        try:
            spare = spare or fork_spare()
            if spare[0] is None:
                break  # the spare: out of every frame of the zygote, so that none of its cleanup runs here
        except OSError:
            pass  # tried again when a kernel is wanted, and told then
        request, fds = receive(sock)
        if request is None:
            os._exit(0)  # the daemon is gone, and with us the spare
        try:
            pid = spare[0] if spare else None
            if not wake_spare(spare, request, fds):
                spare = fork_spare()
                if spare[0] is None:
                    break
                pid = spare[0]
                if not wake_spare(spare, request, fds):
                    raise OSError(11, "the kernel ended before it began")
            send(sock, {"id": request["id"], "pid": pid})
        except OSError as e:
            send(sock, {"id": request.get("id"), "errno": e.errno or 0, "what": str(e)})
        spare = None
        for fd in fds:
            os.close(fd)
    sock.detach()
    os.close(SOCKET_FD)
    request, fds = receive(spare[1])
    if request is None:
        os._exit(0)  # the zygote is gone
    # Off the end of the interpreter afterwards, not os._exit: the user's atexit handlers run.
    run_kernel(request, fds)


main([name for name in sys.argv[1:] if name])
