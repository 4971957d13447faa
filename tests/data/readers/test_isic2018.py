from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from complaints import assert_complaint
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.readers import isic2018
from imjax.errors import ErrorCode

READER = isic2018.Isic2018()


@pytest.fixture
def raw(copied):
    return copied("isic2018")


def mask_of(raw, part="Training", i=0):
    return sorted((raw / f"ISIC2018_Task1_{part}_GroundTruth").glob("*.png"))[i]


def image_of(raw, part="Training", i=0):
    return sorted((raw / f"ISIC2018_Task1-2_{part}_Input").glob("*.jpg"))[i]


complains = functools.partial(assert_complaint, READER)


def test_spec():
    assert isic2018.SPEC.outputs == 1 and isic2018.SPEC.rotation_invariant and not isic2018.SPEC.reserved
    assert (isic2018.SPEC.selection_metric, isic2018.SPEC.primary_metric) == ("hard_iou", "iou")


def test_official_parts_without_the_other_files(raw):
    (raw / "ISIC2018_Task1-2_Test_Input" / "ATTRIBUTION.txt").write_text("x")
    parts = READER.scan(raw)
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 4, "val": 2, "test": 2}
    assert (raw / "ISIC2018_Task1_Training_GroundTruth" / "LICENSE.txt").is_file()


def test_mask_by_hand(raw):
    mask = np.zeros((96, 128), np.uint8)
    mask[10:20, 30:50] = 255
    cv2.imwrite(str(mask_of(raw)), mask)
    _, label = READER.load(READER.scan(raw)["train"][0])
    assert label.sum() == 200 and label[10, 30] == 1 and label[9, 30] == 0


def test_images_are_shrunk_bilinearly(raw, tmp_path):
    """Methods.md 1.9; a mean over areas would be smoother than what the published nets saw."""
    packed = pack.load_packed(pack.prepare_dataset(Data("isic2018", str(raw), height=32, width=48), tmp_path))
    samples = {s.name: s for part in READER.scan(raw).values() for s in part}
    split = packed.splits["test"]
    for name, found in zip(split.names, split.images, strict=True):
        image, _ = READER.load(samples[name])
        assert image.shape[0] > 32 and image.shape[1] > 48
        np.testing.assert_array_equal(found, cv2.resize(image, (48, 32), interpolation=cv2.INTER_LINEAR))
        assert (found != cv2.resize(image, (48, 32), interpolation=cv2.INTER_AREA)).any()


def test_real_sample(real):
    samples = isic2018.pairs(real / "isic2018", "train")
    assert [s.name for s in samples] == ["ISIC_0000000", "ISIC_0000050", "ISIC_0010854"]
    sizes = [READER.load(sample)[1].shape for sample in samples]
    assert sizes == [(767, 1022), (1129, 1504), (256, 342)]
    for sample in samples:
        image, label = READER.load(sample)
        # A lesion is darker than the skin around it, and redder than blue if this is RGB and not BGR.
        lesion = image[label == 1].mean(axis=0)
        assert lesion[0] > lesion[2]
        assert image[label == 1].mean() < image[label == 0].mean()
    with raises_user_error(ErrorCode.MISSING, "ISIC2018_Task1-2_Validation_Input"):
        READER.scan(real / "isic2018")


@pytest.mark.parametrize("name", ["ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Validation_GroundTruth"])
def test_missing_folder(raw, name):
    (raw / name).rename(raw / "away")
    complains(raw, ErrorCode.MISSING, raw / name)


def test_empty_folder(raw):
    for path in (raw / "ISIC2018_Task1-2_Test_Input").iterdir():
        path.unlink()
    complains(raw, ErrorCode.MISSING, "ISIC2018_Task1-2_Test_Input")


def test_half_a_pair(raw):
    image, mask = image_of(raw), mask_of(raw, "Test")
    mask.unlink()
    complains(raw, ErrorCode.MISSING, image_of(raw, "Test"))
    image.unlink()
    complains(raw, ErrorCode.MISSING, mask_of(raw))


def test_sizes_differ(raw):
    cv2.imwrite(str(mask_of(raw)), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, mask_of(raw).name)


def test_value_that_is_no_class(raw):
    cv2.imwrite(str(mask_of(raw)), np.full((96, 128), 7, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, mask_of(raw).name)


@pytest.mark.parametrize("of", [image_of, mask_of])
def test_truncated(raw, of):
    path = of(raw, "Validation")
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path.name)
