"""Views by statistics and invariants, color jitter and boxes against slow twins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import views
from imjax.ops.augment import AugmentStrength, add_gaussian_noise

# Without optimization programs compile in a quarter of the time, and these run for milliseconds.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
N = 400
KEYS = jax.random.split(jax.random.key(0), N)
# Floats and N keys everywhere, and three shapes of image: other types and sizes would compile anew.
NEVER = views.AugmentProbabilities(0.0, 0.0, 0.0, 0.0, 0.0)
STRENGTH = AugmentStrength(3, 20, 0.4, 20.0)
NONE = AugmentStrength(0, 0, 0.0, 0.0)


def random_image(shape=(8, 8, 1)):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@functools.partial(quick, static_argnums=3)
def weak_views(image, chances, strength, rotation_invariant):
    def one(key):
        return views.make_weak_view(
            key, image, image[..., 0], chances, strength, rotation_invariant=rotation_invariant
        )

    return jax.lax.map(one, KEYS)


@quick
def strong_views(image, chances, strength):
    return jax.lax.map(lambda key: views.make_strong_view(key, image, chances, strength), KEYS)


def weak(image, chances, strength=STRENGTH, rotation_invariant=True):
    """N weak views; the label is the first channel, and must move like the image."""
    return map(np.asarray, weak_views(image, chances, strength, rotation_invariant))


def strong(image, chances, strength=STRENGTH):
    """N strong views."""
    return np.asarray(strong_views(image, chances, strength))


def orientations(image, chances, rotation_invariant=True):
    """How often each orientation of the image occurs among N weak views, by its bytes."""
    seen = {}
    for one, label in zip(*weak(image, chances, rotation_invariant=rotation_invariant), strict=True):
        np.testing.assert_array_equal(one[..., 0], label)
        seen[one.tobytes()] = seen.get(one.tobytes(), 0) + 1
    return seen


@pytest.mark.parametrize(
    "chances,strength", [(NEVER, STRENGTH), (views.AugmentProbabilities(0.0, 0.0, 1.0, 1.0, 1.0), NONE)]
)
def test_nothing_acts_with_chance_zero_or_without_strength(chances, strength):
    for shape in ((8, 8, 1), (8, 8, 3)):
        image = random_image(shape)
        assert (strong(image, chances, strength) == image).all()
    image = random_image()
    images, labels = weak(image, chances, strength)
    assert (images == image).all() and (labels == image[..., 0]).all()


def test_flips_act_with_their_chance_each():
    image = random_image()
    seen = orientations(image, NEVER._replace(flip=0.4))
    # 400 draws: none with .36, one with .24 each, both with .16; standard deviations below 10.
    assert len(seen) == 4
    for turned, count in (image, 144), (image[:, ::-1], 96), (image[::-1], 96), (image[::-1, ::-1], 64):
        assert abs(seen[turned.tobytes()] - count) < 45


def test_turns_act_with_their_chance_and_are_then_uniform():
    image = random_image()
    seen = orientations(image, NEVER._replace(rotate=0.6))
    counts = [seen.pop(np.rot90(image, q).tobytes()) for q in range(4)]
    # 160 stay, 80 at each other angle; standard deviations 10 and 8.
    assert not seen and abs(counts[0] - 160) < 50 and max(abs(c - 80) for c in counts[1:]) < 40


def test_without_rotation_invariant_only_mirrored():
    image = random_image()
    seen = orientations(image, NEVER._replace(flip=1.0, rotate=1.0), rotation_invariant=False)
    assert seen == {image[:, ::-1].tobytes(): N}


def test_oblong_images_turn_by_half():
    image = random_image((6, 9, 1))
    seen = orientations(image, NEVER._replace(rotate=1.0))
    assert seen == {image[::-1, ::-1].tobytes(): N}


def test_multilabel_labels_move_too():
    image = random_image((6, 9, 1)).repeat(2, -1)
    run = quick(functools.partial(views.make_weak_view, rotation_invariant=True))
    for key in KEYS[:4]:
        moved, label = run(key, image, image, NEVER._replace(flip=0.5, rotate=0.5), STRENGTH)
        np.testing.assert_array_equal(moved, label)


@pytest.mark.parametrize("field", ["contrast", "noise", "blur"])
def test_photometry_acts_with_its_chance(field):
    # Gray beside black; contrast may, rarely, round to no change. 400 draws of .3: 120, deviation 9.2.
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, :4] = 128
    chances = NEVER._replace(**{field: 0.3})
    moved, labels = weak(image, chances)
    assert (labels == image[..., 0]).all()
    for got in (moved, strong(image, chances)):
        assert abs((got != image).any((1, 2, 3)).sum() - 120) < 46


def test_a_blur_that_acts_blurs():
    dot = np.zeros((8, 8, 1), np.uint8)
    dot[4, 4] = 255
    peaks, counts = np.unique(strong(dot, NEVER._replace(blur=1.0))[:, 4, 4], return_counts=True)
    # Radii 1, 2, 3 evenly, never 0: 133 each, standard deviation 9.4.
    assert len(peaks) == 3 and peaks.max() < 128 and abs(counts - 133).max() < 47


def test_gain_and_offset_lie_in_their_range():
    gray = np.full((8, 8, 1), 100, np.uint8)
    got = strong(gray, NEVER._replace(contrast=1.0)).astype(int)[:, 0, 0, 0]
    # 100·(1 ± .4) ± 20; mean 100, deviation √(40² + 20²)/√3 = 25.8.
    assert 40 <= got.min() < 52 and 148 < got.max() <= 160
    assert abs(got.mean() - 100) < 6 and abs(got.std() - 25.8) < 4


def test_strong_views_keep_the_geometry():
    ramp = np.add.outer(8 * np.arange(8), 18 * np.arange(8))[..., None].repeat(3, -1).astype(np.uint8)
    less = STRENGTH._replace(max_noise=10)
    for view in strong(ramp, views.AugmentProbabilities(1.0, 1.0, 1.0, 1.0, 1.0), less)[:40]:
        # A mirrored one correlates by .67 at most: (18² − 8²)/(18² + 8²).
        assert np.corrcoef(view.ravel().astype(float), ramp.ravel().astype(float))[0, 1] > 0.75


def test_colors_change_in_strong_views_of_rgb_only():
    # A gain alone keeps the ratio of red to blue, up to rounding; saturation does not.
    image = np.full((8, 8, 3), (140, 100, 60), np.uint8)
    only, gain = NEVER._replace(contrast=1.0), AugmentStrength(0, 0, 0.3, 0.0)
    views_of = {"weak": next(weak(image, only, gain)), "strong": strong(image, only, gain)}
    ratio = {name: x[:, 0, 0, 0] / x[:, 0, 0, 2] for name, x in views_of.items()}
    np.testing.assert_allclose(ratio["weak"], 140 / 60, rtol=0.03)
    assert ratio["strong"].std() > 0.1


def test_vmap_equals_single_views():
    image, always = random_image(), views.AugmentProbabilities(1.0, 1.0, 1.0, 1.0, 1.0)
    run = jax.vmap(
        functools.partial(views.make_weak_view, rotation_invariant=True), in_axes=(0, None, None, None, None)
    )
    together = quick(run)(KEYS, image, image[..., 0], always, STRENGTH)
    for view, alone in zip(together, weak(image, always), strict=True):
        np.testing.assert_array_equal(view, alone)
    assert len({x.tobytes() for x in np.asarray(together[0])}) > N - 5


jitter = jax.jit(views.color_jitter)


def slow_jitter(image, contrast, saturation):
    luma = np.array([0.299, 0.587, 0.114])
    mean = np.mean([pixel @ luma for pixel in image.reshape(-1, 3).astype(np.float64)])
    out = np.zeros(image.shape)
    for at in np.ndindex(*image.shape[:2]):
        pixel = mean + contrast * (image[at].astype(np.float64) - mean)
        out[at] = (1 - saturation) * (pixel @ luma) + saturation * pixel
    return np.clip(out, 0, 255)


@pytest.mark.parametrize("contrast,saturation", [(1.0, 1.0), (1.4, 1.0), (1.0, 0.6), (0.7, 1.3)])
def test_color_jitter_slow_twin(contrast, saturation):
    image = random_image((5, 6, 3))
    got = np.asarray(jitter(image, contrast, saturation))
    assert np.abs(got - slow_jitter(image, contrast, saturation)).max() < 0.51
    if contrast == saturation == 1:
        np.testing.assert_array_equal(got, image)


def test_color_jitter_extremes_by_hand():
    # One red and one blue pixel: grays 76.245 and 29.07, mean 52.66.
    image = jnp.array([[[255, 0, 0], [0, 0, 255]]], jnp.uint8)
    assert jitter(image, 1.0, 0.0).tolist() == [[[76] * 3, [29] * 3]]
    assert jitter(image, 0.0, 1.0).tolist() == [[[53] * 3] * 2]


boxes = quick(jax.vmap(lambda key, chance: views.cutmix_box(key, (40, 60), chance), in_axes=(0, None)))


def test_boxes_are_boxes_of_the_wanted_sizes_inside_the_image():
    shares, aspects = [], []
    for mask in np.asarray(boxes(KEYS, 1.0)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        shares.append(mask.mean())
        aspects.append((len(rows) / 40) / (len(columns) / 60))
    # Uniform in .02...4, mean .21; a side that is cut to the image and whole pixels change it a little.
    assert 0.01 < min(shares) < 0.04 and 0.36 < max(shares) < 0.42 and abs(np.mean(shares) - 0.21) < 0.03
    assert min(aspects) > 0.22 and max(aspects) < 4 and min(aspects) < 0.45 and max(aspects) > 2.8


def test_boxes_reach_every_edge_and_have_their_chance():
    masks = np.asarray(boxes(KEYS, 1.0))
    assert masks.any((1, 2)).all() and all(masks[:, row].any() for row in (0, -1))
    assert all(masks[:, :, column].any() for column in (0, -1))
    # Symmetric in place: upper and lower half are covered alike, left and right too.
    cover = masks.mean(0)
    assert abs(cover[:20].mean() - cover[20:].mean()) < 0.04
    assert abs(cover[:, :30].mean() - cover[:, 30:].mean()) < 0.04
    # 400 draws of .5: 200, standard deviation 10.
    assert abs(boxes(KEYS, 0.5).any((1, 2)).sum() - 200) < 50
    assert not boxes(KEYS, 0.0).any()


def test_cutmix_takes_the_other_inside_the_box():
    mask = jnp.zeros((4, 5), bool).at[1:3, 2:].set(True)
    for shape in ((4, 5), (4, 5, 3), (4, 5, 2, 2)):
        x, other = jnp.zeros(shape, jnp.uint8), jnp.full(shape, 9, jnp.uint8)
        got = np.asarray(views.cutmix(mask, x, other))
        assert (got[np.asarray(mask)] == 9).all() and not got[~np.asarray(mask)].any()
        # The two mixtures share every pixel out between them.
        np.testing.assert_array_equal(got + np.asarray(views.cutmix(mask, other, x)), np.full(shape, 9))


def test_gaussian_noise_is_clipped_but_the_image_is_not():
    noisy = quick(views.gaussian_noise)
    got = np.asarray(noisy(jax.random.key(0), jnp.full((60, 60, 3), 255, jnp.uint8)))
    noise = got - 1
    assert got.dtype == np.float32 and got.max() > 1.15
    assert abs(noise).max() == pytest.approx(0.2, abs=1e-6)
    # 10800 draws: 4.55 % lie beyond two sigma and are clipped there; standard deviation .096 after that.
    assert abs((abs(noise) > 0.1999).mean() - 0.0455) < 0.01
    assert abs(noise.mean()) < 0.005 and abs(noise.std() - 0.096) < 0.003
    # Floats are taken as they are.
    again = noisy(jax.random.key(0), jnp.ones((60, 60, 3)))
    np.testing.assert_allclose(again, got, rtol=3e-7)


def test_noise_of_views_is_gaussian_in_gray_levels():
    image = jnp.full((200, 200, 3), 128, jnp.uint8)
    noise = np.asarray(add_gaussian_noise(jax.random.key(0), image, 10.0), np.float64) - 128
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 10) < 0.1
    # Of normal draws 68.3 % lie within σ and 95.4 % within 2 σ; rounding widens both by half a level.
    for bound, share in ((10, 0.706), (20, 0.960)):
        assert abs((abs(noise) <= bound).mean() - share) < 0.02
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(add_gaussian_noise(jax.random.key(0), image, 0.0), image)
    assert np.asarray(add_gaussian_noise(jax.random.key(1), 0 * image, 50.0)).min() == 0
