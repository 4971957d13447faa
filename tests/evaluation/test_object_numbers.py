"""Numbers of objects as 1 to n."""

import numpy as np
import pytest

from imjax.evaluation.object_numbers import renumber


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([[0, 7, 7], [300, 0, 9]], [[0, 1, 1], [3, 0, 2]]),
        ([[4, 4], [2, 9]], [[2, 2], [1, 3]]),  # full of objects
        ([[0, 0]], [[0, 0]]),
        ([[5]], [[1]]),
    ],
)
def test_numbers_follow_their_order_and_0_stays(labels, wanted):
    assert renumber(np.array(labels, np.uint16)).tolist() == wanted
