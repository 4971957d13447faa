"""Originals to read: the real samples where they are, synthetic ones in the same layout everywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imjax.data.synthetic import writers

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
COUNTS = {"train_val": 6, "train": 4, "val": 2, "val_test": 4, "test": 2, "train_val_test": 8}


@pytest.fixture(scope="session")
def real():
    """Folder of the real samples, by dataset."""
    if not REAL.is_dir():
        pytest.skip(f"no real samples in {REAL}")
    return REAL


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    for dataset in writers.WRITERS:
        writers.write_synthetic(dataset, folder / dataset, COUNTS, seed=0, size=(96, 128))
    return folder


@pytest.fixture
def copied(originals, tmp_path):
    """Dataset -> a copy of its synthetic folder that a test may damage."""
    return lambda dataset: shutil.copytree(originals / dataset, tmp_path / dataset)


@pytest.fixture
def suim_raw(copied):
    return copied("suim")


@pytest.fixture
def hela_raw(copied):
    return copied("hela")


@pytest.fixture
def camvid_raw(copied):
    return copied("camvid")
