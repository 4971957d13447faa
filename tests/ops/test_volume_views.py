"""Views of volumes: what moves together, and in which plane."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from imjax.ops import views
from imjax.ops.augment import AugmentStrength, blur

quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
KEYS = jax.random.split(jax.random.key(0), 200)
NEVER = views.AugmentProbabilities(0.0, 0.0, 0.0, 0.0, 0.0)
VOLUME = np.random.default_rng(0).integers(60, 200, (3, 8, 8, 1), np.uint8)
LABEL = VOLUME[..., 0] // np.uint8(50)


STRENGTH = AugmentStrength(3, 20, 0.4, 20.0)


@quick
def weak_views(volume, label, chances, strength):
    def one(key):
        return views.make_weak_view(key, volume, label, chances, strength, rotation_invariant=True)

    return jax.lax.map(one, KEYS)


def weak(chances, strength=STRENGTH):
    return map(np.asarray, weak_views(VOLUME, LABEL, chances, strength))


def test_all_slices_move_alike_and_in_their_plane():
    found, labels = weak(NEVER._replace(flip=0.5, rotate=0.5))
    np.testing.assert_array_equal(found[..., 0] // 50, labels)
    moves = {
        np.rot90(np.flip(VOLUME, axes), turns, (1, 2)).tobytes(): (axes, turns)
        for axes in ((), (1,))
        for turns in range(4)
    }
    # The eight moves of a square; slices stay in their order.
    assert len(moves) == 8 and {one.tobytes() for one in found} == set(moves)


def test_one_gain_and_offset_for_the_volume():
    found, labels = weak(NEVER._replace(contrast=1.0), AugmentStrength(0, 0, 0.0, 20.0))
    shifts = found[..., 0].astype(int) - VOLUME[..., 0]
    assert (shifts == shifts[:, :1, :1, :1]).all() and len(np.unique(shifts)) > 10
    assert (labels == LABEL).all()


def test_the_blur_stays_within_a_slice():
    found, _ = weak(NEVER._replace(blur=1.0), AugmentStrength(1, 0, 0.0, 0.0))
    for z in range(3):
        np.testing.assert_array_equal(found[0, z], blur(jnp.asarray(VOLUME[z]), jnp.int32(1)))


def test_noise_is_another_one_in_each_slice():
    found, _ = weak(NEVER._replace(noise=1.0))
    shifts = found[0, ..., 0].astype(int) - VOLUME[..., 0]
    assert 20 < abs(shifts).max() <= 3.5 * 20 and not (shifts[0] == shifts[1]).all()


def test_labels_of_several_channels_move_too():
    several = np.stack([LABEL, 9 - LABEL], -1)
    never = jax.tree.map(np.float32, NEVER._replace(flip=1.0))
    one = quick(functools.partial(views.make_weak_view, rotation_invariant=True))
    found, labels = one(KEYS[0], VOLUME, several, never, AugmentStrength(0, 0, 0.0, 0.0))
    np.testing.assert_array_equal(labels, several[:, ::-1, ::-1])
    np.testing.assert_array_equal(found, VOLUME[:, ::-1, ::-1])


def test_strong_views_of_volumes_keep_their_place():
    chances = views.AugmentProbabilities(1.0, 1.0, 1.0, 0.0, 0.0)
    # Three channels of a volume are not taken for colors: one gain and offset for all.
    rgb = np.repeat(VOLUME, 3, -1)
    found = np.asarray(quick(views.make_strong_view)(KEYS[0], rgb, chances, AugmentStrength(0, 0, 0.0, 20.0)))
    shifts = found.astype(int) - rgb
    assert shifts.shape == (3, 8, 8, 3) and (shifts == shifts[0, 0, 0, 0]).all() and shifts.any()


def test_cutmix_of_volumes():
    mask = np.zeros((3, 8, 8), bool)
    mask[:, 2:5, 3:] = True
    mixed = np.asarray(views.cutmix(*map(jnp.asarray, (mask, VOLUME, 0 * VOLUME))))
    np.testing.assert_array_equal(mixed[..., 0], np.where(mask, 0, VOLUME[..., 0]))
