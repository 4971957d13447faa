"""The ranking of candidates by the primary metric."""

import numpy as np

from imjax.pipeline.rank_candidates import Evaluation, rank_candidates


def test_dropped_candidates_come_last_whatever_their_metric():
    metrics = [{("iou", ""): value} for value in (0.5, 0.9, np.nan, 0.5, 0.7)]
    evaluation = Evaluation(np.zeros((5, 1, 2, 2), np.uint8), metrics)
    none = np.zeros(5, bool)
    rank = lambda dropped: rank_candidates("iou", evaluation, dropped)  # noqa: E731
    assert rank(none) == [1, 4, 0, 3, 2]
    assert rank(np.array([False, True, False, False, True])) == [0, 3, 2, 1, 4]
