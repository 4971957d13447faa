"""Augmentation against OpenCV, numpy and statistics."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import augment as aug

pytestmark = pytest.mark.optimized
NOTHING = aug.AugmentStrength(0, 0, 0.0, 0.0)
STRONG = aug.AugmentStrength(jnp.int32(3), jnp.int32(25), jnp.float32(0.5), jnp.float32(25))


def random_image(seed=0, shape=(24, 24, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(24, 24, 3), (13, 20, 1), (4, 5, 3)])
def test_blur_is_opencv_within_one_level(radius, shape):
    image = random_image(radius, shape)
    size = 2 * radius + 1
    # σ = 0: OpenCV's fixed kernels, and not those of its formula for σ.
    wanted = cv2.GaussianBlur(image, (size, size), 0, borderType=cv2.BORDER_REFLECT_101).reshape(shape)
    got = np.asarray(jax.jit(aug.blur)(jnp.asarray(image), jnp.int32(radius)))
    assert np.abs(got.astype(int) - wanted).max() <= (1 if radius else 0)
    # Halves are common with these weights, and each of the two passes rounds them up, OpenCV's once.
    assert np.abs(got.astype(int) - wanted).mean() < 0.45


def test_blur_keeps_flat_images_and_refuses_tiny_ones():
    for level in (0, 1, 128, 255):
        flat = jnp.full((8, 9, 3), level, jnp.uint8)
        np.testing.assert_array_equal(aug.blur(flat, jnp.int32(3)), flat)
    with pytest.raises(ValueError, match="3×8"):
        aug.blur(jnp.zeros((3, 8, 1), jnp.uint8), jnp.int32(1))


@pytest.mark.parametrize("gain,offset", [(1.0, 0.0), (0.5, -25.0), (1.5, 25.0), (-0.25, 10.0), (0.5, 0.0)])
def test_gain_and_offset_are_opencv(gain, offset):
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    wanted = cv2.convertScaleAbs(image, alpha=gain, beta=offset).reshape(image.shape)
    np.testing.assert_array_equal(aug.gain_offset(jnp.asarray(image), gain, offset), wanted)


def test_noise_is_uniform_and_independent():
    gray = jnp.full((200, 200, 3), 100, jnp.uint8)
    noise = np.asarray(aug.add_noise(jax.random.key(0), gray, 10)).astype(int) - 100
    values, counts = np.unique(noise, return_counts=True)
    assert values.tolist() == list(range(-10, 10))
    # 120000 draws over 20 values: 6000 each, standard deviation 75; 5 of them are allowed.
    assert np.abs(counts - 6000).max() < 380
    # Neighbors, channels and another key: correlations have standard deviation 1/√40000 = 0.005.
    other = np.asarray(aug.add_noise(jax.random.key(1), gray, 10)).astype(int) - 100
    near = [(noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 1], noise[..., 0])]
    for a, b in (*near, (noise, other)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.025


def test_noise_saturates():
    black = aug.add_noise(jax.random.key(0), jnp.zeros((50, 50, 1), jnp.uint8), 25)
    white = aug.add_noise(jax.random.key(0), jnp.full((50, 50, 1), 255, jnp.uint8), 25)
    assert int(black.max()) == 24 and int(white.min()) == 230


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_flips_and_rotations_are_numpys_and_invert(vertical, horizontal, turns):
    geometry = aug.Geometry(jnp.asarray(vertical), jnp.asarray(horizontal), jnp.asarray(turns))
    for before in (random_image(), random_image(1)[..., 0]):
        after = jax.jit(aug.Geometry.apply)(geometry, before)
        wanted = before[::-1] if vertical else before
        wanted = wanted[:, ::-1] if horizontal else wanted
        np.testing.assert_array_equal(after, np.rot90(wanted, turns))
        np.testing.assert_array_equal(jax.jit(aug.Geometry.invert)(geometry, after), before)


@functools.cache
def batched(rotation_invariant):
    run = functools.partial(aug.augment, rotation_invariant=rotation_invariant)
    return jax.jit(jax.vmap(run, in_axes=(0, None, None, None)))


def orientations(image, rotation_invariant, n=600):
    """How often each orientation of `image` occurs among n augmented copies, by its bytes."""
    keys = jax.random.split(jax.random.key(3), n)
    images, labels = batched(rotation_invariant)(keys, image, image[..., 0], NOTHING)
    seen = {}
    for one, label in zip(np.asarray(images), np.asarray(labels), strict=True):
        np.testing.assert_array_equal(one[..., 0], label)  # label and image get the same geometry
        seen[one.tobytes()] = seen.get(one.tobytes(), 0) + 1
    return seen


def test_zero_strength_and_rotation_invariant_give_the_eight_orientations_evenly():
    image = random_image(shape=(8, 8, 1))
    seen = orientations(image, True)
    turned = [np.rot90(flipped, q) for flipped in (image, image[::-1]) for q in range(4)]
    assert set(seen) == {x.tobytes() for x in turned}
    # 600 draws over 8: 75 each, standard deviation 8.1.
    assert min(seen.values()) > 40 and max(seen.values()) < 110


def test_without_rotation_invariant_only_mirrored():
    image = random_image(shape=(8, 8, 1))
    seen = orientations(image, False)
    assert set(seen) == {image.tobytes(), image[:, ::-1].tobytes()}
    assert min(seen.values()) > 230


def test_oblong_images_keep_their_shape():
    image = random_image(shape=(6, 9, 1))
    assert set(orientations(image, True)) == {
        x.tobytes() for x in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])
    }


def test_multilabel_labels_move_with_the_image():
    image = jnp.asarray(random_image(shape=(8, 8, 3)))
    for seed in range(6):
        moved, label = aug.augment(jax.random.key(seed), image, image, NOTHING, rotation_invariant=True)
        np.testing.assert_array_equal(moved, label)


def test_photometry_leaves_the_labels_values_alone():
    image, label = random_image(), random_image(1)[..., 0]
    keys = jax.random.split(jax.random.key(0), 16)
    images, labels = batched(True)(keys, image, label, STRONG)
    assert len({x.tobytes() for x in np.asarray(images)}) == 16
    for one in np.asarray(labels):
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(label.ravel()))


def test_gain_is_applied_to_half_of_the_images_within_its_range():
    # Gray 100, gain ± 0.5 only: levels 50..150, untouched half of the time.
    gray, strength = jnp.full((8, 8, 1), 100, jnp.uint8), aug.AugmentStrength(0, 0, 0.5, 0.0)
    keys = jax.random.split(jax.random.key(0), 600)
    levels = np.asarray(batched(False)(keys, gray, gray[..., 0], strength)[0])[:, 0, 0, 0].astype(int)
    assert levels.min() in range(50, 54) and levels.max() in range(147, 151)
    # 600 draws of 1/2 (and 1/100 that lands on 100): standard deviation 12.
    assert 240 < (levels == 100).sum() < 365
    changed = levels[levels != 100]
    assert abs(changed.mean() - 100) < 7 and abs(changed.std() - 50 / np.sqrt(3)) < 3


def test_blur_radii_are_uniform_up_to_the_largest():
    dot = np.zeros((8, 8, 1), np.uint8)
    dot[3:5, 3:5] = 255  # central, so that mirroring leaves it
    peaks = {int(aug.blur(jnp.asarray(dot), jnp.int32(r))[4, 4, 0]): r for r in range(4)}
    keys = jax.random.split(jax.random.key(0), 600)
    images, _ = batched(False)(keys, dot, dot[..., 0], aug.AugmentStrength(2, 0, 0.0, 0.0))
    radii = np.bincount([peaks[int(x)] for x in np.asarray(images)[:, 4, 4, 0]], minlength=4)
    # 200 each, standard deviation 11.5; radius 3 never.
    assert radii[3] == 0 and np.abs(radii[:3] - 200).max() < 60


def test_perturb_keeps_the_geometry_and_zero_is_identity():
    image = random_image()
    run = jax.jit(aug.perturb)
    np.testing.assert_array_equal(run(jax.random.key(0), image, NOTHING), image)
    # A ramp that no flip or rotation leaves as it is: down by 2, to the right by 5 a pixel.
    ramp = np.add.outer(2 * np.arange(24), 5 * np.arange(24))[..., None].repeat(3, -1).astype(np.uint8)
    for seed in range(8):
        view = np.asarray(run(jax.random.key(seed), ramp, STRONG))
        assert (view != ramp).any()
        assert (
            np.corrcoef(view.ravel().astype(float), ramp.ravel().astype(float))[0, 1] > 0.8
        )  # flipped: at most 0.72


def test_perturb_ends_with_gain_and_offset():
    # After noise on black the levels are 0..24; only a contrast step that comes last can move all 0s at once.
    black = jnp.zeros((20, 20, 1), jnp.uint8)
    strength = aug.AugmentStrength(0, 25, 0.0, 100.0)
    run = jax.jit(aug.perturb)
    lows = {int(run(jax.random.key(s), black, strength).min()) for s in range(12)}
    assert 0 in lows and max(lows) > 24


def test_vmap_equals_single_runs_and_strengths_do_not_recompile():
    keys = jax.random.split(jax.random.key(5), 16)
    image = jnp.asarray(random_image())
    run = batched(True)
    images, labels = run(keys, image, image[..., 0], STRONG)
    before = run._cache_size()
    run(keys, image, image[..., 0], jax.tree.map(lambda x: x // 2, STRONG))
    assert run._cache_size() == before
    alone = jax.jit(functools.partial(aug.augment, rotation_invariant=True))
    for key, one, label in zip(keys, images, labels, strict=True):
        single = alone(key, image, image[..., 0], STRONG)
        np.testing.assert_array_equal(single[0], one)
        np.testing.assert_array_equal(single[1], label)
