"""The tests of kernels that die, queue and flood (test_kernels_hard.py) once more, on native kernels (issue J)."""

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_kernels_hard import *  # noqa: F401,F403

# The daemon's own rule, whatever the kernel is, and slow; the kernels' part of a flood: test_native_faults.py.
del test_a_flood_of_prints_is_bounded_and_the_kernel_lives  # noqa: F821
