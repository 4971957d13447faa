"""Random parts by a slow twin, by statistics and at their limits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops.patches import random_patch

# Every voxel says where it is, so that a part says where it was taken.
SIDES = (3, 5, 6)
IMAGE = np.arange(np.prod(SIDES), dtype=np.uint8).reshape(*SIDES, 1)
KEYS = jax.random.split(jax.random.key(0), 600)


@functools.partial(jax.jit, static_argnums=2)
def patches(image, label, size):
    return jax.vmap(lambda key: random_patch(key, image, label, size))(KEYS)


def twin(image, start, size):
    """The part that starts there, voxel by voxel."""
    out = np.zeros((*size, *image.shape[3:]), image.dtype)
    for place in np.ndindex(*size):
        out[place] = image[tuple(np.add(start, place))]
    return out


def test_parts_are_those_of_the_twin_and_every_place_is_as_likely():
    size = (2, 4, 3)
    label = np.stack([IMAGE[..., 0], 255 - IMAGE[..., 0]], -1)
    found, moved = map(np.asarray, patches(IMAGE, label, size))
    starts = np.stack(np.unravel_index(found[:, 0, 0, 0, 0], SIDES), 1)
    for i in range(40):
        np.testing.assert_array_equal(found[i], twin(IMAGE, starts[i], size))
        np.testing.assert_array_equal(moved[i], twin(label, starts[i], size))
    # 2·2·4 = 16 places, 37.5 of 600 draws each: five standard deviations are 30.
    places, counts = np.unique(starts, axis=0, return_counts=True)
    assert len(places) == 16 and places.max(0).tolist() == [1, 1, 3] and (abs(counts - 37.5) < 30).all()


def test_images_and_labels_of_two_axes():
    image = IMAGE[0]
    found, label = map(np.asarray, patches(image, image[..., 0], (2, 2)))
    assert found.shape == (600, 2, 2, 1)
    np.testing.assert_array_equal(found[..., 0], label)


def test_the_whole_is_a_part():
    found, label = patches(IMAGE, IMAGE[..., 0], SIDES)
    assert (np.asarray(found) == IMAGE).all() and (np.asarray(label) == IMAGE[..., 0]).all()


@pytest.mark.parametrize("size", [(2, 6, 3), (5, 6)])
def test_what_is_no_part(size):
    with pytest.raises(ValueError, match="expected a part of it"):
        random_patch(jax.random.key(0), jnp.asarray(IMAGE), jnp.asarray(IMAGE[..., 0]), size)
