"""`joint.block_input`: which pixels are 0 in the image that is trained on, and which do not count.

Two unlabeled images of three pixels, by hand:

    classes         A        B
    first opinion   0 1 2    1 1 0
    second opinion  0 2 2    1 1 1
    inconsistent    . x .    . . x

A strong view of A shows B in its third pixel (CutMix), so it is blocked in the second and the third.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import hard_cross_entropy, inconsistency_mask, mse_consistency
from imjax.methods.joint.forward import NetOutput, StudentForward
from imjax.methods.joint.loss import pixel_weights
from imjax.methods.joint.views import BatchViews, cutmix_with_next
from imjax.methods.registry import JOINT_METHODS

N, GRAY, CLASSES = 1, 200, 3
TRUTH = [0, 1, 2]
FIRST, SECOND = [[0, 1, 2], [1, 1, 0]], [[0, 2, 2], [1, 1, 1]]
WEAK_MASK = [[False, True, False], [False, False, True]]
BOX = [[False, False, True], [False, False, False]]
STRONG_MASK = [[False, True, True], [False, False, True]]
JOINT = Joint(pixel_weighting="inconsistency", block_input=True, confidence_threshold=0.0)


def sure_of(classes):
    """Logits `[b, 1, 3, 3]` of the classes."""
    return 9 * jax.nn.one_hot(jnp.asarray(classes)[:, None], CLASSES)


class FixedViews(BatchViews):
    """Gray images of 1 × 3 pixels, one labeled and A and B, whose strong views are mixed by `BOX`."""

    def __init__(self):
        self.num_labeled = N
        self.images = jnp.full((N + 2, 1, 3, 1), GRAY, jnp.uint8)
        self.label = jnp.asarray([[TRUTH]], jnp.uint8)

    def strong_views(self):
        return self.images + jnp.uint8(1), jnp.asarray(BOX)[:, None]


class OpinionatedNets(StudentForward):
    """Nets that are sure of given classes of whole batches, and know nothing of what they see later."""

    def __init__(self, *opinions, teacher=None):
        self._opinions, self._teacher = opinions, teacher
        self.seen = {i: [] for i in range(len(opinions))}

    def next_key(self):
        return jax.random.key(0)

    def __call__(self, index, images, hook=None, perturb=(), taps=False):
        first = not self.seen[index]
        self.seen[index].append(images)
        logits = (
            sure_of([TRUTH, *self._opinions[index]]) if first else jnp.zeros((*images.shape[:-1], CLASSES))
        )
        return NetOutput(jnp.concatenate([logits, logits]) if hook else logits, [], {})

    def teacher(self, images):
        assert len(images) == 2
        return sure_of(self._teacher)

    def later(self, index):
        """Of each later pass of a net: gray levels `[b, 3]`."""
        assert all(images.dtype == jnp.uint8 for images in self.seen[index])
        return [images[:, 0, :, 0].tolist() for images in self.seen[index][1:]]


def forward(name, nets, joint=JOINT):
    return JOINT_METHODS[name].forward(nets, FixedViews(), joint, False)


def blocked(mask, level=GRAY):
    return np.where(mask, 0, level).tolist()


def weights(pair):
    return pixel_weights(pair, "inconsistency")[:, 0].astype(bool).tolist()


def counted(mask):
    return np.logical_not(mask).tolist()


def test_fixmatch_learns_on_the_strong_view_without_what_student_and_teacher_dispute():
    nets = OpinionatedNets(FIRST, teacher=SECOND)
    (pair,) = forward("fixmatch", nets).unlabeled_pairs
    assert nets.later(0) == [blocked(STRONG_MASK, GRAY + 1)]
    assert weights(pair) == counted(STRONG_MASK)
    # Three of six pixels count, each with the cross-entropy of a uniform prediction.
    loss = hard_cross_entropy(pair.reference, pair.supervised, pixel_weights(pair, "inconsistency"))
    assert float(loss) == pytest.approx(np.log(3) / 2, rel=1e-5)
    # The pseudo-label is the student's, and mixed as the images are.
    mixed = cutmix_with_next(jnp.asarray(BOX), jnp.asarray(FIRST))
    np.testing.assert_array_equal(pair.reference[:, 0].argmax(-1), mixed)


def test_a_pixel_without_confidence_does_not_count_either():
    nets = OpinionatedNets(FIRST, teacher=SECOND)
    (pair,) = forward("fixmatch", nets, dataclasses.replace(JOINT, confidence_threshold=1.1)).unlabeled_pairs
    assert not np.any(weights(pair))


def test_unimatch_blocks_both_strong_views_and_the_label_of_its_feature_stream():
    nets = OpinionatedNets(FIRST, teacher=SECOND)
    pairs = forward("unimatch", nets).unlabeled_pairs
    assert nets.later(0) == [blocked(STRONG_MASK, GRAY + 1)] * 2
    assert [weights(pair) for pair in pairs] == [counted(STRONG_MASK)] * 2 + [counted(WEAK_MASK)]
    assert [pair.weight for pair in pairs] == [0.25, 0.25, 0.5]


@pytest.mark.parametrize(("name", "streams"), [("fixmatch", [True]), ("unimatch", [True, True, False])])
def test_the_teacher_may_label(name, streams):
    joint = dataclasses.replace(JOINT, labeler="teacher")
    for block_input, mask in ((False, None), (True, STRONG_MASK)):
        nets = OpinionatedNets(FIRST, teacher=SECOND)
        pairs = forward(name, nets, dataclasses.replace(joint, block_input=block_input)).unlabeled_pairs
        for pair, is_mixed in zip(pairs, streams, strict=True):
            label = jnp.asarray(SECOND)
            wanted = cutmix_with_next(jnp.asarray(BOX), label) if is_mixed else label
            np.testing.assert_array_equal(pair.reference[:, 0].argmax(-1), wanted)
        # What the two dispute is still blocked, and nothing else. FixMatch's student sees strong views only,
        # in one pass with the labeled images, where it disputes nothing.
        strong = nets.later(0) or [nets.seen[0][0][N:, 0, :, 0].tolist()]
        assert strong[0] == blocked(mask if block_input else np.zeros((2, 3), bool), GRAY + 1)
        passes = {"fixmatch": 2 if block_input else 1, "unimatch": 3}
        assert len(nets.seen[0]) == passes[name]


def test_cps_nets_learn_on_images_without_what_they_dispute():
    nets = OpinionatedNets(FIRST, SECOND)
    outputs = forward("cps", nets)
    for i, reference in enumerate((SECOND, FIRST)):
        assert nets.later(i) == [blocked(WEAK_MASK)]
        pair = outputs.unlabeled_pairs[i]
        assert weights(pair) == counted(WEAK_MASK)
        np.testing.assert_array_equal(pair.reference[:, 0].argmax(-1), reference)
        assert not np.any(pair.supervised)
        # The labeled images are seen whole.
        np.testing.assert_array_equal(outputs.labeled_logits[i][0, 0].argmax(-1), TRUTH)


def test_mean_teacher_learns_on_images_without_what_student_and_teacher_dispute():
    nets = OpinionatedNets(FIRST, teacher=SECOND)
    outputs = forward("mean_teacher", nets)
    (pair,) = outputs.unlabeled_pairs
    assert nets.later(0) == [blocked(WEAK_MASK)]
    assert weights(pair) == counted(WEAK_MASK)
    np.testing.assert_array_equal(pair.reference[:, 0].argmax(-1), SECOND)
    # Four of six pixels count; against (1, 0, 0) a uniform prediction has (4 + 1 + 1)/9/3 = 2/9.
    loss = mse_consistency(pair.reference, pair.supervised, pixel_weights(pair, "inconsistency"))
    assert float(loss) == pytest.approx(4 / 6 * 2 / 9, rel=1e-2)


TEACHERS = {"mean_teacher", "ua_mt", "ict"}
"""Methods that have a teacher whatever is blocked."""


def test_without_the_key_nothing_is_blocked():
    whole = dataclasses.replace(JOINT, block_input=False)
    nets = OpinionatedNets(FIRST, teacher=SECOND)
    (pair,) = forward("fixmatch", nets, whole).unlabeled_pairs
    assert nets.later(0) == [[[GRAY + 1] * 3] * 2] and pair.inconsistent is None
    for name, method in JOINT_METHODS.items():
        assert method.has_teacher(whole) is (name in TEACHERS)
        assert method.has_teacher(JOINT) is (name in {*TEACHERS, "fixmatch", "unimatch"})
        by_teacher = dataclasses.replace(whole, labeler="teacher")
        assert method.has_teacher(by_teacher) is method.has_teacher(JOINT)


def test_a_multilabel_pixel_is_blocked_in_all_channels():
    # Two pixels of two channels, the second channel of the second pixel disputed; absent or present.
    first, second = jnp.asarray([[[[0, 1], [1, 1]]]]), jnp.asarray([[[[0, 1], [1, 0]]]])
    first, second = (jax.nn.one_hot(present, 2) for present in (first, second))
    mask = inconsistency_mask(jnp.zeros((1, 1, 2, 3), jnp.uint8), first, second)
    assert mask.tolist() == [[[False, True]]]
    (pair,) = forward("mean_teacher", OpinionatedNets(FIRST, teacher=SECOND)).unlabeled_pairs
    pair = pair._replace(reference=first, supervised=second, inconsistent=mask)
    assert pixel_weights(pair, "inconsistency").tolist() == [[[[1, 1], [0, 0]]]]


def test_a_voxel_of_a_volume_is_blocked():
    first = jnp.zeros((1, 2, 1, 2, CLASSES)).at[..., 0].set(1)
    second = first.at[0, 1, 0, 0].set(jnp.asarray([0.0, 1.0, 0.0]))
    mask = inconsistency_mask(jnp.zeros((1, 2, 1, 2, 1), jnp.uint8), first, second)
    assert mask.tolist() == [[[[False, False]], [[True, False]]]]
