"""The path of the published packages' users (test_code_interpreter.py) once more, on native kernels (issue J)."""

from harness.native import daemon  # noqa: F401  the fixture of this module
from test_code_interpreter import *  # noqa: F401,F403

# Of the token, not of the kernel; their daemon has Jupyter's.
del test_connect_with_the_token_from_the_endpoint, test_without_the_token_the_sdk_says_why  # noqa: F821
