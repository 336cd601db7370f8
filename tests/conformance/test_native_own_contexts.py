"""The tests of /execd/v1/contexts and /execd/v1/runs (test_own_contexts.py) once more, on native kernels: the image has no Jupyter (issue J)."""

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_own_contexts import *  # noqa: F401,F403
from test_own_contexts import finished, text

# What is another thing in a native kernel:
del test_comms_go_both_ways  # noqa: F821  no comms
del test_errors_expressions_and_payloads_are_in_the_outcome  # noqa: F821  its payload: `?name` is printed, most clients show no pager
# An interpreter that ends is an error of its cell, and a new one takes its place: test_native_faults.py.
del test_the_cause_of_a_death_is_named, test_a_kernel_without_memory_says_so  # noqa: F821
del test_what_was_flushed_before_the_death_is_there  # noqa: F821
# The daemon's own rules, whatever the kernel is, and slow.
del test_a_flood_is_declared_as_a_gap, test_idle_contexts_are_culled, test_the_limit_of_contexts_is_clear  # noqa: F821


def test_errors_and_expressions_are_in_the_outcome(daemon, context):  # noqa: F811
    run = finished(daemon, context, "1/0")
    assert run["outcome"]["kind"] == "error"
    assert run["outcome"]["error"]["name"] == "ZeroDivisionError" and run["outcome"]["error"]["traceback"]
    run = finished(daemon, context, "x = 20", user_expressions={"twice": "x * 2"})
    assert run["outcome"]["user_expressions"]["twice"]["data"]["text/plain"] == "40"
    assert "Docstring" in text(daemon, finished(daemon, context, "?print"))


def test_unreadable_output_is_declared(daemon, context):  # noqa: F811  by the kernel itself: no gap, a line on stderr
    run = finished(daemon, context, "x = 1\nfor _ in range(300): x = [x]\ndisplay({'application/json': x}, raw=True)")
    assert run["outcome"]["kind"] == "ok" and "bytes could not be read]" in text(daemon, run)
