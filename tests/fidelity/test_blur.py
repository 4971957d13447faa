"""The blur is OpenCV's with σ = 0: fixed kernels of side 3, 5 and 7 (methods.md 1.8)."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import augment

# Radius, what a single bright row of 224 gray levels becomes: 224 · kernel.
KERNELS = [
    (0, [224]),
    (1, [56, 112, 56]),
    (2, [14, 56, 84, 56, 14]),
    (3, [7, 24.5, 49, 63, 49, 24.5, 7]),
]


@pytest.mark.parametrize(("radius", "kernel"), KERNELS)
def test_kernels(radius, kernel):
    image = np.zeros((15, 15, 1), np.uint8)
    image[7] = 224
    column = np.asarray(augment.blur(jnp.asarray(image), jnp.int32(radius)))[:, 7, 0]
    # 24.5 is rounded up.
    np.testing.assert_array_equal(column[7 - radius : 8 + radius], np.floor(np.array(kernel) + 0.5))
    assert not column[: 7 - radius].any() and not column[8 + radius :].any()


@pytest.mark.parametrize(("radius", "formula"), [(1, 1), (2, 2), (3, 2)])
def test_within_one_level_of_opencv_and_off_its_formula(radius, formula):
    """Largest difference to OpenCV with σ = 0, and at least so much to OpenCV with the σ of its formula."""
    image = np.random.default_rng(radius).integers(0, 256, (40, 40, 1)).astype(np.uint8)
    image[10:30, 10:30] = (image[10:30, 10:30] > 127) * np.uint8(255)
    size = (2 * radius + 1,) * 2
    found = np.asarray(augment.blur(jnp.asarray(image), jnp.int32(radius)))[..., 0].astype(int)
    fixed = cv2.GaussianBlur(image, size, 0, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(found - fixed).max() <= 1
    sigma = 0.3 * (radius - 1) + 0.8
    other = cv2.GaussianBlur(image, size, sigma, borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(found - other).max() > formula
