"""Which candidates make the pairs that EvalNets learn from."""

import numpy as np

from imjax.pipeline.evalnet_stage import _draw_members


def test_two_to_four_different_candidates_per_image():
    # Candidate m labels every pixel of image i with 10·i + m.
    labels = (10 * np.arange(50)[None, :] + np.arange(6)[:, None])[..., None, None].astype(np.int32)
    drawn = _draw_members(np.random.default_rng(0), labels, 2, 4)
    assert drawn.shape == (50, 4, 1, 1)
    sizes = []
    for i, row in enumerate(drawn[..., 0, 0]):
        assert set(row // 10) == {i}
        sizes.append(len(set(row)))
    assert set(sizes) == {2, 3, 4}
    # Each of the six is drawn about as often.
    counts = np.bincount(drawn[:, :2, 0, 0].ravel() % 10, minlength=6)
    assert counts.min() > 5


def test_fewer_candidates_than_asked_for_are_all_drawn():
    labels = np.arange(2)[:, None, None, None] * np.ones((2, 3, 1, 1), int)
    drawn = _draw_members(np.random.default_rng(0), labels, 2, 4)
    assert drawn.shape == (3, 2, 1, 1) and all(set(row.ravel()) == {0, 1} for row in drawn)
