"""Images of any size to the packed one: padded in the middle, or cut into a grid."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack, preprocess
from imjax.data.spec import VOID
from imjax.errors import ErrorCode

OPTIONS = Data("folder", height=16, width=32)


@pytest.mark.parametrize(
    ("shape", "where"),
    [
        # Smaller: as it is, (16 − 7) // 2 = 4 rows above and (32 − 10) // 2 = 11 columns before.
        ((7, 10), (4, 11, 7, 10)),
        ((16, 32), (0, 0, 16, 32)),
        # 40 rows to 16 is a factor of 0.4: 24 columns of 60, and 4 before them.
        ((40, 60), (0, 4, 16, 24)),
        # 128 columns to 32 is a factor of a quarter: 2.5 rows, rounded to the even 2, of 10.
        ((10, 128), (7, 0, 2, 32)),
        ((1, 320), (7, 0, 1, 32)),
    ],
)
def test_where_a_padded_image_lies(shape, where):
    assert preprocess.centered_placement(shape, (16, 32)) == where


@pytest.mark.parametrize("planes", [(), (2,)])
def test_padding_mirrors_the_image_and_voids_the_label(planes):
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (7, 10, 3), dtype=np.uint8)
    label = draw.integers(0, 2, (7, 10, *planes), dtype=np.uint8)
    options = dataclasses.replace(OPTIONS, resize_mode="pad")
    ((wide, truth),) = preprocess.cut_crops(image, label, "a", options)
    assert wide.shape == (16, 32, 3) and truth.shape == (16, 32, *planes)

    # A slow twin: rows count down to the border, and its pixel comes twice.
    def mirrored(i, length):
        i %= 2 * length
        return i if i < length else 2 * length - 1 - i

    for y in range(16):
        for x in range(32):
            expected = image[mirrored(y - 4, 7), mirrored(x - 11, 10)]
            assert (wide[y, x] == expected).all()
    outside = np.ones((16, 32), bool)
    outside[4:11, 11:21] = False
    assert (truth[outside] == VOID).all() and (truth[4:11, 11:21] == label).all()


def test_a_grid_without_overlap_is_every_pixel_once():
    image = np.arange(32 * 48, dtype=np.uint16).astype(np.uint8).reshape(32, 48, 1).repeat(3, -1)
    options = Data("folder", height=16, width=16, resize_mode="crop")
    found = list(preprocess.cut_crops(image, image[..., 0], "a", options))
    assert len(found) == preprocess.count_crops((32, 48), options) == 6
    rows = [np.concatenate([label for _, label in found[i : i + 3]], axis=1) for i in (0, 3)]
    assert (np.concatenate(rows) == image[..., 0]).all()


def test_drawn_crops_come_before_the_grid():
    options = Data("folder", height=16, width=16, resize_mode="crop", random_crops=3)
    image = np.zeros((40, 40, 3), np.uint8)
    assert len(list(preprocess.cut_crops(image, image[..., 0], "a", options))) == 3 and not options.is_grid


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"resize_mode": "stretch"}, ErrorCode.OUT_OF_RANGE),
        ({"resize_mode": "pad", "random_crops": 2}, ErrorCode.CONFLICT),
    ],
)
def test_bad_fits(changes, code, tmp_path):
    with raises_user_error(code, "data.resize_mode"):
        pack.prepare_dataset(dataclasses.replace(OPTIONS, **changes), tmp_path)
