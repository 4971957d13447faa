from __future__ import annotations

import functools
import shutil

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.readers import dagm
from imjax.errors import ErrorCode

READER = dagm.Dagm()

complains = functools.partial(assert_complaint, READER)


@pytest.fixture
def raw(copied):
    return copied("dagm")


def label_of(raw):
    return min(raw.glob("Class*/Train/Label/*.PNG"))


def test_spec():
    # A class for the defects of each of the ten kinds of texture.
    assert dagm.SPEC.classes == ("background", *(f"defect {k}" for k in range(1, 11)))
    assert dagm.SPEC.channels == 1
    assert dagm.SPEC.background and not dagm.SPEC.reserved and dagm.SPEC.rotation_invariant


def test_an_image_without_label_has_no_defect(raw):
    samples = [s for samples in READER.scan(raw).values() for s in samples]
    free = [s for s in samples if s.mask is None]
    assert 0 < len(free) < len(samples) == 8
    for sample in samples:
        image, label = READER.load(sample)
        assert image.shape == (96, 128, 1) and label.shape == (96, 128)
        assert image.dtype == label.dtype == np.uint8 and label.any() == (sample.mask is not None)


@pytest.mark.parametrize(("kind", "number"), [("Class1", 1), ("Class2", 2), ("Class10", 10)])
def test_the_folder_says_which_defect(kind, number, raw):
    if kind == "Class10":
        (raw / "Class2").rename(raw / kind)
    samples = [s for samples in READER.scan(raw).values() for s in samples if s.mask]
    labels = [READER.load(sample)[1] for sample in samples if sample.name.startswith(f"{kind}_")]
    assert labels and all(set(np.unique(label)) == {0, number} for label in labels)


def test_a_folder_of_no_kind(raw):
    (raw / "Class2").rename(raw / "Class11")
    complains(raw, ErrorCode.OUT_OF_RANGE, "Class11")


def test_parts_and_names(raw):
    parts = READER.scan(raw)
    assert [s.name for s in parts["test"]] == ["Class1_Test_0001", "Class2_Test_0002"]
    assert [s.name for s in parts["train_val"]] == [
        *(f"Class1_Train_{i:04d}" for i in (1, 3, 5)),
        *(f"Class2_Train_{i:04d}" for i in (2, 4, 6)),
    ]


def test_without_test_it_is_one_pool(raw, tmp_path):
    for kind in raw.iterdir():
        shutil.rmtree(kind / "Test")
    (samples,) = READER.scan(raw).values()
    assert len(samples) == 6 and list(READER.scan(raw)) == ["train_val_test"]
    options = Data("dagm", str(raw), height=32, width=32, val_fraction=0.2, test_fraction=0.4)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    counts = {name: len(split.images) for name, split in splits.items()}
    # Of 6: round(2.4) for the test, round(1.2) for val, at least one of the other three labeled.
    assert counts == {"labeled": 1, "unlabeled": 2, "val": 1, "test": 2}


def test_real_sample(real):
    samples = READER.scan(real / "dagm2007")["train_val_test"]
    assert len(samples) == 15 and sum(s.mask is not None for s in samples) == 9
    image, label = READER.load(next(s for s in samples if s.mask))
    assert image.shape == (512, 512, 1) and 0 < (label > 0).mean() < 0.2


def test_part_missing_in_one_class(raw):
    shutil.rmtree(raw / "Class2" / "Test")
    complains(raw, ErrorCode.MISSING, "Class2/Test")


def test_label_without_image(raw):
    path = label_of(raw)
    image = path.parents[1] / path.name.replace("_label", "")
    image.unlink()
    complains(raw, ErrorCode.MISSING, path)


def test_value_that_is_no_class(raw):
    cv2.imwrite(str(label_of(raw)), np.full((96, 128), 7, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, label_of(raw))


def test_sizes_differ(raw):
    cv2.imwrite(str(label_of(raw)), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, label_of(raw))


def test_truncated(raw):
    path = raw / "Class1" / "Test" / "0001.PNG"
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path)


def test_empty_folders(raw):
    for path in raw.glob("Class*/Test/**/*.PNG"):
        path.unlink()
    complains(raw, ErrorCode.MISSING, raw)
