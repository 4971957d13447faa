"""Objects matched by intersection over union: by hand, and against a slow twin."""

import itertools

import numpy as np
import pytest

from imjax.evaluation.object_matching import ObjectMatches, add_matches, match_objects


def test_by_hand():
    truth = np.array([[1, 1, 0, 7, 7, 7]])
    # Half of the first, which is enough; a third of the second, which is not.
    assert match_objects(truth, np.array([[5, 0, 0, 0, 0, 3]])) == (1, 1, 1)
    assert match_objects(truth, np.array([[5, 0, 0, 0, 0, 3]]), 0.6) == (0, 2, 2)
    # Two halves of one object have one partner between them.
    assert match_objects(np.array([[4, 4]]), np.array([[1, 2]])) == (1, 0, 1)
    assert match_objects(np.zeros((2, 2), int), np.zeros((2, 2), np.uint16)).f1 == 1.0
    assert match_objects(np.zeros((2, 2), int), np.ones((2, 2), int)) == (0, 0, 1)
    assert ObjectMatches(3, 1, 0).f1 == pytest.approx(6 / 7)
    assert add_matches([ObjectMatches(1, 0, 2), ObjectMatches(2, 1, 0)]) == (3, 1, 2)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(6))
def test_against_every_assignment(seed, threshold):
    draw = np.random.default_rng(seed)
    truth, found = (np.repeat(draw.integers(0, 5, (4, 4)), 2, 0) for _ in range(2))
    found = np.where(draw.random(found.shape) < 0.6, truth, found)
    true, objects = (np.setdiff1d(each, [0]) for each in (truth, found))

    def overlaps(i, j):
        return ((truth == i) & (found == j)).sum() / ((truth == i) | (found == j)).sum() >= threshold

    padded = [*objects.tolist(), *[-1] * len(true)]
    most = max(
        sum(j >= 0 and overlaps(i, j) for i, j in zip(true, chosen, strict=True))
        for chosen in set(itertools.permutations(padded, len(true)))
    )
    matches = match_objects(truth, found, threshold)
    assert matches == (most, len(true) - most, len(objects) - most)
