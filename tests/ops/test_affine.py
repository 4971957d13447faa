"""Zoom and turn against a slow twin; limits and bounds by many draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from imjax.ops import affine

KEYS = jax.random.split(jax.random.key(0), 64)
# Without optimization programs compile in a quarter of the time, and these run for milliseconds.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def random_pair(*shape):
    draw = np.random.default_rng(0)
    return (
        jnp.asarray(draw.integers(0, 256, (*shape, 3), np.uint8)),
        jnp.asarray(draw.integers(0, 4, shape, np.uint8)),
    )


@quick
def moved(image, label, zoom, turn):
    return jax.lax.map(lambda key: affine.random_zoom_and_turn(key, image, label, zoom, turn), KEYS)


def mirror(index, length):
    """The pixel that an index beyond the border shows, its edge not repeated."""
    index = abs(index) % (2 * (length - 1))
    return min(index, 2 * (length - 1) - index)


def test_pixels_are_those_of_a_slow_twin():
    image, label = random_pair(5, 7)
    key = KEYS[3]
    rows, columns = affine._draw_coordinates(key, (5, 7), 1.5, 30.0)
    found_image, found_label = affine.random_zoom_and_turn(key, image, label, 1.5, 30.0)
    for at in np.ndindex(5, 7):
        y, x = float(rows[at]), float(columns[at])
        total = 0.0
        for i in (int(np.floor(y)), int(np.floor(y)) + 1):
            for j in (int(np.floor(x)), int(np.floor(x)) + 1):
                weight = (1 - abs(y - i)) * (1 - abs(x - j))
                total += weight * image[mirror(i, 5), mirror(j, 7)].astype(float)
        np.testing.assert_allclose(found_image[at], total, atol=0.51)
        assert found_label[at] == label[mirror(round(y), 5), mirror(round(x), 7)]


def test_nothing_moves_without_zoom_and_turn():
    image, label = random_pair(6, 8)
    images, labels = moved(image, label, 1.0, 0.0)
    assert (np.asarray(images) == image).all() and (np.asarray(labels) == label).all()


def test_an_enlarged_window_lies_within_the_image_and_sizes_are_even_in_the_logarithm():
    coordinates = quick(jax.vmap(lambda key: jnp.stack(affine._draw_coordinates(key, (9, 13), 2.0, 0.0))))
    grids = np.asarray(coordinates(KEYS))
    steps = grids[:, 0, 1, 0] - grids[:, 0, 0, 0]
    assert 0.5 <= steps.min() < 0.6 and 1.7 < steps.max() <= 2 and 0.35 < (steps < 1).mean() < 0.65
    enlarged = grids[steps < 1]
    assert enlarged.min() >= -0.5 and (enlarged.max((0, 2, 3)) <= [8.5, 12.5]).all()


def test_all_slices_of_a_volume_and_all_channels_of_a_label_move_alike():
    image, label = random_pair(6, 6)
    volume, labels = jnp.stack([image, image]), jnp.stack([label, label])
    found, found_labels = affine.random_zoom_and_turn(KEYS[0], volume, labels, 1.5, 20.0)
    one, one_label = affine.random_zoom_and_turn(KEYS[0], image, label, 1.5, 20.0)
    _, channels = affine.random_zoom_and_turn(KEYS[0], image, jnp.stack([label, label], -1), 1.5, 20.0)
    assert (found == one).all() and (found_labels == one_label).all()
    assert (channels == one_label[..., None]).all()
