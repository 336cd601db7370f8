"""What the native Python kernel alone can do (docs/native-kernels.md, issue J)."""

import os

import pytest

from harness.native import Driver

FULL = os.environ.get("EXECD_KERNELS_VENV")  # of scripts/deps --full: it has matplotlib

# pyplot's rule since 3.6: a backend's attributes are copied, `__getattr__` of the module is not asked.
LIKE_MATPLOTLIB = """
import importlib, sys, types
def module(name, **values):
    made = sys.modules[name] = types.ModuleType(name)
    made.__dict__.update(values)
    return made
module("matplotlib"); module("matplotlib.backends")
module("matplotlib.backend_bases", FigureManagerBase=type("FigureManagerBase", (), {}))
module("matplotlib.backends.backend_agg", FigureCanvasAgg=type("FigureCanvasAgg", (), {}))
import os
there = vars(importlib.import_module(os.environ["MPLBACKEND"].split("//")[1]))
print(sorted(name for name in there if not name.startswith("__")))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    one = Driver("python3", tmp_path_factory.mktemp("k"))
    yield one
    one.stop()


def test_the_backend_has_its_attributes(python):
    reply, streams, _ = python.run(LIKE_MATPLOTLIB)
    assert reply["status"] == "ok", reply
    assert streams["stdout"] == "['FigureCanvas', 'FigureManager', 'show']\n"


@pytest.mark.skipif(not FULL, reason="matplotlib comes with scripts/deps --full")
def test_a_plot_is_a_picture(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    one = Driver("python3", tmp_path, {**env, "PATH": f"{FULL}/bin:{env['PATH']}"})
    try:
        for end in ("", "plt.show()", "plt.gcf()"):
            code = f"import matplotlib.pyplot as plt; plt.plot([1, 2]);\n{end}"
            reply, streams, others = one.run(code, seconds=120)
            assert reply["status"] == "ok" and streams["stderr"] == "", (end, reply, streams)
            pictures = [c["data"]["image/png"] for _, c in others if "image/png" in c.get("data", {})]
            assert pictures and all(text.startswith("iVBOR") for text in pictures), (end, others)
            assert one.run("len(plt.get_fignums())")[2][0][1]["data"]["text/plain"] == "0"
    finally:
        one.stop()
