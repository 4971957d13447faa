"""How the published sets are cut, resized and divided (methods.md 1.9), by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config import get_config
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Data
from imjax.data import pack, preprocess
from imjax.data.readers import hela, registry, suim
from imjax.errors import ErrorCode

# Dataset: label, image, and what becomes of a crop that is larger than the image.
RULES = {
    "cityscapes": ("corner", "bilinear", "square"),
    "suim": ("corner", "bilinear", "whole"),
    "isic2018": ("bilinear", "bilinear", "square"),
    # Never resized at the published size.
    "hela": ("nearest", "area", "square"),
}


@pytest.mark.parametrize("dataset", RULES)
def test_resampling_rules(dataset):
    spec = registry.spec(dataset)
    assert (spec.label_resize, spec.image_resize, spec.oversized_crop) == RULES[dataset]


# One row of five pixels to one: pixel ⌊0 · 5⌋ and the middle; to two: ⌊0 · 2.5⌋ and ⌊1 · 2.5⌋, and those
# at the middles 0.75 and 3.25.
NEAREST = [(1, [10], [30]), (2, [10, 30], [20, 40])]


@pytest.mark.parametrize(("size", "corner", "middle"), NEAREST)
def test_nearest_rules(size, corner, middle):
    row = np.array([[10, 20, 30, 40, 50]], np.uint8)
    assert preprocess.resize_label_at_corners(row, (1, size))[0].tolist() == corner
    assert preprocess.resize_label(row, (1, size))[0].tolist() == middle


def test_images_are_sampled_bilinearly_and_not_averaged():
    # Ten columns to two: samples at 2 and 7, and 0 elsewhere; the mean over five would be 50.
    image = np.zeros((10, 10, 1), np.uint8)
    image[:, [2, 7]] = 250
    assert np.unique(preprocess.resize_image(image, (2, 2), "bilinear")).tolist() == [250]
    assert np.unique(preprocess.resize_image(image, (2, 2), "area")).tolist() == [50]


def test_cityscapes_is_resized_as_opencv_does():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (80, 160, 3)).astype(np.uint8)
    label = draw.integers(1, 35, (80, 160)).astype(np.uint8)
    options = Data("cityscapes", height=16, width=32)
    ((small, ids),) = preprocess.cut_crops(image, label, "a", options, *RULES["cityscapes"])
    np.testing.assert_array_equal(small, cv2.resize(image, (32, 16), interpolation=cv2.INTER_LINEAR))
    np.testing.assert_array_equal(ids, label[::5, ::5])


def spans(shape, rule):
    """Height and width of 600 random crops of an image that shows its own coordinates."""
    rows, columns = np.indices(shape)
    options = Data("suim", random_crops=600)
    image = np.zeros((*shape, 3), np.uint8)
    found = []
    for coordinate in (rows, columns):
        label = (coordinate // 4).astype(np.uint8)
        crops = preprocess.cut_crops(image, label, "a", options, "corner", "bilinear", rule)
        found.append([4 * (int(y.max()) - int(y.min()) + 1) for _, y in crops])
    return np.array(found).T


def test_a_crop_larger_than_the_image_is_the_whole_image():
    found = spans((480, 640), "whole")
    whole = (np.abs(found - [480, 640]) <= 8).all(1)
    # Sides from 256 to 512: 32 of 257 exceed 480.
    assert whole.mean() == pytest.approx(32 / 257, abs=0.04)
    # The others are squares.
    assert np.abs(np.diff(found[~whole])).max() <= 8
    squares = spans((480, 640), "square")
    assert np.abs(np.diff(squares)).max() <= 8 and squares.max() <= 480 + 8


# Channel values of a pixel of the mask, class.
COLORS = [((0, 0, 0), 1), ((0, 0, 128), 2), ((127, 127, 127), 1), ((128, 128, 128), 8), ((255, 100, 200), 6)]


def test_suim_channels_are_cut_at_128():
    colors = np.zeros((10, 10, 3), np.uint8)
    colors[0, : len(COLORS)] = [color for color, _ in COLORS]
    found = suim.decode(colors, Path("m"))
    assert found[0, : len(COLORS)].tolist() == [name for _, name in COLORS]


# Image, overlap, side: crops of the published grid, distinct ones, crops of ours.
GRIDS = [((520, 696), 0.6, 256, 35, 24, 24), ((256, 256), 0.6, 256, 4, 1, 1)]


@pytest.mark.parametrize(("shape", "overlap", "side", "published", "distinct", "ours"), GRIDS)
def test_grid_of_hela(shape, overlap, side, published, distinct, ours):
    windows = preprocess.tile_corners(shape, overlap, side, repeat=True)
    assert (len(windows), len(set(windows))) == (published, distinct)
    assert len(preprocess.tile_corners(shape, overlap, side)) == ours


# Length of an axis, where the published windows of 256 begin: ⌊i · length / n⌋, n = round(length / 102.4), at
# most length − 256.
STARTS = [(520, [0, 104, 208, 264, 264]), (696, [0, 99, 198, 298, 397, 440, 440])]


@pytest.mark.parametrize(("length", "starts"), STARTS)
def test_places_of_the_published_grid_of_hela(length, starts):
    assert preprocess.repeated_starts(length, 256, 0.6) == starts


def write_hela(raw, height, width):
    """Four training images, and one each for val and test, without cells."""
    for part, count in (("train_full", 4), ("val", 1), ("test", 1)):
        for folder in hela.FOLDERS:
            (raw / part / folder).mkdir(parents=True)
            for i in range(count):
                image = np.full((height, width), 40 if folder == hela.IMAGES else 0, np.uint8)
                cv2.imwrite(str(raw / part / folder / f"{part}_{i}.png"), image)
    return raw


@pytest.mark.parametrize("by_crop", [False, True])
def test_split_of_hela(by_crop, tmp_path):
    raw = write_hela(tmp_path / "raw", 130, 150)
    options = Data(
        "hela", str(raw), height=64, width=64, tile_overlap=0.6, label_fraction=0.25, by_crop=by_crop
    )
    packed = pack.load_packed(pack.prepare_dataset(options, tmp_path / "cache"))
    labeled, unlabeled = (packed.splits[name] for name in ("labeled", "unlabeled"))
    common = set(labeled.sources) & set(unlabeled.sources)
    assert bool(common) == by_crop
    assert bool(packed.manifest["common_sources"]["labeled & unlabeled"]) == by_crop
    images = len(set(labeled.sources) | set(unlabeled.sources))
    # round(130/25.6) = 5 rows and round(150/25.6) = 6 columns, against 0 … 66 and 0 … 86 in 4 and 5.
    per_image = 30 if by_crop else 20
    assert len(labeled.names) + len(unlabeled.names) == per_image * images
    if by_crop:
        assert len(labeled.names) == round(0.25 * per_image * images)
    else:
        assert len(labeled.names) == per_image * max(1, round(0.25 * images))
    # Validation and test keep their images for themselves, and the grid is theirs too.
    for name in ("val", "test"):
        assert not set(packed.splits[name].sources) & (set(labeled.sources) | set(unlabeled.sources))


def test_by_crop_needs_a_grid(tmp_path):
    config = get_config("hela", "im")
    assert not config.data.by_crop
    config.data.by_crop = True
    check(freeze(config.to_dict()))
    config.data.tile_overlap = 0.0
    with raises_user_error(ErrorCode.CONFLICT, "data.by_crop"):
        check(freeze(config.to_dict()))
