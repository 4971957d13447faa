"""The exported file runs without imjax, as docs/how-to/predict.md shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade import SPECS, make_run

from imjax.errors import UserError
from imjax.inference.load_run import load_model

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_docs(tmp_path):
    spec, size = SPECS["reserved"], (8, 16)
    stage = load_model(make_run(tmp_path / "run", spec, ("train_g0",), size))
    images = np.random.default_rng(0).integers(0, 256, (5, *size, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    stage.export(tmp_path / "net.stablehlo", 2)
    example = re.search(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "predict.md").read_text(), re.DOTALL
    )[1]
    assert len(example.splitlines()) <= 15
    example += "import sys\nassert not any(name.startswith('imjax') for name in sys.modules)\n"
    # -I: neither the folder nor PYTHONPATH is searched; and an installed imjax would be in sys.modules.
    done = subprocess.run(
        [sys.executable, "-I", "-c", example], cwd=tmp_path, env=dict(os.environ, JAX_PLATFORMS="cpu"),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The reserved class is left out: values are the dataset's own classes.
    predictions = stage.predict_batch(images, nets=2)
    wanted = np.stack([prediction.probabilities for prediction in predictions]).argmax(-1)
    found = np.load(tmp_path / "classes.npy")
    assert found.shape == (5, *size) and (found == wanted).mean() > 0.99


def test_no_place_for_it(tmp_path):
    stage = load_model(make_run(tmp_path / "run", SPECS["binary"], ("train_g0",), nets=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="net.stablehlo: the exported net cannot be written"):
        stage.export(tmp_path / "file" / "net.stablehlo")
