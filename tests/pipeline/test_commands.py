"""`python -m imjax.main` on data and flags of all sorts: real samples, refusals."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imjax.data.synthetic import writers

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason="no real samples beside the checkout")
def test_real_suim_samples(command, tmp_path):
    code, out, err = command(
        "configs/suim_aim_pp.py:tiny", tmp_path / "run", f"--config.data.dir={REAL / 'suim'}"
    )
    assert code == 0, err
    assert "aim_pp  1" in out


def test_missing_data_says_what_to_do(command, tmp_path):
    code, out, err = command(
        "configs/suim_aim_pp.py", tmp_path / "run", f"--config.data.dir={tmp_path / 'none'}"
    )
    assert code == 2 and not out and "Traceback" not in err
    for part in ("none", "SUIM", "train_val/images", "imjax.prepare --dataset=suim", "configs/demo.py"):
        assert part in err
    assert not (tmp_path / "run").exists()


def damage_no_mask(root):
    next((root / "train_val/masks").glob("*.bmp")).unlink()


def damage_no_image(root):
    next((root / "train_val/images").glob("*.jpg")).unlink()


def damage_truncated(root):
    path = next((root / "TEST/images").glob("*.jpg"))
    path.write_bytes(path.read_bytes()[:-200])


def damage_empty(root):
    shutil.rmtree(root / "train_val")
    (root / "train_val/images").mkdir(parents=True)
    (root / "train_val/masks").mkdir()


@pytest.mark.parametrize("damage", [damage_no_mask, damage_no_image, damage_truncated, damage_empty])
def test_bad_files_are_named_before_any_training(damage, command, tmp_path):
    root = tmp_path / "suim"
    writers.write_synthetic("suim", root, {"train_val": 6, "test": 2}, size=(96, 96))
    damage(root)
    code, out, err = command("configs/suim_ldt.py:tiny", tmp_path / "run", f"--config.data.dir={root}")
    assert code == 2 and not out and "Traceback" not in err
    assert str(root) in err and "train_ldt" not in err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--config.trian.epochs=1",), "did you mean train.epochs"),
        (("--config.train.epochs=many",), "--config.train.epochs=many"),
        (("--config.data.height=50",), "multiple of 16"),
        (("positional",), "positional"),
    ],
)
def test_wrong_flags_get_one_line(flags, part, command, tmp_path):
    code, out, err = command("configs/demo.py:tiny", tmp_path / "run", *flags)
    assert code == 2 and part in err and len(err.strip().splitlines()) == 1, err


def test_wrong_preset_names_the_presets(command, tmp_path):
    code, _, err = command("configs/suim_ldt.py:huge", tmp_path / "run")
    assert code == 2 and "there are: small, tiny" in err and len(err.strip().splitlines()) == 1


def test_help_and_slips_need_no_jax(command_environment):
    """Which takes seconds to import; grain and clu as well."""
    for flags in (["--help"], ["--config=configs/demo.py:tiny", "--config.train.epochs=many"]):
        line = [sys.executable, "-m", "imjax.main", *flags]
        environment = command_environment | {"PYTHONPROFILEIMPORTTIME": "1"}
        told = subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True).stderr
        found = set(re.findall(r"^import time:.*\| +(\S+)$", told, re.M))
        assert "imjax.config.schema" in found and not found & {"jax", "grain", "clu", "flax", "tensorflow"}


def test_plan_prints_and_stops(command, tmp_path):
    code, out, _ = command("configs/suim_aim_pp.py", tmp_path / "run", "--plan")
    assert code == 0 and "03_label_g0" in out and not (tmp_path / "run").exists()
