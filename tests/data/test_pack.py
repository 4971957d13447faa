from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.schema import Data, Synthetic
from imjax.data import pack, partial_folder, preprocess
from imjax.data.readers import registry
from imjax.data.spec import VOID
from imjax.errors import ErrorCode

SMALL = Data("synthetic", height=32, width=48, synthetic=Synthetic(10, 3, 2))


def suim(raw, **changes) -> Data:
    return dataclasses.replace(Data("suim", str(raw), height=32, width=32, random_crops=2), **changes)


def fails(options: Data, cache, code: ErrorCode, field) -> str:
    """The error's text, one line; nothing that looks complete may remain."""
    with raises_user_error(code, field) as info:
        pack.prepare_dataset(options, cache)
    assert not cache.exists() or list(cache.iterdir()) == []
    assert "\n" not in str(info.value)
    return str(info.value)


def test_round_trip(tmp_path):
    root = pack.prepare_dataset(SMALL, tmp_path)
    packed = pack.load_packed(root)
    assert packed.spec == registry.spec("synthetic") and root.name.startswith("synthetic-")
    assert {name: len(s.images) for name, s in packed.splits.items()} == {
        "labeled": 1,
        "unlabeled": 9,
        "val": 3,
        "test": 2,
    }
    reader = registry.make(SMALL)
    for part, samples in reader.scan(tmp_path).items():
        for sample in samples:
            (found,) = [s for s in packed.splits.values() if sample.name in s.names]
            i = found.names.index(sample.name)
            image, label = reader.load(sample)
            assert (found.images[i] == image).all() and (found.labels[i] == label).all(), part
    test = packed.splits["test"]
    assert isinstance(test.images, np.memmap) and not test.images.flags.writeable
    assert test.images.shape == (2, 32, 48, 3) and test.labels.dtype == np.uint8


def test_manifest(tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(SMALL, tmp_path))
    entry, split = packed.manifest["splits"]["unlabeled"], packed.splits["unlabeled"]
    assert entry["pixels"]["background"] == (split.labels == 1).sum()
    assert sum(entry["pixels"].values()) == split.labels.size and sum(
        entry["shares"].values()
    ) == pytest.approx(1)
    assert entry["count"] == 9 and set(entry["sha256"]) == {"images", "labels"}
    assert len(packed.manifest["common_sources"]) == 6 and not any(packed.manifest["common_sources"].values())
    assert packed.manifest["data"]["synthetic"]["num_train"] == 10


def test_crops_of_one_source_stay_together(originals, tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(suim(originals / "suim"), tmp_path))
    sources = {name: set(split.sources) for name, split in packed.splits.items()}
    assert sum(map(len, sources.values())) == len(set().union(*sources.values())) == 8
    for split in packed.splits.values():
        assert all(split.sources.count(source) == 2 for source in split.sources)
        assert len(set(split.names)) == len(split.names) == len(split.images)
        assert split.images.shape[1:] == (32, 32, 3)


def test_real_suim(real, tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(suim(real / "suim", height=64, width=64), tmp_path))
    assert {n: len(s.images) for n, s in packed.splits.items()} == {
        "labeled": 2,
        "unlabeled": 4,
        "val": 2,
        "test": 4,
    }


def test_void_is_counted_and_kept(originals, tmp_path):
    options = Data("camvid", str(originals / "camvid"), height=96, width=128)
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path))
    # The fixture's frame: 4 pixels on each side of 96 x 128.
    assert (packed.splits["test"].labels[0] == VOID).sum() == 96 * 128 - 88 * 120
    assert packed.manifest["splits"]["test"]["pixels"]["void"] == 2 * (96 * 128 - 88 * 120)


def test_same_again_is_reused_and_bit_equal(tmp_path):
    root = pack.prepare_dataset(SMALL, tmp_path)
    stamp = (root / "manifest.json").stat().st_mtime_ns
    assert (
        pack.prepare_dataset(SMALL, tmp_path) == root and (root / "manifest.json").stat().st_mtime_ns == stamp
    )
    other = pack.prepare_dataset(SMALL, tmp_path / "elsewhere")
    for file in root.rglob("*.*"):
        assert file.read_bytes() == (other / file.relative_to(root)).read_bytes()


def test_folder_changes_with_options_and_files(suim_raw, tmp_path):
    cache = tmp_path / "cache"
    roots = [
        pack.prepare_dataset(suim(suim_raw), cache),
        pack.prepare_dataset(suim(suim_raw, split_seed=1), cache),
    ]
    path = next((suim_raw / "TEST" / "images").iterdir())
    os.utime(path, (0, 0))
    # The same contents with another time, as a copy has them, are the same data.
    assert pack.prepare_dataset(suim(suim_raw), cache) == roots[0]
    assert pack.prepare_dataset(suim(shutil.copytree(suim_raw, tmp_path / "copy")), cache) == roots[0]
    path.write_bytes(path.read_bytes() + b"\0")
    roots.append(pack.prepare_dataset(suim(suim_raw), cache))
    assert len(set(roots)) == 3


def test_what_killed_runs_left_is_removed_and_live_ones_keep_theirs(tmp_path):
    code = (
        "import os, pathlib, signal\n"
        "from imjax.data import partial_folder\n"
        f"with partial_folder.make(pathlib.Path({str(tmp_path)!r}), 'set-killed') as made:\n"
        "    (made / 'images.npy').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    nameless = tmp_path / ".partial-set-nameless"
    nameless.mkdir()
    assert len(list(tmp_path.glob(".partial-set-killed*"))) == 1
    with partial_folder.make(tmp_path, "set-live") as live:
        pack.prepare_dataset(SMALL, tmp_path)
        # Of a folder without a name of its writer nobody knows whether it has just been made.
        assert set(tmp_path.glob(".partial-*")) == {live, nameless}
    os.utime(nameless, (0, 0))
    partial_folder.remove_abandoned(tmp_path)
    assert not list(tmp_path.glob(".partial-*"))
    assert not list(tmp_path.rglob(partial_folder.WRITER))


def test_last_bad_file_leaves_nothing(suim_raw, tmp_path):
    path = max((suim_raw / "TEST" / "images").iterdir())
    path.write_bytes(path.read_bytes()[:-50])
    fails(suim(suim_raw), tmp_path / "cache", ErrorCode.DAMAGED, path)


def test_interrupt_leaves_nothing(tmp_path):
    def stop(items, what):
        yield items[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack.prepare_dataset(SMALL, tmp_path, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(self, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imjax.data.split_writer.ArrayWriter.add", full)
    line = fails(SMALL, tmp_path / "cache", ErrorCode.UNWRITABLE, tmp_path / "cache")
    assert "No space left" in line and "MiB" in line


def test_incomplete_folder_is_made_anew(tmp_path):
    root = pack.prepare_dataset(SMALL, tmp_path)
    (root / "manifest.json").unlink()
    assert pack.prepare_dataset(SMALL, tmp_path) == root
    pack.load_packed(root)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"height": 32, "width": 40}, ErrorCode.OUT_OF_RANGE, "data.width"),
        ({"height": 0, "width": 32}, ErrorCode.OUT_OF_RANGE, "data.height"),
        ({"random_crops": -1}, ErrorCode.OUT_OF_RANGE, "data.random_crops"),
        ({"tile_overlap": 1.0}, ErrorCode.OUT_OF_RANGE, "data.tile_overlap"),
        ({"tile_overlap": -0.1}, ErrorCode.OUT_OF_RANGE, "data.tile_overlap"),
        ({"tile_overlap": 0.5, "random_crops": 2}, ErrorCode.CONFLICT, "data.tile_overlap"),
        ({"dataset": "cats"}, ErrorCode.UNKNOWN, "data.dataset"),
        ({"synthetic": Synthetic(10, 3, 0)}, ErrorCode.TOO_FEW, "test"),
    ],
)
def test_bad_options(tmp_path, changes, code, field):
    fails(dataclasses.replace(SMALL, **changes), tmp_path / "cache", code, field)


def test_cache_inside_the_data(suim_raw):
    fails(suim(suim_raw), suim_raw / "cache", ErrorCode.CONFLICT, suim_raw / "cache")


def damage(root, file: str) -> str:
    path = root / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with raises_user_error(ErrorCode.DAMAGED, path) as info:
        pack.load_packed(root)
    return str(info.value)


def test_damaged_array(tmp_path):
    root = pack.prepare_dataset(SMALL, tmp_path)
    line = damage(root, "val/labels.npy")
    assert str(root) in line.partition(";")[2] and "\n" not in line


def test_missing_array_and_cut_manifest(tmp_path):
    root = pack.prepare_dataset(SMALL, tmp_path)
    (root / "test" / "images.npy").unlink()
    with raises_user_error(ErrorCode.DAMAGED, root / "test" / "images.npy"):
        pack.load_packed(root)
    path = root / "manifest.json"
    path.write_text(path.read_text()[:100])
    with raises_user_error(ErrorCode.DAMAGED, root / "manifest.json"):
        pack.load_packed(root)
    with pytest.raises(json.JSONDecodeError):
        json.loads(path.read_text())


def test_crops_are_squares_of_the_stated_sides():
    # A picture of its own coordinates: the span of a crop's values is its side.
    height, width = 700, 900
    image = np.zeros((height, width, 3), np.uint8)
    label = np.broadcast_to((np.arange(width) // 4).astype(np.uint8), (height, width)).copy()
    options = Data("suim", height=256, width=256, random_crops=40)
    spans = [
        4 * (int(y.max()) - int(y.min()) + 1) for _, y in preprocess.cut_crops(image, label, "a", options)
    ]
    assert min(spans) >= 256 - 4 and max(spans) <= 512 + 8 and max(spans) - min(spans) > 150
    small = image[:100, :300], label[:100, :300]
    for _, y in preprocess.cut_crops(*small, "a", options):
        assert 100 - 4 <= 4 * (int(y.max()) - int(y.min()) + 1) <= 100 + 8


@pytest.mark.parametrize(
    ("shape", "overlap", "tops", "lefts", "side"),
    [
        # Step round(256 · .4) = 102: rows 0, 102, 204 and 264 = 520 − 256; columns to 408, then 440.
        ((520, 696), 0.6, [0, 102, 204, 264], [0, 102, 204, 306, 408, 440], 256),
        ((256, 512), 0.5, [0], [0, 128, 256], 256),
        ((256, 256), 0.9, [0], [0], 256),
        # Smaller than a crop: the largest square, step round(100 · .4) = 40.
        ((100, 190), 0.6, [0], [0, 40, 80, 90], 100),
        ((16, 18), 0.99, [0], [0, 1, 2], 16),
    ],
)
def test_grid_of_crops(shape, overlap, tops, lefts, side):
    assert preprocess.tile_corners(shape, overlap, 256) == [
        (top, left, side) for top in tops for left in lefts
    ]
    covered = np.zeros(shape, bool)
    for top, left, _ in preprocess.tile_corners(shape, overlap, 256):
        covered[top : top + side, left : left + side] = True
    assert covered.all()
    options = Data("hela", height=32, width=32, tile_overlap=overlap)
    image = np.zeros((*shape, 1), np.uint8)
    assert preprocess.count_crops(shape, options) == len(
        [*preprocess.cut_crops(image, image[..., 0], "a", options)]
    )


def test_resizing_mixes_no_labels_and_stays_aligned():
    label = np.zeros((90, 120), np.uint8)
    label[30:60, 40:80] = 8
    small = preprocess.resize_label(label, (30, 40))
    expected = np.zeros((30, 40), np.uint8)
    expected[10:20, 13:27] = (
        8  # columns 40..79 of 120 are 13.3..26.7 of 40: centers 13 (x 3 + 1 = 40) to 26 (79)
    )
    np.testing.assert_array_equal(small, expected)
    checks = np.indices((90, 120)).sum(axis=0).astype(np.uint8) % 2 * 8
    assert set(np.unique(preprocess.resize_label(checks, (64, 64)))) == {0, 8}
    planes = np.stack([label // 8] * 5, axis=-1)
    assert preprocess.resize_label(planes, (30, 40)).shape == (30, 40, 5)
    gray = np.full((90, 120, 1), 7, np.uint8)
    assert preprocess.resize_image(gray, (30, 40)).shape == (30, 40, 1)
    assert (preprocess.resize_image(gray, (180, 240)) == cv2.resize(gray, (240, 180))[..., None]).all()


def test_binary_labels_keep_their_border():
    # Columns from 37 on are foreground; at a quarter of the size the border is at 9.25 pixels.
    label = np.zeros((64, 64), np.uint8)
    label[:, 37:] = 1
    small = preprocess.resize_binary(label, (16, 16))
    # Sample c lies between columns 4c+1 and 4c+2: both 38 and 37 are foreground for c = 9.
    assert small.dtype == np.uint8 and small[0].tolist() == [0] * 9 + [1] * 7
    # Enlarged, a lone pixel becomes a diamond: where the two-way mean exceeds one half.
    lone = np.zeros((5, 5), np.uint8)
    lone[2, 2] = 1
    large = preprocess.resize_binary(lone, (20, 20))
    assert large.sum() == 12 and (large == large.T).all() and (large == large[::-1, ::-1]).all()
    label[:8] = VOID
    assert (preprocess.resize_binary(label, (16, 16))[:2] == VOID).all()
    assert set(np.unique(preprocess.resize_binary(label, (16, 16))[2:])) == {0, 1}


def test_the_label_rule_is_the_dataset_s():
    # Single pixels where the nearest rule looks; the mean of the 2 x 2 pixels around is a quarter.
    dots = np.zeros((64, 64), np.uint8)
    dots[2::4, 2::4] = 1
    image, options = np.zeros((64, 64, 3), np.uint8), Data("isic2018", height=16, width=16)
    ((_, nearest),) = preprocess.cut_crops(image, dots, "a", options)
    ((_, mean),) = preprocess.cut_crops(image, dots, "a", options, "bilinear")
    assert nearest.all() and not mean.any()


def test_a_stack_is_its_slices():
    image = np.arange(12 * 16 * 16, dtype=np.uint16).astype(np.uint8).reshape(12, 16, 16, 1)
    label = image[..., 0] // 64
    found = list(preprocess.iterate_slices(image, label, "p"))
    # Padded: "p#010" comes after "p#009", as in the stack.
    assert [name for name, _, _ in found] == sorted(f"p#{i:03d}" for i in range(12))
    assert all((found[i][1] == image[i]).all() and (found[i][2] == label[i]).all() for i in range(12))
    ((name, one, truth),) = preprocess.iterate_slices(image[0], label[0], "p")
    assert name == "p" and (one == image[0]).all() and (truth == label[0]).all()


def test_a_split_that_the_dataset_lacks(tmp_path):
    options = dataclasses.replace(SMALL, split="scenes")
    fails(options, tmp_path / "cache", ErrorCode.UNKNOWN, "data.split")


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pack.default_cache() == tmp_path / "imjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert pack.default_cache() == tmp_path / "local" / "imjax"
