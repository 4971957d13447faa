from __future__ import annotations

import functools
import itertools
import json
import shutil

import cv2
import numpy as np
import pytest
from complaints import assert_complaint
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack, preprocess
from imjax.data.readers import hela, registry
from imjax.data.synthetic import writers
from imjax.errors import ErrorCode
from imjax.evaluation import cell_count

READER = hela.Hela()

complains = functools.partial(assert_complaint, READER)


def gray(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_spec():
    spec = registry.spec("hela")
    assert spec.kind == "multilabel" and spec.classes == ("alive", "dead", "position") and spec.outputs == 3
    assert spec.channels == 1 and spec.rotation_invariant and spec.counts_cells and not spec.reserved
    assert spec.target_scale == (1, 1, 3) and spec.dilate_channels == (0, 1)
    assert spec.detection_shares == (0.01, 0.01, 0.001)
    assert spec.selection_metric == "loss" and spec.primary_metric == "miou_ad"
    assert registry.DEFAULTS["hela"]["tile_overlap"] == 0.6


def test_what_was_written_is_read(hela_raw):
    parts = READER.scan(hela_raw)
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 4, "val": 2, "test": 2}
    for sample in itertools.chain(*parts.values()):
        image, label = READER.load(sample)
        assert image.shape == (96, 128, 1) and label.shape == (96, 128, 3)
        assert image.dtype == label.dtype == np.uint8 and set(np.unique(label)) == {0, 1}
        folder = sample.image.parents[1]
        files = [gray(folder / name / sample.image.name) for name in hela.FOLDERS]
        np.testing.assert_array_equal(image[..., 0], files[0])
        np.testing.assert_array_equal(label[..., 0], files[1] // 255)
        np.testing.assert_array_equal(label[..., 1], files[2] // 255)
        dots = cell_count.find_marks(files[3] // 255, erode=False)
        np.testing.assert_array_equal(label[..., 2], cell_count.draw_discs(dots, (96, 128)))
        # Every cell of the scene is found again, as what it is.
        alive, dead = cell_count.count_cells(label)
        assert alive + dead == len(dots) > 5 and alive and dead


def test_mod_position_is_not_read(hela_raw):
    shutil.copytree(hela_raw / "val" / "alive", hela_raw / "val" / "mod_position")
    (hela_raw / "val" / "mod_position" / "stray.png").write_bytes(b"no image")
    assert len(READER.scan(hela_raw)["val"]) == 2


def test_masks_above_ten_in_gray_or_color(hela_raw):
    path = hela_raw / "test" / "dead" / "test_00000.png"
    mask = np.zeros((96, 128), np.uint8)
    mask[0, :3] = 10, 11, 255
    cv2.imwrite(str(path), mask)
    _, label = READER.load(READER.scan(hela_raw)["test"][0])
    assert label[0, :3, cell_count.DEAD].tolist() == [0, 1, 1] and label[..., cell_count.DEAD].sum() == 2
    cv2.imwrite(str(path), np.repeat(mask[..., None], 3, axis=-1))
    np.testing.assert_array_equal(READER.load(READER.scan(hela_raw)["test"][0])[1], label)


def test_real_layout(real):
    root = real / "hela_format_fixture"
    parts = READER.scan(root)
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 4, "val": 1, "test": 1}
    for sample in itertools.chain(*parts.values()):
        image, label = READER.load(sample)
        assert image.shape == (520, 696, 1) and label.shape == (520, 696, 3)
        ours = label[..., cell_count.POSITION]
        theirs = (gray(sample.image.parents[1] / "mod_position" / sample.image.name) > 10).astype(np.uint8)
        # Theirs have radii and middles that are no whole numbers, taken from the nuclei, not from marks that
        # the border may cut: rims differ, by up to 9 % of the pixels, but no disc is lost or moved.
        assert (ours != theirs).sum() < 0.1 * ours.sum()
        near = np.ones((5, 5), np.uint8)
        for one, other in ((ours, theirs), (theirs, ours)):
            assert (one & (1 - cv2.dilate(other, near))).sum() <= 3
        assert sum(cell_count.count_cells(label)) == len(cell_count.find_marks(theirs, erode=True))


def test_missing_folder(hela_raw, tmp_path):
    complains(tmp_path / "nothing", ErrorCode.MISSING, "train_full/brightfield")
    shutil.rmtree(hela_raw / "val" / "dead")
    complains(hela_raw, ErrorCode.MISSING, "val/dead")


@pytest.mark.parametrize("folder", hela.FOLDERS)
def test_missing_one_of_four(hela_raw, folder):
    path = hela_raw / "train_full" / folder / "train_00002.png"
    path.unlink()
    others = [name for name in hela.FOLDERS if name != folder]
    complains(hela_raw, ErrorCode.MISSING, f"train_full/{others[0]}/train_00002.png")


def test_empty_part(hela_raw):
    for path in (hela_raw / "test").glob("*/*.png"):
        path.unlink()
    complains(hela_raw, ErrorCode.MISSING, "test/brightfield")


@pytest.mark.parametrize("folder", cell_count.CLASSES)
def test_sizes_differ(hela_raw, folder):
    path = hela_raw / "train_full" / folder / "train_00000.png"
    cv2.imwrite(str(path), np.zeros((96, 120), np.uint8))
    complains(hela_raw, ErrorCode.CONFLICT, path)


@pytest.mark.parametrize("folder", hela.FOLDERS)
def test_truncated(hela_raw, folder):
    path = hela_raw / "test" / folder / "test_00001.png"
    path.write_bytes(path.read_bytes()[:-60])
    complains(hela_raw, ErrorCode.DAMAGED, path)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Images larger than a crop, of which one has another size."""
    raw = tmp_path_factory.mktemp("large") / "hela"
    writers.write_synthetic("hela", raw, {"train": 3, "val": 1, "test": 1}, size=(300, 420))
    for folder in hela.FOLDERS:
        path = raw / "test" / folder / "test_00000.png"
        cv2.imwrite(str(path), gray(path)[:256, :300])
    return raw


def options(raw, **changes) -> Data:
    return Data(
        "hela",
        str(raw),
        **({"height": 256, "width": 256, "tile_overlap": 0.6, "label_fraction": 0.4} | changes),
    )


def test_pack_and_load_with_overlap(large, tmp_path):
    root = pack.prepare_dataset(options(large), tmp_path)
    packed = pack.load_packed(root)
    # Step 102. 300 rows: 0, 44; 420 columns: 0, 102, 164; 256 rows: 0; 300 columns: 0, 44.
    assert {name: len(s.images) for name, s in packed.splits.items()} == {
        "labeled": 6, "unlabeled": 12, "val": 6, "test": 2,
    }  # fmt: skip
    for part, samples in READER.scan(large).items():
        for sample in samples:
            (split,) = [s for s in packed.splits.values() if sample.source in s.sources]
            rows = [i for i, source in enumerate(split.sources) if source == sample.source]
            image, label = READER.load(sample)
            windows = preprocess.tile_corners(image.shape[:2], 0.6, 256)
            assert [split.names[i] for i in rows] == [f"{sample.name}#{j}" for j in range(len(windows))], part
            for i, (top, left, side) in zip(rows, windows, strict=True):
                area = np.s_[top : top + side, left : left + side]
                np.testing.assert_array_equal(split.images[i], image[area])
                np.testing.assert_array_equal(split.labels[i], label[area])
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["data"]["tile_overlap"] == 0.6 and packed.spec == hela.SPEC
    sources = [set(s.sources) for s in packed.splits.values()]
    assert sum(map(len, sources)) == len(set().union(*sources)) == 5
    assert not any(manifest["common_sources"].values())
    other = pack.prepare_dataset(options(large), tmp_path / "elsewhere")
    for file in root.rglob("*.*"):
        assert file.read_bytes() == (other / file.relative_to(root)).read_bytes()


def test_crops_have_the_packed_size_and_nothing_is_resized(large, tmp_path):
    packed = pack.load_packed(pack.prepare_dataset(options(large, height=64, width=64), tmp_path))
    # Step 26. 300 rows: 0, 26 … 234, 236; 420 columns: 0, 26 … 338, 356.
    assert packed.splits["val"].images.shape == (11 * 15, 64, 64, 1)
    image, _ = READER.load(READER.scan(large)["val"][0])
    np.testing.assert_array_equal(packed.splits["val"].images[-1], image[236:300, 356:420])
    assert set(np.unique(packed.splits["val"].labels)) == {0, 1}


def test_whole_images_without_overlap(hela_raw, tmp_path):
    packed = pack.load_packed(
        pack.prepare_dataset(options(hela_raw, height=96, width=128, tile_overlap=0.0), tmp_path)
    )
    assert packed.splits["val"].names == ("val_00000", "val_00001")


def test_a_changed_mask_is_packed_anew(hela_raw, tmp_path):
    roots = [pack.prepare_dataset(options(hela_raw), tmp_path / "cache")]
    path = hela_raw / "val" / "position" / "val_00000.png"
    cv2.imwrite(str(path), np.zeros((96, 128), np.uint8))
    roots.append(pack.prepare_dataset(options(hela_raw), tmp_path / "cache"))
    assert roots[0] != roots[1]


def test_one_name_on_two_sides(hela_raw, tmp_path):
    for folder in hela.FOLDERS:
        there = hela_raw / "test" / folder
        shutil.copy(hela_raw / "val" / folder / "val_00000.png", there)
    with raises_user_error(ErrorCode.CONFLICT, "val_00000"):
        pack.prepare_dataset(options(hela_raw), tmp_path / "cache")


@pytest.mark.parametrize("method", ["add", "finish"])
def test_full_disk_is_one_line(large, tmp_path, monkeypatch, method):
    def full(self, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"imjax.data.split_writer.ArrayWriter.{method}", full)
    cache = tmp_path / "cache"
    with raises_user_error(ErrorCode.UNWRITABLE, cache) as info:
        pack.prepare_dataset(options(large), cache)
    # As if all of a split were like its first: 4 images of 6 crops and one of 2, of 256² with an image and
    # 3 maps.
    line = str(info.value)
    assert "No space left" in line and f"{26 * 4 * 2**16 / 2**20:.0f} MiB" in line and "\n" not in line
    assert list(cache.iterdir()) == []
