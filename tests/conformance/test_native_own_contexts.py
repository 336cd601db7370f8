"""The tests of /execd/v1/contexts and /execd/v1/runs (test_own_contexts.py) once more, on native kernels: the image has no Jupyter (issue J)."""

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_own_contexts import *  # noqa: F401,F403

# What is another thing in a native kernel:
del test_comms_go_both_ways  # noqa: F821  no comms
del test_errors_expressions_and_payloads_are_in_the_outcome  # noqa: F821  `?name` is printed: most clients show no pager
# An interpreter that ends is an error of its cell, and a new one takes its place: test_native_faults.py.
del test_the_cause_of_a_death_is_named, test_a_kernel_without_memory_says_so  # noqa: F821
del test_what_was_flushed_before_the_death_is_there  # noqa: F821
del test_unreadable_output_is_declared  # noqa: F821  what is too deep to be sent is its text there
# The daemon's own rules, whatever the kernel is, and slow.
del test_a_flood_is_declared_as_a_gap, test_idle_contexts_are_culled, test_the_limit_of_contexts_is_clear  # noqa: F821
