"""Inconsistency masks: a slow twin, numbers worked by hand, and invariants."""

import itertools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imjax.ops import inconsistency as im

KINDS = {"binary": 2, "multiclass": 5, "multilabel": 3}


def random_members(kind, n=3, seed=0, shape=(9, 11), agree=0.7):
    """Members that take a common value with probability `agree`, else their own."""
    rng = np.random.default_rng(seed)
    full = (*shape, 3) if kind == "multilabel" else shape
    top = KINDS["multiclass"] if kind == "multiclass" else 2
    base, other = rng.integers(0, top, full), rng.integers(0, top, (n, *full))
    return np.where(rng.random((n, *full)) < agree, base, other).astype(np.uint8)


def pair(kind, members, **options):
    return im.make_pseudo_label(kind, jnp.asarray(members), classes=KINDS[kind], **options)


def twin(kind, members):
    """Pixel by pixel, by the words of methods.md 1.3."""
    label, wrong = np.zeros(members.shape[1:], np.uint8), np.zeros(members.shape[1:], bool)
    for at in np.ndindex(*members.shape[1:]):
        said = {int(member[at]) for member in members}
        if len(said) == 1:
            label[at] = said.pop()
        else:
            wrong[at] = True
    return label, wrong.any(-1) if kind == "multilabel" else wrong, wrong.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 4])
def test_slow_twin(kind, n):
    members = random_members(kind, n, seed=n)
    label, mask, size = twin(kind, members)
    got = pair(kind, members)
    assert 0 < mask.sum() < mask.size
    np.testing.assert_array_equal(got.label, label)
    np.testing.assert_array_equal(got.inconsistent, mask)
    assert int(got.size) == size


def test_multilabel_by_hand():
    # Two members, 1×3 pixels, 2 channels. Pixel 0: they differ in both channels: counts twice, masked once.
    # Pixel 1: differ in channel 1 only, agree on 1 in channel 0. Pixel 2: agree.
    a = [[[1, 1], [1, 0], [0, 1]]]
    b = [[[0, 0], [1, 1], [0, 1]]]
    members = jnp.array([a, b], jnp.uint8)
    got = im.make_pseudo_label("multilabel", members, classes=2)
    assert got.inconsistent.tolist() == [[True, True, False]]
    assert got.label.tolist() == [[[0, 0], [1, 0], [0, 1]]]
    assert int(got.size) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_one_member_or_agreement_leaves_nothing_inconsistent(kind):
    members = random_members(kind)
    for agreed in (members[:1], np.repeat(members[:1], 4, 0)):
        got = pair(kind, agreed)
        assert not got.inconsistent.any() and int(got.size) == 0
        np.testing.assert_array_equal(got.label, members[0])


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(list(KINDS)), seed=st.integers(0, 10**6))
def test_symmetric_in_members_and_blind_to_repeats(kind, seed):
    members = random_members(kind, 3, seed)
    first = pair(kind, members)
    for order in (*itertools.permutations(range(3)), (0, 1, 2, 0), (2, 2, 1, 0)):
        jax.tree.map(np.testing.assert_array_equal, pair(kind, members[list(order)]), first)


def test_more_members_never_shrink_the_mask():
    members = random_members("multiclass", 5)
    masks = [np.asarray(pair("multiclass", members[:n]).inconsistent) for n in range(1, 6)]
    for fewer, more in itertools.pairwise(masks):
        assert (more >= fewer).all()


def test_renaming_classes_renames_the_consensus():
    members = random_members("multiclass")
    names = np.array([0, 3, 1, 4, 2], np.uint8)  # class 0 keeps its name: it is the label of disagreement
    got, renamed = pair("multiclass", members), pair("multiclass", names[members])
    np.testing.assert_array_equal(renamed.inconsistent, got.inconsistent)
    np.testing.assert_array_equal(renamed.label, names[np.asarray(got.label)])


@pytest.mark.parametrize("kind", KINDS)
def test_blocked_pixels_are_zero_and_the_others_untouched(kind):
    members = random_members(kind, agree=0.98)
    got = pair(kind, members, dilate=3)
    image = jnp.full((9, 11, 3), 200, jnp.uint8)
    blocked_image, blocked_label = im.block(image, got.label, got.inconsistent)
    mask = np.asarray(got.inconsistent)
    assert 0 < mask.sum() < mask.size
    for before, after in ((image, blocked_image), (got.label, blocked_label)):
        assert not np.asarray(after)[mask].any()
        np.testing.assert_array_equal(np.asarray(after)[~mask], np.asarray(before)[~mask])
    assert np.asarray(got.label)[mask].any(), "the dilated mask should have blocked some consensus"


def test_block_switches():
    image, label = jnp.full((2, 2, 1), 7, jnp.uint8), jnp.full((2, 2), 5, jnp.uint8)
    mask = jnp.array([[True, False], [False, False]])
    only_label = im.block(image, label, mask, zero_image=False)
    assert only_label[0].min() == 7 and only_label[1].tolist() == [[0, 5], [5, 5]]
    only_image = im.block(image, label, mask, zero_label=False)
    assert only_image[0][..., 0].tolist() == [[0, 7], [7, 7]] and only_image[1].min() == 5


@pytest.mark.parametrize(
    "agreed,disputed,keep",
    [(0, 0, False), (3, 3, False), (4, 3, True), (0, 2, False), (1, 0, True)],
)
def test_binary_pairs_need_more_foreground_than_dispute(agreed, disputed, keep):
    members = np.zeros((2, 4, 4), np.uint8)
    members[:, 0, :agreed] = 1
    members[0, 1, :disputed] = 1
    got = pair("binary", members)
    assert (int(got.size), bool(got.keep)) == (disputed, keep)


def test_same_classes_option():
    members = np.array([[[1, 2, 2]], [[1, 2, 1]], [[1, 1, 1]]], np.uint8)
    assert im.have_same_classes(jnp.asarray(members[:2]), 5)
    assert not im.have_same_classes(jnp.asarray(members), 5)
    assert pair("multiclass", members).keep
    assert not pair("multiclass", members, require_same_classes=True).keep
    channels = np.zeros((2, 1, 2, 3), np.uint8)
    channels[:, 0, 0, 1] = 1
    assert pair("multilabel", channels, require_same_classes=True).keep
    channels[0, 0, 1, 2] = 1
    assert not pair("multilabel", channels, require_same_classes=True).keep


@pytest.mark.parametrize("erode,dilate", [(3, 0), (0, 5), (3, 5)])
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_morphology_erodes_then_dilates_the_mask(kind, erode, dilate):
    members = random_members(kind, 4, shape=(24, 24))
    members[1, 6:15, 4:16] = members[0, 6:15, 4:16] ^ 1  # a large dispute, so that something survives erosion
    label, wrong, before = twin(kind, members)
    wanted = wrong.astype(np.uint8)
    if erode:
        wanted = cv2.erode(wanted, np.ones((erode, erode)))
        label = cv2.dilate(label, np.ones((3, 3))) if kind == "multiclass" else label
    if dilate:
        wanted = cv2.dilate(wanted, np.ones((dilate, dilate)))
    assert wanted.any()
    for sizes in ((erode, dilate), (jnp.int32(erode), jnp.int32(dilate))):
        got = pair(kind, members, erode=sizes[0], dilate=sizes[1])
        np.testing.assert_array_equal(got.inconsistent, wanted)
        np.testing.assert_array_equal(got.label, label)
        assert int(got.size) == before != wanted.sum()


def test_only_the_named_channels_are_dilated():
    members = np.zeros((2, 5, 5, 3), np.uint8)
    members[:, 2, 2] = 1
    got = pair("multilabel", members, erode=3, dilate_channels=(0, 1))
    assert np.asarray(got.label).sum((0, 1)).tolist() == [9, 9, 1]
    assert np.asarray(pair("multilabel", members, dilate_channels=(0, 1)).label).sum() == 3


def test_jit_and_vmap_give_the_same():
    batch = np.stack([random_members("multiclass", seed=s) for s in range(3)])
    run = jax.jit(jax.vmap(lambda m, e: im.make_pseudo_label("multiclass", m, classes=5, erode=e)))
    got = run(jnp.asarray(batch), jnp.array([0, 3, 5]))
    for i, erode in enumerate((0, 3, 5)):
        one = pair("multiclass", batch[i], erode=erode)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x, i=i: x[i], got), one)


def test_blocked_pixels_may_be_the_mean_color_and_void():
    image = jnp.asarray([[[10, 0], [20, 0]], [[30, 9], [250, 200]]], jnp.uint8)
    label, mask = jnp.asarray([[1, 2], [3, 4]], jnp.uint8), jnp.asarray([[False, False], [False, True]])
    found = im.block(image, label, mask, image_value="mean", label_value="void")
    # (10 + 20 + 30)/3 and 9/3, of the pixels that are not blocked.
    assert found[0].tolist() == [[[10, 0], [20, 0]], [[30, 9], [20, 3]]]
    assert found[1].tolist() == [[1, 2], [3, 255]]
    # Nothing is left to take the mean of.
    everything = im.block(image, label, jnp.ones((2, 2), bool), image_value="mean", label_value="void")
    assert not everything[0].any() and (everything[1] == 255).all()
