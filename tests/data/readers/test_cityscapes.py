from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.readers import cityscapes
from imjax.data.spec import VOID
from imjax.errors import ErrorCode

READER = cityscapes.Cityscapes()


@pytest.fixture
def raw(copied):
    return copied("cityscapes")


def mask_of(raw, part="train", i=0):
    return sorted((raw / "gtFine" / part).glob("*/*.png"))[i]


def image_of(raw, part="train", i=0):
    return sorted((raw / "leftImg8bit" / part).glob("*/*.png"))[i]


complains = functools.partial(assert_complaint, READER)


def test_spec():
    spec = cityscapes.SPEC
    assert spec.outputs == 35 and spec.reserved and not spec.rotation_invariant
    # Label table of the set: 7 is road, 26 car, 33 bicycle.
    assert [spec.classes[1 + i] for i in (7, 26, 33)] == ["road", "car", "bicycle"]
    assert [spec.palette[1 + i] for i in (7, 26, 33)] == [(128, 64, 128), (0, 0, 142), (119, 11, 32)]
    assert (spec.selection_metric, spec.primary_metric) == ("soft_miou", "miou")


def test_ids_by_hand(raw):
    mask = cv2.imread(str(mask_of(raw)), cv2.IMREAD_UNCHANGED)
    mask[0, :4] = (0, 7, 33, 255)
    cv2.imwrite(str(mask_of(raw)), mask)
    _, label = READER.load(READER.scan(raw)["train"][0])
    assert label[0, :4].tolist() == [1, 8, 34, VOID]


def test_other_files_are_ignored(raw):
    for ending in ("color.png", "instanceIds.png", "polygons.json"):
        (mask_of(raw).parent / f"nowhere_000000_000019_gtFine_{ending}").write_bytes(b"x")
    assert {part: len(samples) for part, samples in READER.scan(raw).items()} == {"train": 4, "val_test": 4}


def test_val_is_cut_in_half(raw, tmp_path):
    options = Data("cityscapes", str(raw), height=32, width=64)
    splits = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache")).splits
    assert {n: len(s.images) for n, s in splits.items()} == {
        "labeled": 1,
        "unlabeled": 3,
        "val": 2,
        "test": 2,
    }
    for name in ("val", "test"):
        assert all(source.startswith("val/nowhere/") for source in splits[name].sources)


def test_same_layout_of_other_pixels(real):
    parts = READER.scan(real / "cityscapes_format_fixture")
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 8, "val_test": 3}
    for samples in parts.values():
        for sample in samples:
            image, label = READER.load(sample)
            assert image.shape == (240, 480, 3) and 1 <= label.min() and label.max() <= 27
            # Sky (id 23) is above the road (id 7).
            sky, road = (np.nonzero(label == 1 + i)[0].mean() for i in (23, 7))
            assert sky < road


@pytest.mark.parametrize("name", ["leftImg8bit/val", "gtFine/train"])
def test_missing_folder(raw, name):
    (raw / name).rename(raw / "away")
    complains(raw, ErrorCode.MISSING, raw / name)


def test_empty_folder(raw):
    (raw / "leftImg8bit" / "train" / "nowhere").rename(raw / "away")
    complains(raw, ErrorCode.MISSING, "leftImg8bit/train")


def test_half_a_pair(raw):
    mask, image = mask_of(raw, "val"), image_of(raw)
    mask.unlink()
    complains(raw, ErrorCode.MISSING, image_of(raw, "val"))
    image.unlink()
    complains(raw, ErrorCode.MISSING, mask_of(raw))


def test_a_mask_in_the_wrong_city_is_no_pair(raw):
    mask = mask_of(raw)
    (mask.parents[1] / "elsewhere").mkdir()
    mask.rename(mask.parents[1] / "elsewhere" / mask.name)
    complains(raw, ErrorCode.MISSING, f"elsewhere/{mask.name}")


def test_sizes_differ(raw):
    cv2.imwrite(str(mask_of(raw)), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, mask_of(raw).name)


@pytest.mark.parametrize("value", [34, 254])
def test_value_that_is_no_class(raw, value):
    cv2.imwrite(str(mask_of(raw)), np.full((96, 128), value, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, mask_of(raw).name)


@pytest.mark.parametrize("of", [image_of, mask_of])
def test_truncated(raw, of):
    path = of(raw, "val")
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path.name)
