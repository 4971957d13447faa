from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.readers import dsb2018
from imjax.errors import ErrorCode

READER = dsb2018.Dsb2018()


@pytest.fixture
def raw(copied):
    return copied("dsb2018")


def folder_of(raw, i=0):
    return sorted((raw / "stage1_train").iterdir())[i]


def mask_of(raw):
    return min((folder_of(raw) / "masks").iterdir())


complains = functools.partial(assert_complaint, READER)


def test_spec():
    assert dsb2018.SPEC.outputs == 1 and dsb2018.SPEC.rotation_invariant and not dsb2018.SPEC.reserved
    assert (dsb2018.SPEC.selection_metric, dsb2018.SPEC.primary_metric) == ("hard_iou", "iou")


def test_label_is_the_union_of_the_masks(raw):
    folder = folder_of(raw)
    for path in (folder / "masks").iterdir():
        path.unlink()
    for i, rows in enumerate((np.s_[0:10], np.s_[5:20], np.s_[90:96])):
        mask = np.zeros((96, 128), np.uint8)
        mask[rows] = 255
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), mask)
    _, label = READER.load(READER.scan(raw)["train_val_test"][0])
    assert np.nonzero(label.all(axis=1))[0].tolist() == [*range(20), *range(90, 96)]
    assert label.sum() == 26 * 128


def test_alpha_is_dropped(raw):
    path = next((folder_of(raw) / "images").iterdir())
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.shape == (96, 128, 4)
    stored[..., 3] = 0
    cv2.imwrite(str(path), stored)
    image, _ = READER.load(READER.scan(raw)["train_val_test"][0])
    assert (image == stored[..., 2::-1]).all()


def test_real_sample(real, tmp_path):
    samples = READER.scan(real / "dsb2018")["train_val_test"]
    assert len(samples) == 524 and sum(1 + len(s.more_masks) for s in samples) == 2367
    image, label = READER.load(samples[0])
    assert image.shape == (*label.shape, 3) and 0 < label.mean() < 0.5
    options = Data("dsb2018", str(real / "dsb2018"), height=64, width=64)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path)).splits
    # 524 images: round(104.8) test, round(52.4) val, and a tenth of the other 367 labeled.
    counts = {name: len(split.images) for name, split in splits.items()}
    assert counts == {"labeled": 37, "unlabeled": 330, "val": 52, "test": 105}


def test_shares_of_the_pool(raw, tmp_path):
    options = Data("dsb2018", str(raw), height=32, width=32, val_fraction=0.25, test_fraction=0.5)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    counts = {name: len(split.images) for name, split in splits.items()}
    assert counts == {"labeled": 1, "unlabeled": 1, "val": 2, "test": 4}


def test_other_files_are_ignored(raw):
    for folder in (raw / "stage1_train", folder_of(raw) / "masks"):
        (folder / "readme.txt").write_text("x")
    assert len(READER.scan(raw)["train_val_test"]) == 8


def test_empty_folder(raw):
    (raw / "stage1_train").rename(raw / "away")
    (raw / "stage1_train").mkdir()
    complains(raw, ErrorCode.MISSING, "stage1_train")


def test_half_a_pair(raw):
    next((folder_of(raw, 1) / "images").iterdir()).unlink()
    complains(raw, ErrorCode.MISSING, folder_of(raw, 1).name)
    for path in (folder_of(raw) / "masks").iterdir():
        path.unlink()
    complains(raw, ErrorCode.MISSING, folder_of(raw).name)


def test_sizes_differ(raw):
    cv2.imwrite(str(mask_of(raw)), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, mask_of(raw))


def test_value_that_is_no_class(raw):
    cv2.imwrite(str(mask_of(raw)), np.full((96, 128), 1, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, mask_of(raw))


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_truncated(raw, kind):
    path = min((folder_of(raw) / kind).iterdir())
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path)


def test_nuclei_stay_apart(raw):
    folder = folder_of(raw)
    for path in (folder / "masks").iterdir():
        path.unlink()
    for i, boxes in enumerate(([np.s_[0:10, 0:20]], [np.s_[0:10, 20:30], np.s_[50:60, 0:9]])):
        mask = np.zeros((96, 128), np.uint8)
        for box in boxes:
            mask[box] = 255
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), mask)
    numbers = READER.load_instances(READER.scan(raw)["train_val_test"][0])
    assert numbers.dtype == np.uint16 and sorted(np.bincount(numbers.ravel())[1:]) == [90, 100, 200]
    # Two touch, in files of their own.
    assert numbers[5, 19] != numbers[5, 20] > 0


def test_packed_val_and_test_have_the_nuclei(raw, tmp_path):
    data = Data(dataset="dsb2018", dir=str(raw), height=48, width=64, split_seed=1)
    packed = pack.load_packed(pack.prepare_dataset(data, tmp_path / "cache"))
    for name in ("val", "test"):
        split = packed.splits[name]
        assert split.instances.shape == split.labels.shape and split.instances.dtype == np.uint16
        # Resized by another rule than the label, which runs a fraction of a pixel beside.
        assert ((split.instances > 0) == (split.labels == 1)).mean() > 0.97
        assert not (split.instances > 0)[split.labels != 1].any() and split.instances.any()
    assert packed.splits["labeled"].instances is None
    assert set(packed.manifest["splits"]["test"]["sha256"]) == {"images", "labels", "instances"}
