"""How the methods label one image, on nets whose logits are written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational import consistency, input_ensemble
from imjax.methods.registry import GENERATIONAL_METHODS
from imjax.ops import augment

ENSEMBLE = Ensemble(blur=0, noise=0, contrast=0.0, brightness=0.0, members=2, tta_views=3)
MASK = Mask(erode=0, dilate=0, zero_image=True, zero_label=True, require_same_classes=False)
BINARY = DatasetSpec("b", "b", "binary", ("x",), ((1, 1, 1),), rotation_invariant=True)
CLASSES = DatasetSpec("m", "m", "multiclass", ("a", "b", "c"), ((0, 0, 0),) * 3)


def labeled(method, spec, nets, image, ensemble=ENSEMBLE):
    """What the method's labeler makes of one image, by nets that are functions of a batch of images."""
    labeler = GENERATIONAL_METHODS[method].labeler(spec, ensemble, MASK)
    keys = jax.random.split(jax.random.key(0), 1)
    batch = {"image": jnp.asarray(image)[None], "key": keys}
    seen = [jax.tree.map(lambda leaf: leaf[0], labeler.predict(net, batch)) for net in nets]
    return labeler.aggregate(jax.tree.map(lambda *leaves: jnp.stack(leaves), *seen))


def constant(logits):
    return lambda images: jnp.asarray(logits, jnp.float32)[None]


IMAGE = np.zeros((1, 2, 3), np.uint8)
# Two pixels, three classes. Net 1 says a, c; net 2 says b, c.
FIRST, SECOND = constant([[[2.0, 0, 0], [0, 0, 2]]]), constant([[[0, 3.0, 0], [0, 0, 1]]])


def test_model_ensemble_takes_the_mean_where_inconsistency_masks_cut():
    # Pixel 0: softmax (.79, .11, .11) and (.05, .91, .05): the mean is highest for b.
    soft = labeled("model_ensemble", CLASSES, [FIRST, SECOND], IMAGE)
    assert soft.label.tolist() == [[1, 2]] and not soft.inconsistent.any() and bool(soft.keep)
    cut = labeled("im", CLASSES, [FIRST, SECOND], IMAGE)
    assert cut.label.tolist() == [[0, 2]] and cut.inconsistent.tolist() == [[True, False]]
    assert int(cut.size) == 1


def test_binary_model_ensemble_needs_all():
    nets = [constant([[[5.0], [0.1]]]), constant([[[-0.1], [0.1]]])]
    assert labeled("model_ensemble", BINARY, nets, IMAGE).label.tolist() == [[0, 1]]


def test_one_net_labels_for_noisy_student_and_nothing_is_cut():
    pair = labeled("noisy_student", CLASSES, [FIRST], IMAGE)
    assert pair.label.tolist() == [[0, 2]] and not pair.inconsistent.any()
    assert (
        GENERATIONAL_METHODS["noisy_student"].labeler_selection
        == GENERATIONAL_METHODS["input_ensemble"].labeler_selection
        == "best"
    )


def test_views_are_turned_back_before_they_vote():
    # The net calls bright pixels foreground, so every view must agree with the image itself.
    image = np.random.default_rng(0).integers(0, 2, (8, 8, 1), np.uint8) * np.uint8(255)
    bright = lambda images: images.astype(jnp.float32) - 128  # noqa: E731
    pair = labeled("input_ensemble", BINARY, [bright], image)
    np.testing.assert_array_equal(pair.label, image[..., 0] // 255)


def test_views_are_independent_and_as_many_as_asked():
    image = np.full((16, 16, 1), 128, np.uint8)
    seen = []

    def spy(images):
        seen.append(np.asarray(images[0]))
        return images.astype(jnp.float32)

    noisy = Ensemble(blur=0, noise=25, contrast=0.0, brightness=0.0, members=2, tta_views=5)
    labeled("input_ensemble", BINARY, [spy], image, noisy)
    assert len(seen) == 5 and len({view.tobytes() for view in seen}) == 5
    # Not cumulative (methods.md 1.12): every view lies within the noise of the image.
    assert all(np.abs(view.astype(int) - 128).max() <= 25 for view in seen)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_views_of_other_kinds_stay_in_place(kind):
    image = jnp.asarray(np.random.default_rng(1).integers(0, 255, (8, 8, 1), np.uint8))
    still = augment.AugmentStrength(0, 0, 0.0, 0.0)
    for seed in range(5):
        seen, _ = input_ensemble.random_view(jax.random.key(seed), image, kind, still)
        np.testing.assert_array_equal(seen, image)


def test_both_consistency_views_have_the_same_position():
    image = jnp.asarray(np.random.default_rng(2).integers(0, 255, (8, 8, 3), np.uint8))
    still, moved = augment.AugmentStrength(0, 0, 0.0, 0.0), 0
    for seed in range(8):
        one, other = consistency.two_views(jax.random.key(seed), image, still, rotation_invariant=True)
        np.testing.assert_array_equal(one, other)
        moved += not np.array_equal(one, image)
    assert moved
    strong = augment.AugmentStrength(0, 25, 0.0, 0.0)
    one, other = consistency.two_views(jax.random.key(0), image, strong, rotation_invariant=False)
    # RGB stays RGB (methods.md 1.12): each channel lies within the noise of its own.
    assert np.abs(np.asarray(one).astype(int) - np.asarray(image)).max() <= 25
    assert not np.array_equal(one, other)
