"""Event streams of the OpenSandbox dialect: bare JSON objects, each ended by exactly LF LF (contract section 2)."""

import json
import re

KEY_ORDER = ["type", "text", "execution_count", "execution_time", "timestamp", "results", "error"]
KINDS = {"init", "ping", "status", "stdout", "stderr", "execution_count", "result", "error", "execution_complete"}
TERMINAL = ("error", "execution_complete")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
SEPARATORS = ["\r", "\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


def check(frame):
    """One frame without its LF LF: compact, ASCII line separators only as escapes, keys in the contract's order."""
    assert frame.startswith(b'{"type":"'), frame[:200]
    assert not re.search(rb"\s", STRING.sub(b"", frame)), f"not compact: {frame[:200]!r}"
    text = frame.decode("utf-8")
    for separator in SEPARATORS:
        assert separator not in text, f"raw {separator!r} in {frame[:200]!r}"
    event = json.loads(text)
    order = [KEY_ORDER.index(key) for key in event]
    assert order == sorted(order), f"key order {list(event)}"
    assert event["type"] in KINDS, event
    assert isinstance(event["timestamp"], int) and event["timestamp"] > 1_600_000_000_000, event
    if event["type"] in ("init", "ping", "stdout", "stderr", "status"):
        assert event["text"], f"empty text: {event}"
    if event["type"] == "execution_complete":
        assert isinstance(event.get("execution_time", 0), int), event
    if event["type"] == "error":
        assert list(event["error"]) == ["ename", "evalue", "traceback"], event
        assert isinstance(event["error"]["evalue"], str), event
    return event


def split(body):
    """All events of a finished stream, each checked."""
    assert body.endswith(b"\n\n"), f"stream does not end in LF LF: {body[-200:]!r}"
    return [check(frame) for frame in body[:-2].split(b"\n\n")]


def kinds(events, without=("ping",)):
    """The types in order; neighbours of one type count once (a kernel may send one print in two pieces)."""
    found = [e["type"] for e in events if e["type"] not in without]
    return [kind for i, kind in enumerate(found) if i == 0 or kind != found[i - 1]]


def joined(events, kind="stdout"):
    return "".join(e["text"] for e in events if e["type"] == kind)


def texts(events, kind="stdout"):
    return [e["text"] for e in events if e["type"] == kind]


def terminal(events):
    """The last event, which must be terminal and the only one of its kind."""
    ends = [e for e in events if e["type"] in TERMINAL]
    assert len(ends) == 1, f"{len(ends)} terminal events: {ends}"
    assert events[-1] is ends[0], f"events after the end: {events[events.index(ends[0]):]}"
    return ends[0]


def exit_of(events):
    """0, the number in evalue, or the evalue text where it is no number."""
    end = terminal(events)
    if end["type"] == "execution_complete":
        return 0
    value = end["error"]["evalue"]
    return int(value) if re.fullmatch(r"-?\d+", value) else value


class Stream:
    """An event stream read frame by frame while it runs."""

    def __init__(self, wire, answer):
        self.wire = wire
        self.answer = answer
        self.buffer = b""
        self.events = []
        self.ended = False

    def next(self):
        """The next event, or None at the end of the body."""
        while b"\n\n" not in self.buffer and not self.ended:
            data = self.wire.chunk()
            self.ended = not data
            self.buffer += data
        if not self.buffer:
            return None
        frame, self.buffer = self.buffer.split(b"\n\n", 1)
        self.events.append(check(frame))
        return self.events[-1]

    def until(self, kind, text=None):
        """Reads on to the first event of this kind (whose text contains `text`)."""
        while event := self.next():
            if event["type"] == kind and (text is None or text in event["text"]):
                return event
        raise AssertionError(f"stream ended without {kind} {text or ''}: {self.events}")

    def rest(self):
        while self.next():
            pass
        return self.events
