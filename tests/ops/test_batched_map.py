from __future__ import annotations

import jax
import numpy as np
import pytest

from imjax.ops.batched_map import map_images, one_ahead


def tripled(base, row, label, *, negative):
    return {"row": base + 3 * row, "sum": label.sum() * (-1 if negative else 1)}


@pytest.mark.parametrize("n", [0, 1, 4, 5, 8, 11])
def test_every_image_comes_back_in_its_place(n):
    rows, labels = np.arange(3 * n, dtype=np.int32).reshape(n, 3), np.ones((n, 2, 2), np.int32)
    found = map_images(tripled, rows, labels, shared=(np.int32(7),), batch=4, negative=True)
    np.testing.assert_array_equal(found["row"], 7 + 3 * rows)
    np.testing.assert_array_equal(found["sum"], np.full(n, -4))
    assert found["row"].dtype == np.int32


def test_images_draw_from_typed_keys():
    keys = jax.random.split(jax.random.key(1), 5)
    drawn = map_images(_draw, keys, np.arange(5), shared=(jax.random.key(2),), batch=2)
    expected = [jax.random.bits(key) + i + jax.random.bits(jax.random.key(2)) for i, key in enumerate(keys)]
    np.testing.assert_array_equal(drawn, np.array(expected))


def _draw(shared_key, key, number):
    return jax.random.bits(key) + number.astype("uint32") + jax.random.bits(shared_key)


def test_one_call_is_under_way_while_a_result_is_taken():
    begun = []

    def calls():
        for i in range(4):
            begun.append(i)
            yield i

    assert [(result, len(begun)) for result in one_ahead(calls())] == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert list(one_ahead([])) == []
