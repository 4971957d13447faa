"""Geometry, gain and offset, noise, and their order (methods.md 1.8): values that agreed from the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import augment

# Gray level, gain, offset, saturate(|gain·x + offset|) rounded half to even.
LEVELS = [
    (100, 1.5, 10.0, 160),
    (200, 1.5, 0.0, 255),
    (10, 1.0, -20.0, 10),
    (5, 0.5, 0.0, 2),
    (7, 0.5, 0.0, 4),
]


@pytest.mark.parametrize(("level", "gain", "offset", "expected"), LEVELS)
def test_gain_and_offset(level, gain, offset, expected):
    image = jnp.full((1, 1, 1), level, jnp.uint8)
    assert int(augment.gain_offset(image, gain, offset)[0, 0, 0]) == expected


# Upside down, mirrored, counter-clockwise quarter turns: what becomes of [[1, 2], [3, 4]].
GEOMETRIES = [
    ((False, False, 0), [[1, 2], [3, 4]]),
    ((True, False, 0), [[3, 4], [1, 2]]),
    ((False, True, 0), [[2, 1], [4, 3]]),
    ((False, False, 1), [[2, 4], [1, 3]]),
    ((False, False, 2), [[4, 3], [2, 1]]),
    ((True, True, 1), [[3, 1], [4, 2]]),
]


@pytest.mark.parametrize(("geometry", "expected"), GEOMETRIES)
def test_geometry(geometry, expected):
    found = augment.Geometry(*geometry).apply(jnp.array([[1, 2], [3, 4]], jnp.uint8))
    assert found.tolist() == expected


def test_noise_is_uniform_without_its_upper_end():
    image = jnp.full((64, 64, 1), 128, jnp.uint8)
    found = np.asarray(augment.add_noise(jax.random.key(0), image, 5)).astype(int) - 128
    # Ten values from −5 to 4, 410 pixels each.
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == list(range(-5, 5)) and np.abs(counts - 410).max() < 100


def test_order_of_copies_and_of_views():
    # A bright image, noise ±5, offsets up to +100. Copies get noise last, so that it shows; views get it
    # first, and a large offset then takes all of it to 255.
    image, strength = jnp.full((8, 8, 1), 250, jnp.uint8), augment.AugmentStrength(0, 5, 0.0, 100.0)
    keys = jax.random.split(jax.random.key(0), 64)
    label = image[..., 0]

    def copy(key):
        return augment.augment(key, image, label, strength, rotation_invariant=False)[0]

    copies = np.asarray(jax.jit(jax.vmap(copy))(keys)).reshape(64, -1)
    views = np.asarray(jax.jit(jax.vmap(lambda k: augment.perturb(k, image, strength)))(keys)).reshape(64, -1)
    assert (copies.std(1) > 0).all()
    # With probability ½ an offset is drawn, and 45 % of those exceed +10.
    assert 5 <= (views == 255).all(1).sum() <= 27
