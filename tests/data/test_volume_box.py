"""Volumes in boxes of another size, by hand and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import volume_box
from imjax.data.readers import registry
from imjax.data.spec import VOID
from imjax.errors import ErrorCode


def test_padded_and_cut_by_hand():
    # Depth 1 of 2: nothing before, one slice behind. Height 5 of 2: (5 − 2) // 2 = 1 row off the top, the odd
    # one off the bottom. Width 3 as it is.
    label = np.arange(15, dtype=np.uint8).reshape(1, 5, 3)
    image = label[..., None] + np.uint8(100)
    found, moved = volume_box.pad_or_crop(image, label, (2, 2, 3))
    assert moved[0].tolist() == [[3, 4, 5], [6, 7, 8]] and (moved[1] == VOID).all()
    assert found[0, ..., 0].tolist() == [[103, 104, 105], [106, 107, 108]] and (found[1] == 0).all()
    # Width 3 of 6: one column before, two behind.
    assert volume_box.pad_or_crop(image, label, (1, 5, 6))[1][0, 0].tolist() == [VOID, 0, 1, 2, VOID, VOID]


@pytest.mark.parametrize("larger", [(4, 7, 6), (5, 8, 9)])
def test_a_larger_box_is_taken_back_by_a_smaller_one(larger):
    label = np.random.default_rng(0).integers(0, 3, (4, 5, 6, 2), np.uint8)
    image = np.random.default_rng(1).integers(0, 256, (4, 5, 6, 1), np.uint8)
    grown = volume_box.pad_or_crop(image, label, larger)
    assert grown[0].shape == (*larger, 1) and grown[1].shape == (*larger, 2)
    assert (grown[1] == VOID).sum() == 2 * (np.prod(larger) - 120) and volume_box.cropped_foreground_voxels(
        label, larger
    ) == 0
    back = volume_box.pad_or_crop(*grown, (4, 5, 6))
    # An odd difference falls on the far end both times, so that the middle stays where it was.
    assert (back[0] == image).all() and (back[1] == label).all()


def test_what_is_cut_off_is_counted():
    label = np.zeros((1, 4, 4), np.uint8)
    label[0, 0, :3], label[0, 1, 1] = 1, 2
    label[0, 3, 3] = VOID
    # Of three and one object voxels the middle 2×2 holds the one.
    assert (
        volume_box.cropped_foreground_voxels(label, (1, 2, 2)) == 3
        and volume_box.cropped_foreground_voxels(label, (1, 4, 4)) == 0
    )


@pytest.mark.parametrize(
    ("dataset", "changes", "field"),
    [
        ("la", {}, "data.depth"),
        ("acdc", {"depth": 16}, "data.depth"),
        ("la", {"depth": 16, "random_crops": 2}, "data.random_crops"),
        ("la", {"depth": 16, "tile_overlap": 0.5}, "data.tile_overlap"),
    ],
)
def test_boxes_are_for_volumes(dataset, changes, field):
    with raises_user_error(ErrorCode.CONFLICT, field):
        volume_box.check_box(Data(dataset, **changes), registry.spec(dataset))
