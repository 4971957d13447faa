"""Objects of a prediction against those of the ground truth: who is found, missed and made up.

As published by Caicedo et al. 2019, "Evaluation of Deep Learning Strategies for Nucleus Segmentation in
Fluorescence Images" (Cytometry A 95), and as StarDist counts (Schmidt et al. 2018): a predicted and a true
object match where their intersection over union reaches a threshold, each with one partner at most.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from imjax.evaluation.object_numbers import renumber

THRESHOLD = 0.5


class ObjectMatches(NamedTuple):
    """Numbers of objects of an image, or added up over several."""

    matched: int
    """True objects that are found."""
    missed: int
    """True objects without a partner."""
    spurious: int
    """Predicted objects without a partner."""

    @property
    def f1(self) -> float:
        """2 matched / (2 matched + missed + spurious); 1 where there are no objects in either."""
        total = 2 * self.matched + self.missed + self.spurious
        return 2 * self.matched / total if total else 1.0


def match_objects(
    truth: Integer[np.ndarray, "*shape"],
    prediction: Integer[np.ndarray, "*shape"],
    threshold: float = THRESHOLD,
) -> ObjectMatches:
    """Match the objects of two label images of one shape, 0 where there is none.

    Above one half no object has two partners to choose from. At or below it as many pairs are made as
    possible.

    Args:
        truth, prediction: numbers of objects, any but 0, gaps allowed.
        threshold: intersection over union from which two objects match, above 0.
    """
    true, found = renumber(truth).ravel(), renumber(prediction).ravel()
    sizes = np.bincount(true), np.bincount(found)
    pairs, overlap = np.unique(true * len(sizes[1]) + found, return_counts=True)
    rows, columns = np.divmod(pairs, len(sizes[1]))
    union = sizes[0][rows] + sizes[1][columns] - overlap
    good = (rows > 0) & (columns > 0) & (overlap >= threshold * union)
    shape = len(sizes[0]), len(sizes[1])
    graph = sparse.csr_matrix((np.ones(good.sum(), bool), (rows[good], columns[good])), shape)
    matched = int((maximum_bipartite_matching(graph) >= 0).sum())
    return ObjectMatches(matched, len(sizes[0]) - 1 - matched, len(sizes[1]) - 1 - matched)


def add_matches(matches: list[ObjectMatches]) -> ObjectMatches:
    """The sums over images."""
    return ObjectMatches(*(sum(numbers) for numbers in zip(*matches, strict=True))) if matches else NONE


NONE = ObjectMatches(0, 0, 0)
