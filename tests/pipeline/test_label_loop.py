"""Train, mask what is suggested, train on: through the commands."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imjax.data.synthetic import writers

ROOT = Path(__file__).parents[2]
SHORT = ("--config.train.epochs=2", "--config.train.steps_per_epoch=5")


@pytest.mark.long
def test_a_round_of_the_loop(tmp_path, quick_environment):
    def run(module, *words):
        command = [sys.executable, "-m", module, *words]
        done = subprocess.run(command, cwd=ROOT, env=quick_environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    raw, first, second = tmp_path / "raw", tmp_path / "first", tmp_path / "second"
    writers.write_synthetic("folder", raw, {"train_val_test": 30}, size=(64, 64))
    train = ("imjax.main", "--config=folder:tiny", f"--config.data.dir={raw}", *SHORT)
    code, text = run(*train, f"--workdir={first}")
    assert code == 0, text
    code, text = run("imjax.suggest_images", f"--workdir={first}", "--count=3")
    masks = sorted((first / "suggestions" / "masks").iterdir())
    assert code == 0 and len(masks) == 3 and text.count("the nets agree on") == 3, text
    for mask in masks:
        shutil.move(mask, raw / "masks")
    code, text = run("imjax.prepare", "--dataset=folder", f"--raw={raw}", "--check")
    assert code == 0 and "problems: none" in text
    # The folder has changed: the same run is refused, with what changed and what to do.
    code, text = run(*train, f"--workdir={first}")
    assert code == 2 and "3 masks more" in text and "--from=" in text
    code, text = run(*train, f"--workdir={second}", f"--from={first}")
    assert code == 0 and "3 masks more" in text and "nets of" in text, text
    assert "val and test stay what they were" in text
