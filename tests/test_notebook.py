"""The quickstart notebook's code cells run from top to bottom, by exec: Jupyter is not needed for that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imjax

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorials" / "quickstart.ipynb"


def cells(kind):
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_clean():
    """Outputs would go stale, and counters change with every click."""
    assert cells("markdown")
    for cell in cells("code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        compile("".join(cell["source"]), cell["id"], "exec")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(imjax, "get_config"), reason="imjax.config has no get_config")
def test_the_notebook_runs(tmp_path, command_environment):
    code = "\n".join("".join(cell["source"]) for cell in cells("code"))
    # The folder is the notebook's own, and imjax is found as an installed one would be.
    environment = dict(
        command_environment, PYTHONPATH=str(ROOT), MPLBACKEND="agg", XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    environment |= {name: os.environ[name] for name in ("JAX_PLATFORMS",) if name in os.environ}
    # exec of one namespace, as a kernel runs cells; the text has no main guard on purpose.
    line = [sys.executable, "-c", f"exec({code!r}, {{'__name__': '__main__'}})"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "confidence 0." in done.stdout and "aim_pp" in done.stdout
    run = tmp_path / "runs" / "quickstart"
    assert (run / "report.html").is_file() and (run / "net.stablehlo").stat().st_size > 10_000
