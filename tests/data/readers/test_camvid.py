from __future__ import annotations

import functools

import cv2
import numpy as np
from complaints import complaint

from imjax.data.readers import camvid
from imjax.data.spec import VOID

READER = camvid.Camvid()

error = functools.partial(complaint, READER)


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
    line = error(camvid_raw)
    assert "val.txt line 2" in line and "val_00001.png" in line and "\n" not in line


def test_bad_line(camvid_raw):
    (camvid_raw / "val.txt").write_text("only_one_path.png\n")
    assert "val.txt line 1" in (line := error(camvid_raw)) and "\n" not in line


def test_index_that_is_no_class(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00002.png"
    cv2.imwrite(str(path), np.full((96, 128), 12, np.uint8))
    line = error(camvid_raw)
    assert path.name in line and "12" in line and "\n" not in line


def test_color_mask(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00002.png"
    cv2.imwrite(str(path), np.zeros((96, 128, 3), np.uint8))
    assert path.name in (line := error(camvid_raw)) and "single-channel" in line


def test_sizes_differ(camvid_raw):
    path = camvid_raw / "trainannot" / "train_00000.png"
    cv2.imwrite(str(path), np.zeros((96, 120), np.uint8))
    assert path.name in (line := error(camvid_raw)) and "120x96" in line


def test_truncated_png(camvid_raw):
    path = camvid_raw / "test" / "test_00001.png"
    path.write_bytes(path.read_bytes()[:-100])
    assert path.name in (line := error(camvid_raw)) and "truncated after" in line


def test_missing_and_empty(camvid_raw, tmp_path):
    assert "imjax.prepare --dataset=camvid" in error(tmp_path / "nothing")
    (camvid_raw / "val.txt").write_text("\n")
    assert "lists no image" in error(camvid_raw)
