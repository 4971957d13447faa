from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.data.readers import suim
from imjax.errors import ErrorCode

READER = suim.Suim()

complains = functools.partial(assert_complaint, READER)


def test_palette_is_the_binary_code():
    # README of the set: 011 wrecks, 110 fish, red first; our index is the code + 1.
    assert suim.SPEC.palette[1 + 0b011] == (0, 255, 255) and suim.SPEC.classes[1 + 0b011].startswith("wrecks")
    assert suim.SPEC.palette[1 + 0b110] == (255, 255, 0) and suim.SPEC.classes[1 + 0b110].startswith("fish")
    assert len(set(suim.SPEC.palette)) == suim.SPEC.outputs == 9


def test_decode_by_hand():
    colors = np.array([[(0, 0, 0), (0, 0, 255), (250, 5, 60), (200, 255, 193), (255, 0, 255)]], np.uint8)
    assert suim.decode(colors, Path("m")).tolist() == [[1, 2, 5, 8, 6]]


def test_a_few_blurred_border_pixels_are_cut_at_one_half():
    colors = np.zeros((10, 10, 3), np.uint8)
    colors[0, :5, 1] = (64, 127, 128, 192, 193)
    assert suim.decode(colors, Path("m"))[0, :6].tolist() == [1, 1, 3, 3, 3, 1]


def test_scan_is_sorted_and_ignores_other_files(suim_raw):
    (suim_raw / "TEST" / "masks" / "FV").mkdir()
    (suim_raw / "TEST" / "images" / "Thumbs.db").write_bytes(b"x")
    parts = READER.scan(suim_raw)
    assert {part: len(samples) for part, samples in parts.items()} == {"train_val": 6, "test": 2}
    names = [sample.name for sample in parts["train_val"]]
    assert names == sorted(names)


def test_what_was_written_is_read(originals):
    sample = READER.scan(originals / "suim")["test"][0]
    image, label = READER.load(sample)
    assert image.shape == (96, 128, 3) and image.dtype == label.dtype == np.uint8
    assert label.shape == (96, 128) and set(np.unique(label)) <= {1, 2, 4, 6, 7, 8}
    stored = cv2.imread(str(sample.mask))[..., ::-1]
    assert (np.array(suim.SPEC.palette, np.uint8)[label] == stored).all()


def test_real_sample(real):
    parts = READER.scan(real / "suim")
    assert [len(parts["train_val"]), len(parts["test"])] == [4, 2]
    for samples in parts.values():
        for sample in samples:
            image, label = READER.load(sample)
            assert image.shape[:2] == label.shape and 1 <= label.min() and label.max() <= 8
    # RGB and not BGR: open water in this picture is blue.
    image, label = READER.load(parts["test"][1])
    water = image[label == 1].mean(axis=0)
    assert water[2] > water[0]


def test_truncated_jpeg(suim_raw):
    path = next((suim_raw / "train_val" / "images").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    complains(suim_raw, ErrorCode.DAMAGED, path.name)


def test_truncated_mask(suim_raw):
    path = next((suim_raw / "train_val" / "masks").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    complains(suim_raw, ErrorCode.DAMAGED, path.name)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", ErrorCode.DAMAGED), (b"this is text", ErrorCode.UNREADABLE)]
)
def test_no_image_at_all(suim_raw, content, code):
    path = next((suim_raw / "TEST" / "images").iterdir())
    path.write_bytes(content)
    complains(suim_raw, code, path)


def test_sizes_differ(suim_raw):
    path = next((suim_raw / "TEST" / "masks").iterdir())
    cv2.imwrite(str(path), np.zeros((96, 100, 3), np.uint8))
    complains(suim_raw, ErrorCode.CONFLICT, path)


def test_color_that_is_no_class(suim_raw):
    path = next((suim_raw / "TEST" / "masks").iterdir())
    mask = np.zeros((96, 128, 3), np.uint8)
    mask[:50] = (30, 128, 200)  # BGR
    cv2.imwrite(str(path), mask)
    complains(suim_raw, ErrorCode.OUT_OF_RANGE, path)


@pytest.mark.parametrize(("gone", "left"), [("masks", "images/{}.jpg"), ("images", "masks/{}.bmp")])
def test_half_a_pair(suim_raw, gone, left):
    path = next((suim_raw / "train_val" / gone).iterdir())
    path.unlink()
    complains(suim_raw, ErrorCode.MISSING, left.format(path.stem))


def test_known_unequal_pair_is_left_out_and_others_are_not(suim_raw):
    images, masks = (suim_raw / "TEST" / kind for kind in ("images", "masks"))
    for stem, height in (("w_r_1_", 90), ("w_r_7_", 96)):
        cv2.imwrite(str(images / f"{stem}.jpg"), np.zeros((96, 128, 3), np.uint8))
        cv2.imwrite(str(masks / f"{stem}.bmp"), np.zeros((height, 128, 3), np.uint8))
    names = [sample.name for sample in READER.scan(suim_raw)["test"]]
    assert "w_r_1_" not in names and "w_r_7_" in names and len(suim.UNEQUAL) == 37


def test_missing_folder_explains_itself(tmp_path):
    complains(tmp_path / "nothing", ErrorCode.MISSING, "nothing/train_val/images")


def test_empty_folder(suim_raw):
    for path in (suim_raw / "TEST").glob("*/*"):
        path.unlink()
    complains(suim_raw, ErrorCode.MISSING, "TEST/images")
