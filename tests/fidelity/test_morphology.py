"""Order of size, decision and morphology of an inconsistency mask (methods.md 1.3), by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import inconsistency


def binary(agreed, disputed, erode, dilate):
    """Two nets on 12×12 pixels that agree on `agreed` rows of 4 pixels and differ on a square of a side."""
    members = np.zeros((2, 12, 12), np.uint8)
    members[:, :agreed, :4] = 1
    members[0, 5 : 5 + disputed, 5 : 5 + disputed] = 1
    return inconsistency.make_pseudo_label(
        "binary", jnp.asarray(members), classes=2, erode=erode, dilate=dilate
    )


# Foreground, IM before morphology, kernels, IM after it, kept.
SIZE_AND_KEEP = [
    (3, 3, 0, 0, 9, True),
    # 12 > 9: kept. The dilated IM of 25 pixels would drop it.
    (3, 3, 0, 3, 25, True),
    # 8 < 9: dropped. The eroded IM of 1 pixel would keep it.
    (2, 3, 3, 0, 1, False),
    (2, 3, 3, 3, 9, False),
    (2, 3, 5, 0, 0, False),
]


@pytest.mark.parametrize(("rows", "side", "erode", "dilate", "after", "keep"), SIZE_AND_KEEP)
def test_size_and_keep_are_taken_before_morphology(rows, side, erode, dilate, after, keep):
    pair = binary(rows, side, erode, dilate)
    assert (int(pair.size), bool(pair.keep)) == (side**2, keep)
    assert int(pair.inconsistent.sum()) == after


def test_hela_erodes_the_union_of_the_channels():
    # The nets differ on rows 3..5 in channel 0 and on rows 6..8 in channel 1, each in the columns 3..8. Their
    # union is a square of 6×6: eroded by 5, a square of 2×2 is left. Each channel by itself would vanish.
    members = np.zeros((2, 12, 12, 2), np.uint8)
    members[0, 3:6, 3:9, 0] = 1
    members[0, 6:9, 3:9, 1] = 1
    pair = inconsistency.make_pseudo_label("multilabel", jnp.asarray(members), classes=2, erode=5)
    expected = np.zeros((12, 12), bool)
    expected[5:7, 5:7] = True
    np.testing.assert_array_equal(pair.inconsistent, expected)
    # The size is the sum over the channels.
    assert int(pair.size) == 36


# Without morphology, pixel by pixel: votes of the nets, label, IM.
CONSENSUS = [
    ("binary", (1, 1, 1), 1, False),
    ("binary", (1, 0, 1), 0, True),
    ("binary", (0, 0, 0), 0, False),
    ("multiclass", (3, 3, 3), 3, False),
    ("multiclass", (3, 3, 2), 0, True),
    # Two channels: a pixel is inconsistent if one of them is, and the other keeps its label.
    ("multilabel", ((1, 1), (1, 1), (1, 1)), [1, 1], False),
    ("multilabel", ((1, 0), (1, 1), (1, 1)), [1, 0], True),
    ("multilabel", ((0, 0), (0, 0), (0, 0)), [0, 0], False),
]


@pytest.mark.parametrize(("kind", "votes", "label", "inconsistent"), CONSENSUS)
def test_consensus(kind, votes, label, inconsistent):
    members = jnp.asarray(votes, jnp.uint8)[:, None, None]
    pair = inconsistency.make_pseudo_label(kind, members, classes=4)
    assert (pair.label[0, 0].tolist(), bool(pair.inconsistent[0, 0])) == (label, inconsistent)
