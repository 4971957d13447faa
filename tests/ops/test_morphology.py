"""Morphology against OpenCV, whose default border is the contract."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import morphology


def random_mask(seed, share=0.5, shape=(17, 23)):
    return np.random.default_rng(seed).random(shape) < share


@pytest.mark.parametrize("size", [0, 1, 3, 5, 7])
def test_erode_and_dilate_are_opencv(size):
    kernel = np.ones((max(size, 1),) * 2, np.uint8)
    mask = random_mask(size, 0.8)
    np.testing.assert_array_equal(
        morphology.erode(mask_ := jnp.asarray(mask), size), cv2.erode(mask.astype(np.uint8), kernel)
    )
    sparse = random_mask(size, 0.1)
    np.testing.assert_array_equal(
        morphology.dilate(jnp.asarray(sparse), size), cv2.dilate(sparse.astype(np.uint8), kernel)
    )
    assert mask_.dtype == bool


def test_border_does_not_erode():
    assert morphology.erode(jnp.ones((4, 5), bool), 3).all()


def test_dilate_classes_is_the_gray_dilation_of_opencv():
    labels = np.random.default_rng(0).integers(0, 9, (12, 9)).astype(np.uint8)
    np.testing.assert_array_equal(
        morphology.dilate_classes(jnp.asarray(labels), 3), cv2.dilate(labels, np.ones((3, 3), np.uint8))
    )


@pytest.mark.parametrize("size", [2, 4, -1])
def test_sizes_without_a_center_are_refused(size):
    with pytest.raises(ValueError, match=str(size)):
        morphology.erode(jnp.ones((4, 4), bool), size)


@pytest.mark.parametrize(
    "by_choice,static",
    [
        (morphology.erode_by_choice, morphology.erode),
        (morphology.dilate_by_choice, morphology.dilate),
    ],
)
def test_traced_sizes_equal_static_ones(by_choice, static):
    mask = jnp.asarray(random_mask(1, 0.6))
    traced = jax.jit(by_choice)
    for size in morphology.CHOICES:
        np.testing.assert_array_equal(traced(mask, jnp.int32(size)), static(mask, size))
        np.testing.assert_array_equal(by_choice(mask, size), static(mask, size))


def test_traced_sizes_under_vmap():
    masks = jnp.stack([jnp.asarray(random_mask(i, 0.7)) for i in range(3)])
    got = jax.vmap(morphology.erode_by_choice)(masks, jnp.array([0, 3, 5]))
    for one, mask, size in zip(got, masks, (0, 3, 5), strict=True):
        np.testing.assert_array_equal(one, morphology.erode(mask, size))
