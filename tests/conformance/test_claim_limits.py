"""A claim's limits over the wire: they bite where execd does not say that they are not enforced here; and what making,
pausing and resuming a claim costs."""

import json
import time

import pytest

from harness.daemon import PYTHON, Daemon
from harness.processes import eventually, marked

LIMITS = {"cpu": "1", "memory": "64Mi", "pids": "16"}
# Children that print nothing and wait for the end of their claim, until no more may be made; then how many there are.
FORKS = """
import os, signal
made, refused = 0, 0
while made < 40 and not refused:
    try:
        child = os.fork()
    except OSError as error:
        refused = error.errno
        break
    if child == 0:
        for fd in (1, 2):
            os.close(fd)
        signal.pause()
    made += 1
print(made, refused)
"""


@pytest.fixture(scope="module")
def without_groups():
    """Where no group may be made: as on a machine that forbids it."""
    one = Daemon(args=["--cgroups", "off"], python=False).listening()
    yield one
    one.stop()


def create(daemon, **body):
    answer = daemon.call("POST", "/v1/sandboxes", json={"image": {"uri": "any"}, **body})
    assert answer.status == 202, answer
    return answer.json()


def printed(daemon, claim, command):
    answer = daemon.call("POST", "/command", json={"command": command}, headers=[("X-EXECD-CLAIM", claim)])
    assert answer.status == 200, answer
    events = [json.loads(text) for text in answer.text.split("\n\n") if text.strip()]
    return "".join(event["text"] for event in events if event["type"] == "stdout").split()


@pytest.mark.parametrize("groups", ["auto", "off"])
def test_limits_bite_or_are_said_not_to(daemon, without_groups, groups, tmp_path):
    daemon = without_groups if groups == "off" else daemon
    made = create(daemon, resourceLimits=LIMITS)
    claim = made["id"]
    said = daemon.call("GET", f"/v1/sandboxes/{claim}").json()["status"].get("message") or ""
    assert made["status"].get("message", "") == said
    loose = set(said.removeprefix("not enforced here:").split())
    assert loose == set(LIMITS) if groups == "off" else loose <= set(LIMITS)

    # tail keeps a line without an end in memory, all of it.
    size = 200_000_000
    through = printed(daemon, claim, f"head -c {size} /dev/zero | tail -n 1 | wc -c")
    assert through == [str(size) if "memory" in loose else "0"]

    forks = tmp_path / "forks.py"
    forks.write_text(FORKS)
    children, refused = map(int, printed(daemon, claim, f"{PYTHON} -S {forks}"))
    if "pids" in loose:
        assert (children, refused) == (40, 0)
    else:
        assert 5 < children < 16 and refused == 11  # EAGAIN
        assert daemon.call("GET", "/ping").status == 200
    assert daemon.call("DELETE", f"/v1/sandboxes/{claim}").status == 204


def test_limits_bind_code_too(daemon):
    made = create(daemon, resourceLimits={"memory": "192Mi"})
    code = "b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('had it')"
    seen = {}
    for name, text in (("large", code), ("after", "print(6 * 7)")):
        answer = daemon.call("POST", "/code", json={"code": text, "context": {"language": "python"}},
                             headers=[("X-EXECD-CLAIM", made["id"])])
        seen[name] = [json.loads(one) for one in answer.text.split("\n\n") if one.strip()]
    died = [one["error"]["ename"] for one in seen["large"] if one["type"] == "error"]
    loose = "memory" in (made["status"].get("message") or "")
    assert died == ([] if loose else ["KernelDied"]), seen["large"]
    assert [one["text"].strip() for one in seen["after"] if one["type"] == "stdout"] == ["42"], seen["after"]
    assert daemon.call("DELETE", f"/v1/sandboxes/{made['id']}").status == 204


def milliseconds(work):
    began = time.monotonic()
    work()
    return 1000 * (time.monotonic() - began)


@pytest.mark.alone
def test_create_pause_and_resume_are_quick(daemon, figure):
    """At most 10 ms to make one; at most 50 ms to pause, and to resume, one with 100 processes."""
    ids = []
    creates = sorted(milliseconds(lambda: ids.append(create(daemon, resourceLimits=LIMITS)["id"])) for _ in range(21))
    for one in ids:
        assert daemon.call("DELETE", f"/v1/sandboxes/{one}").status == 204
    claim = create(daemon)["id"]
    daemon.call("POST", "/command", headers=[("X-EXECD-CLAIM", claim)],
                json={"command": "for i in $(seq 100); do sleep 1000 & done; wait", "background": True})

    def state(action):
        assert daemon.call("POST", f"/v1/sandboxes/{claim}/{action}").status == 202

    eventually(lambda: len(marked("EXECD_OWNER", claim)) > 100, what="a hundred processes")
    pauses, resumes = [], []
    for _ in range(11):
        pauses.append(milliseconds(lambda: state("pause")))
        resumes.append(milliseconds(lambda: state("resume")))
    daemon.call("DELETE", f"/v1/sandboxes/{claim}")
    create_ms, pause_ms, resume_ms = creates[10], sorted(pauses)[5], sorted(resumes)[5]
    figure(f"claims: create {create_ms:.1f} ms (longest {creates[-1]:.1f}), with 100 processes pause {pause_ms:.1f} ms "
           f"(longest {max(pauses):.1f}), resume {resume_ms:.1f} ms (longest {max(resumes):.1f}): medians")
    assert create_ms <= 10 and pause_ms <= 50 and resume_ms <= 50
