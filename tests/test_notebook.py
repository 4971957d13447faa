"""The quickstart notebook's code cells run from top to bottom, by exec: Jupyter is not needed for that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorials" / "quickstart.ipynb"
BEFORE_TRAINING = "config.seed = 0\n"
SHRINK = "config.train.update(epochs=1, steps_per_epoch=2)\nconfig.generations = 1\n"


def cells(kind):
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_clean():
    """Outputs would go stale, and counters change with every click."""
    assert cells("markdown")
    for cell in cells("code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        compile("".join(cell["source"]), cell["id"], "exec")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, quick_environment):
    code = "\n".join("".join(cell["source"]) for cell in cells("code"))
    # How long a run learns is tested elsewhere.
    assert code.count(BEFORE_TRAINING) == 1
    code = code.replace(BEFORE_TRAINING, BEFORE_TRAINING + SHRINK)
    # The folder is the notebook's own, and imjax is found as an installed one would be.
    environment = dict(quick_environment, MPLBACKEND="agg")
    environment["PYTHONPATH"] += os.pathsep + str(ROOT)
    environment |= {name: os.environ[name] for name in ("JAX_PLATFORMS",) if name in os.environ}
    # exec of one namespace, as a kernel runs cells; the text has no main guard on purpose.
    line = [sys.executable, "-c", f"exec({code!r}, {{'__name__': '__main__'}})"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "confidence 0." in done.stdout and "aim_pp" in done.stdout
    run = tmp_path / "runs" / "quickstart"
    assert (run / "report.html").is_file() and (run / "net.stablehlo").stat().st_size > 10_000
