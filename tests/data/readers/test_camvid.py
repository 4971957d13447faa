from __future__ import annotations

import functools

import cv2
import numpy as np
from complaints import assert_complaint

from imjax.data.readers import camvid
from imjax.data.spec import VOID
from imjax.errors import ErrorCode

READER = camvid.Camvid()

complains = functools.partial(assert_complaint, READER)


def test_spec():
    assert (
        camvid.SPEC.outputs == 12
        and camvid.SPEC.classes[1] == "sky"
        and camvid.SPEC.classes[11] == "bicyclist"
    )
    assert len(set(camvid.SPEC.palette)) == 12


def test_index_by_hand(camvid_raw):
    path = camvid_raw / "testannot" / "test_00000.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    mask[0, :3] = (0, 10, 11)
    cv2.imwrite(str(path), mask)
    image, label = READER.load(READER.scan(camvid_raw)["test"][0])
    assert label[0, :3].tolist() == [1, 11, VOID]
    assert image.shape == (96, 128, 3) and image.dtype == label.dtype == np.uint8


def test_lists_decide(camvid_raw):
    path = camvid_raw / "train.txt"
    path.write_text("\n".join(path.read_text().splitlines()[::-1][:3]) + "\n\n")
    assert [s.name for s in READER.scan(camvid_raw)["train"]] == ["train_00001", "train_00002", "train_00003"]


def test_real_sample(real):
    parts = READER.scan(real / "camvid")
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 367, "val": 101, "test": 128}
    image, label = READER.load(parts["train"][0])
    assert image.shape == (360, 480, 3) and set(np.unique(label)) <= {*range(1, 12), VOID}
    # Sky (1) is above the road (4).
    rows = [np.nonzero(label == c)[0].mean() for c in (1, 4)]
    assert rows[0] < rows[1]


def test_listed_file_missing(camvid_raw):
    (camvid_raw / "val" / "val_00001.png").unlink()
    complains(camvid_raw, ErrorCode.MISSING, "val/val_00001.png")


def test_bad_line(camvid_raw):
    (camvid_raw / "val.txt").write_text("only_one_path.png\n")
    complains(camvid_raw, ErrorCode.MALFORMED, "val.txt")


def test_index_that_is_no_class(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00002.png"
    cv2.imwrite(str(path), np.full((96, 128), 12, np.uint8))
    complains(camvid_raw, ErrorCode.OUT_OF_RANGE, path)


def test_color_mask(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00002.png"
    cv2.imwrite(str(path), np.zeros((96, 128, 3), np.uint8))
    complains(camvid_raw, ErrorCode.WRONG_TYPE, path.name)


def test_sizes_differ(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00000.png"
    cv2.imwrite(str(path), np.zeros((96, 120), np.uint8))
    complains(camvid_raw, ErrorCode.CONFLICT, path.name)


def test_truncated_png(camvid_raw):
    path = camvid_raw / "test" / "test_00001.png"
    path.write_bytes(path.read_bytes()[:-100])
    complains(camvid_raw, ErrorCode.DAMAGED, path.name)


def test_missing_and_empty(camvid_raw, tmp_path):
    complains(tmp_path / "nothing", ErrorCode.MISSING, "nothing/train.txt")
    (camvid_raw / "val.txt").write_text("\n")
    complains(camvid_raw, ErrorCode.MISSING, "val.txt")
