"""Images that come one by one: same results as at once, one shape compiled, few taken ahead."""

import numpy as np
import pytest

from imjax.training import runtime
from imjax.training.ensemble_parallel import Members

FACTORS = np.arange(1, 4, dtype=np.float32)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9])
def test_every_image_in_order_in_batches_of_one_shape(count):
    members, shapes, taken = Members(3), [], []

    def function(factor, batch):
        shapes.append(batch["image"].shape)
        return {"mean": factor * batch["image"].mean((1, 2, 3))}

    def images():
        for i in range(count):
            taken.append(i)
            yield np.full((2, 3, 1), i, np.uint8)

    said = runtime.stream(members, members.map(function), members.shard(FACTORS), images(), 4)
    found = []
    for one in said:
        found.append(one["mean"])
        # What is being predicted, and one batch ahead.
        assert len(taken) <= 4 * ((len(found) - 1) // 4 + 2)
    wanted = np.outer(np.arange(count), FACTORS)
    assert np.array_equal(np.reshape(found, wanted.shape), wanted)
    assert set(shapes) == ({(min(count, 4), 2, 3, 1)} if count else set())
