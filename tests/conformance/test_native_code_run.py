"""The tests of runs of /code (test_code_run.py) once more, on native kernels: the image has no Jupyter (issue J)."""

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_code_run import *  # noqa: F401,F403
