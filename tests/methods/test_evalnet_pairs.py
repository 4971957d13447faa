"""What EvalNets learn from and score, against loops over pixels and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.spec import DatasetSpec
from imjax.methods.generational import evalnet
from imjax.ops import augment

BINARY = DatasetSpec("b", "b", "binary", ("x",), ((1, 1, 1),))
RESERVED = DatasetSpec("m", "m", "multiclass", ("-", "a", "b", "c"), ((0, 0, 0),) * 4, reserved=True)
LABELS = DatasetSpec("l", "l", "multilabel", ("p", "q"), ((0, 0, 0),) * 2, detection_shares=(0.01, 0.25))
IMAGE = jnp.zeros((6, 6, 3), jnp.uint8)


def overlap(truth, mask, smooth):
    """IoU of two 0/1 maps by a loop; void truth (255) is left out."""
    both = either = 0
    for t, m in zip(truth.ravel(), mask.ravel(), strict=True):
        if t != 255:
            both += t == 1 and m == 1
            either += t == 1 or m == 1
    return (both + smooth) / max(either + smooth, 1)


def draw(seed, high, shape):
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_single_masks_equal_a_loop(seed):
    truth, mask = draw(seed, 4, (6, 6)), draw(seed + 9, 4, (6, 6))
    truth[0, 0] = 255
    pair = evalnet.candidate_example(IMAGE, jnp.asarray(truth), jnp.asarray(mask), spec=RESERVED)
    ones = [np.where(truth == 255, 255, truth == c).astype(np.uint8) for c in range(4)]
    twin = [overlap(one, (mask == c).astype(np.uint8), 0) for c, one in enumerate(ones)]
    np.testing.assert_allclose(pair.iou, twin, rtol=1e-6)
    # More than 1 % of 36 pixels is one pixel.
    assert pair.detection.tolist() == [float((truth == c).any()) for c in range(4)]

    truth, mask = draw(seed, 2, (6, 6)), draw(seed + 9, 2, (6, 6))
    pair = evalnet.candidate_example(IMAGE, jnp.asarray(truth), jnp.asarray(mask), spec=BINARY)
    np.testing.assert_allclose(pair.iou, [overlap(truth, mask, 1)], rtol=1e-6)

    truth, mask = draw(seed, 2, (6, 6, 2)), draw(seed + 9, 2, (6, 6, 2))
    truth[..., 1] = 0
    truth[0, :, 1] = 1  # 6 of 36 pixels: below the quarter that channel q needs
    pair = evalnet.candidate_example(IMAGE, jnp.asarray(truth), jnp.asarray(mask), spec=LABELS)
    # The target of an output that is not detected is 0.
    np.testing.assert_allclose(pair.iou, [overlap(truth[..., 0], mask[..., 0], 1), 0], rtol=1e-6)
    assert pair.detection.tolist() == [1, 0]


def test_the_truth_as_a_mask_is_its_own_and_scores_one():
    # Published code scored the last image's mask here (methods.md 1.12).
    truth = draw(0, 4, (6, 6))
    truth[0, :2] = 255
    pair = evalnet.candidate_example(IMAGE, jnp.asarray(truth), jnp.asarray(truth), spec=RESERVED)
    assert pair.iou.tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(pair.mask, np.where(truth == 255, 0, truth))


def test_true_score_by_hand():
    # 2×4 pixels. Truth: a a a a | b b b c. IM: the first a and c, so the label reads 0 a a b | b b b 0.
    # The truth is blocked too: 0 a a a | b b b 0. Class 0: I = U = 2: 1. Class a: I = 2, U = 3: 2/3.
    # Class b: I = 3, U = 4 (one a is called b): 3/4. Class c is not in it. Score: (1 + 2/3 + 3/4) / 3.
    truth = jnp.asarray([[1, 1, 1, 1], [2, 2, 2, 3]], jnp.uint8)
    label = jnp.asarray([[0, 1, 1, 2], [2, 2, 2, 0]], jnp.uint8)
    score = evalnet.true_score(truth, label, jnp.asarray(label == 0), spec=RESERVED)
    np.testing.assert_allclose(score, (1 + 2 / 3 + 3 / 4) / 3, rtol=1e-6)


def test_binary_true_score_by_hand():
    # I = 1, U = 3: (1 + 1) / (3 + 1).
    truth, label = jnp.asarray([[1, 1, 0, 0]], jnp.uint8), jnp.asarray([[1, 0, 1, 0]], jnp.uint8)
    assert float(evalnet.true_score(truth, label, jnp.zeros((1, 4), bool), spec=BINARY)) == 0.5


STILL = augment.AugmentStrength(0, 0, 0.0, 0.0)
NOISE = augment.AugmentStrength(0, 25, 0.0, 0.0)
OFF = jnp.int32(0)


def drawn(seed, spec, strength, size=16):
    """A pair of an image and two nets' labels, and what went in."""
    shape = (2, size, size, 2) if spec.kind == "multilabel" else (2, size, size)
    members = draw(seed, max(spec.outputs, 2) if spec.kind == "multiclass" else 2, shape)
    image = draw(seed, 256, (size, size, 3))
    # As one program: its branches by themselves would be compiled anew at every call.
    pair = jax.jit(evalnet.ensemble_example, static_argnames="spec")(
        jax.random.key(seed), jnp.asarray(image), jnp.asarray(members[0]), jnp.asarray(members),
        OFF, OFF, spec=spec, strength=strength,
    )  # fmt: skip
    return pair, image, members


@pytest.mark.parametrize("spec", [BINARY, RESERVED, LABELS], ids=lambda spec: spec.kind)
def test_pairs_of_ensembles_are_blocked_and_scored(spec):
    for seed in range(4):
        pair, image, members = drawn(seed, spec, STILL)
        differ = members[0] != members[1]
        inconsistent = differ.any(-1) if differ.ndim == 3 else differ
        label = np.where(inconsistent[..., None] if differ.ndim == 3 else inconsistent, 0, members[0])
        # Strength 0 leaves the photometry alone, and these specs may only be mirrored.
        seen = [np.asarray(pair.image), np.asarray(pair.image)[:, ::-1]]
        blocked = np.where(inconsistent[..., None], 0, image)
        assert any(np.array_equal(one, blocked) for one in seen)
        assert any(np.array_equal(one, label) for one in (pair.mask, pair.mask[:, ::-1]))
        # The truth is the first net's labels here; the first class of RESERVED counts if the label has it.
        channels = range(spec.outputs)
        if spec.kind == "multilabel":
            twin = [overlap(members[0][..., c], label[..., c], 1) for c in channels]
        elif spec.kind == "binary":
            twin = [overlap(members[0], label, 1)]
        else:
            twin = [overlap((members[0] == c).astype(int), (label == c).astype(int), 0) for c in channels]
            assert float(pair.detection[0]) == 1
        np.testing.assert_allclose(pair.iou, twin, rtol=1e-6)


@pytest.mark.parametrize("spec", [BINARY, RESERVED, LABELS], ids=lambda spec: spec.kind)
def test_half_of_the_pairs_are_augmented_and_stay_so(spec):
    # Published code wrote the plain image over the augmented one for one dataset (methods.md 1.12).
    changed = 0
    for seed in range(40):
        pair, _, _ = drawn(seed, spec, NOISE)
        plain, _, _ = drawn(seed, spec, STILL)
        same = np.asarray(pair.image) == np.asarray(plain.image)
        changed += not same.all()
        np.testing.assert_array_equal(pair.mask, plain.mask)
    # Binomial(40, ½): 8 to 32 misses with a probability below 1e-4.
    assert 8 <= changed <= 32
