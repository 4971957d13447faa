from __future__ import annotations

import csv
import functools
import logging
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from complaints import assert_complaint

from imjax.config.schema import Data
from imjax.data import pack
from imjax.data.image_io import read_image
from imjax.data.readers import neu_seg
from imjax.data.splits import count_common_sources
from imjax.errors import ErrorCode

READER = neu_seg.NeuSeg()

complains = functools.partial(assert_complaint, READER)


@pytest.fixture
def raw(copied):
    return copied("neu_seg")


def leak(raw):
    """Give the test a mirrored copy, compressed anew, of a training image."""
    image = read_image(raw / "images" / "training" / "000002.jpg")
    cv2.imwrite(str(raw / "images" / "test" / "000009.jpg"), image[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    shutil.copy(raw / "annotations" / "training" / "000002.png", raw / "annotations" / "test" / "000009.png")


def scenes_on_both_sides(parts):
    return {s.scene for s in parts["train_val"]} & {s.scene for s in parts["test"]}


def test_spec():
    spec = neu_seg.SPEC
    assert spec.classes == ("background", "inclusion", "patches", "scratches") and spec.channels == 1
    assert spec.background and not spec.reserved and not spec.volumes and spec.rotation_invariant
    assert spec.splits == ("published", "scenes")


def test_index_by_hand(raw):
    path = raw / "annotations" / "test" / "000000.png"
    mask = np.zeros((96, 128), np.uint8)
    mask[0, :4] = range(4)
    cv2.imwrite(str(path), mask)
    image, label = READER.load(READER.scan(raw)["test"][0])
    assert label[0, :5].tolist() == [0, 1, 2, 3, 0] and label.sum() == 6
    assert image.shape == (96, 128, 1) and image.dtype == label.dtype == np.uint8


def test_copies_share_their_source(raw):
    parts = READER.scan(raw)
    # The writer makes three scenes of two copies each; numbers occur in both folders.
    names = [f"training_{i:06d}" for i in range(6)]
    assert [s.name for s in parts["train_val"]] == names
    assert [s.source for s in parts["train_val"]] == [names[i] for i in (0, 0, 2, 2, 4, 4)]
    assert [(s.name, s.source) for s in parts["test"]] == [
        ("test_000000", "test_000000"),
        ("test_000001", "test_000000"),
    ]
    assert not scenes_on_both_sides(parts)


def test_what_the_published_split_shares_is_told(raw, tmp_path, caplog):
    leak(raw)
    options = Data("neu_seg", str(raw), height=32, width=32)
    with caplog.at_level(logging.WARNING, logger="imjax"):
        root = pack.prepare_dataset(options, tmp_path / "cache")
        assert pack.prepare_dataset(options, tmp_path / "cache") == root
    # Also when the packed set is found: each run says it.
    assert len(caplog.messages) == 2 and len(set(caplog.messages)) == 1
    assert "'published': 1 of 3 test images" in caplog.text and "another split: scenes" in caplog.text
    packed = pack.load_packed(root)
    assert packed.manifest["test_images_seen_in_training"] == 1
    parts = READER.scan(raw)
    (scene,) = scenes_on_both_sides(parts)
    assert [s.name for s in parts["test"] if s.scene == scene] == ["test_000009"]
    # By name the two sides still have nothing in common, and val shares no scene with training.
    assert not any(packed.manifest["common_sources"].values())
    assert {name: len(s.images) for name, s in packed.splits.items()} == {
        "labeled": 2, "unlabeled": 2, "val": 2, "test": 3,
    }  # fmt: skip


def test_split_by_scenes_shares_nothing(raw, tmp_path, caplog):
    leak(raw)
    reader = neu_seg.NeuSeg("scenes")
    (samples,) = reader.scan(raw).values()
    # Four scenes; the leaked copy belongs to the one of training_000002 and 000003.
    assert sorted(Counter(s.source for s in samples).items()) == [
        ("test_000000", 2), ("training_000000", 2), ("training_000002", 3), ("training_000004", 2),
    ]  # fmt: skip
    options = Data("neu_seg", str(raw), height=32, width=32, split="scenes")
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache"))
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert packed.manifest["test_images_seen_in_training"] == 0
    assert sum(len(s.images) for s in packed.splits.values()) == 9


def test_real_sample(real):
    parts = READER.scan(real / "neu_seg")
    assert {part: len(samples) for part, samples in parts.items()} == {"train_val": 3630, "test": 840}
    with (real / "neu_seg" / "scenes.csv").open(newline="") as file:
        given = {f"{r['split']}_{Path(r['file']).stem}": r["scene"] for r in csv.DictReader(file)}
    found = {s.name: s.scene for samples in parts.values() for s in samples}
    pairs = {(given[name], scene) for name, scene in found.items()}
    # No scene of ours holds two of the given ones, and one of the 1 129 given ones is torn in three.
    assert len({scene for _, scene in pairs}) == len(pairs) == 1131 and len({s for s, _ in pairs}) == 1129
    assert sum(s.scene in scenes_on_both_sides(parts) for s in parts["test"]) == 810
    image, label = READER.load(parts["train_val"][0])
    assert image.shape == (200, 200, 1) and set(np.unique(label)) <= set(range(4))
    assert not any(count_common_sources({k: [s.source for s in v] for k, v in parts.items()}).values())


def test_half_a_pair(raw):
    path = raw / "annotations" / "training" / "000003.png"
    path.unlink()
    complains(raw, ErrorCode.MISSING, "images/training/000003.jpg")


def test_index_that_is_no_class(raw):
    path = raw / "annotations" / "test" / "000001.png"
    cv2.imwrite(str(path), np.full((96, 128), 4, np.uint8))
    complains(raw, ErrorCode.OUT_OF_RANGE, path)


def test_sizes_differ(raw):
    path = raw / "annotations" / "test" / "000001.png"
    cv2.imwrite(str(path), np.zeros((96, 120), np.uint8))
    complains(raw, ErrorCode.CONFLICT, path)


def test_truncated(raw):
    path = raw / "images" / "training" / "000004.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    complains(raw, ErrorCode.DAMAGED, path)


def test_empty_folder(raw):
    for kind in ("images", "annotations"):
        for path in (raw / kind / "test").iterdir():
            path.unlink()
    complains(raw, ErrorCode.MISSING, "images/test")
    (raw / "annotations" / "test").rmdir()
    complains(raw, ErrorCode.MISSING, "annotations/test")
