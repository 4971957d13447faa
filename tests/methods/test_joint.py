"""Hosts of joint training: who learns from whom, and what the sum of their losses is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.config.schema import freeze
from imjax.data.spec import DatasetSpec
from imjax.methods.joint import loss as total
from imjax.methods.joint.base import ConsistencyPair, JointOutputs, divergence, hard, overlap, soft
from imjax.methods.joint.forward import Seen, StudentForward, as_classes
from imjax.methods.joint.registry import JOINT_METHODS
from imjax.methods.joint.views import BatchViews, mix
from imjax.ops import metassl, similarity
from imjax.ops.rampup import ramp

N, M, SIDE, CLASSES = 2, 3, 4, 3
SPEC = DatasetSpec("toy", "Toy", "multiclass", ("background", "a", "b"), ((0, 0, 0),) * 3, background=True)


@pytest.fixture(scope="module")
def joint():
    from configs.base.common import common

    settings = freeze(common().to_dict()["joint"], Joint)
    return dataclasses.replace(settings, confidence=0.4, cutmix=1.0)


@pytest.fixture(scope="module")
def seen(joint):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N + M, SIDE, SIDE, 1), np.uint8)
    label = rng.integers(0, CLASSES, (N, SIDE, SIDE), np.uint8)
    batch = {"labeled": {"image": images[:N], "label": label}, "unlabeled": {"image": images[N:]}}
    return BatchViews(jax.tree.map(jnp.asarray, batch), joint, True, jax.random.key(1))


class Fakes(StudentForward):
    """Nets that say what they are told to: logits for each call of each net, in order."""

    def __init__(self, said, teacher=None):
        self.said = {net: list(calls) for net, calls in said.items()}
        self._teacher = teacher

    def key(self):
        return jax.random.key(3)

    def __call__(self, index, images, hook=None, perturb=(), taps=False):
        logits = self.said[index].pop(0)
        logits = logits[-len(images) :] if hook is None else jnp.concatenate([logits, logits * 0.5])
        auxiliary = [logits * (k + 2) for k in range(len(perturb))]
        features = {"encoder": logits[:, :1], "decoder": logits[:, 1:]} if taps else {}
        return Seen(logits, auxiliary, features)

    def teacher(self, images):
        return jax.lax.stop_gradient(self._teacher[-len(images) :])


def logits(seed, scale=2.0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(0, scale, (N + M, SIDE, SIDE, CLASSES)), jnp.float32)


CALLS = {"supervised": {0: 1}, "mean_teacher": {0: 1}, "fixmatch": {0: 2}, "unimatch": {0: 3}, "cct": {0: 1},
         "rdrop": {0: 2}, "cps": {0: 1, 1: 1}, "simeps": {0: 1, 1: 1, 2: 1}}  # fmt: skip
"""Calls of each net in one step."""


def said_by(name):
    return {net: [logits(10 * net + call) for call in range(n)] for net, n in CALLS[name].items()}


def tell(name, said, seen, joint, both=False):
    return JOINT_METHODS[name].tell(Fakes(said, logits(99)), seen, joint, both)


def whole(name, said, seen, joint, chosen="none", step=10**9, thresholds=None):
    """The loss as the engine takes it; late, so that the ramp is at its peak."""
    host = JOINT_METHODS[name]
    told = tell(name, said, seen, joint, chosen == "metassl")
    thresholds = thresholds or total.first_thresholds(host, joint, SPEC, chosen)
    return total.total(
        told, seen.label, jnp.int32(step), thresholds, host=host, joint=joint, spec=SPEC, chosen=chosen
    )


@pytest.mark.parametrize("name", sorted(JOINT_METHODS))
@pytest.mark.parametrize("chosen", ["none", "inconsistency", "csl", "metassl"])
def test_every_host_tells_with_every_weighting(name, chosen, seen, joint):
    if chosen != "none" and name == "supervised":
        return
    found = whole(name, said_by(name), seen, joint, chosen)
    assert np.isfinite(found.loss)
    assert set(found.scalars) == set(total.scalar_names(JOINT_METHODS[name], SPEC, chosen))
    told = tell(name, said_by(name), seen, joint, chosen == "metassl")
    assert len(told.unlabeled) == JOINT_METHODS[name].exchanges(joint)
    if chosen == "metassl":
        assert len(told.labeled) == len(told.unlabeled)
        assert sum(float(found.scalars[f"region_share_{r}"]) for r in total.NAMES) == pytest.approx(1)


def consistency(name, said, seen, joint, part):
    """Loss of the exchanges on the unlabeled images alone."""
    told = tell(name, said, seen, joint)
    return sum(e.share * e.how(e.reference, e.supervised, total.pixel_weights(e, "none")) for e in part(told))


def flows(name, seen, joint, part=lambda told: told.unlabeled):
    """For each net and call, whether the gradient reaches its unlabeled logits."""
    gradient = jax.grad(lambda said: consistency(name, said, seen, joint, part))(said_by(name))
    return {net: [bool(np.abs(g[N:]).max() > 0) for g in calls] for net, calls in gradient.items()}


def test_the_weak_view_and_the_believed_net_get_no_gradient(seen, joint):
    assert flows("mean_teacher", seen, joint) == {0: [True]}
    # Weak, then strong.
    assert flows("fixmatch", seen, joint) == {0: [False, True]}
    # The weak view learns through its dropped features only: the fake gives half of the same logits.
    assert flows("unimatch", seen, joint, lambda told: told.unlabeled[:2]) == {0: [False, True, True]}
    assert flows("unimatch", seen, joint, lambda told: told.unlabeled[2:]) == {0: [True, False, False]}
    assert flows("cps", seen, joint, lambda told: told.unlabeled[:1]) == {0: [True], 1: [False]}
    assert flows("cps", seen, joint, lambda told: told.unlabeled[1:]) == {0: [False], 1: [True]}
    assert flows("simeps", seen, joint, lambda told: told.unlabeled[1:2]) == {
        0: [False],
        1: [True],
        2: [False],
    }
    # R-Drop: into both.
    assert flows("rdrop", seen, joint, lambda told: told.unlabeled[:1]) == {0: [True, True]}


def test_cct_main_decoder_is_not_pulled_to_the_auxiliaries(seen, joint):
    told = tell("cct", said_by("cct"), seen, joint)
    main = said_by("cct")

    def loss(main):
        told = tell("cct", {0: [main]}, seen, joint)
        # Auxiliary logits are the fake's own, times 2, 3, 4: taken as constants.
        stopped = [jax.lax.stop_gradient(e.supervised) for e in told.unlabeled]
        ones = jnp.ones((M, SIDE, SIDE))
        return sum(soft(e.reference, s, ones) for e, s in zip(told.unlabeled, stopped, strict=True))

    assert not np.any(jax.grad(loss)(main[0][0]))
    for k, exchange in enumerate(told.unlabeled):
        np.testing.assert_allclose(exchange.reference, jax.nn.softmax(logits(0)[N:], -1), rtol=1e-5)
        np.testing.assert_allclose(exchange.supervised, (k + 2) * logits(0)[N:], rtol=1e-6)


def test_cps_is_supervised_loss_and_ramped_cross_entropy_both_ways(seen, joint):
    said = said_by("cps")
    one, two = said[0][0], said[1][0]
    expected = sum(losses.overlap_loss(x[:N], seen.label) for x in (one, two))
    p = jax.nn.log_softmax
    for target, learner in ((two, one), (one, two)):
        best = np.asarray(target[N:]).argmax(-1)
        picked = np.take_along_axis(np.asarray(p(learner[N:], -1)), best[..., None], -1)
        expected += joint.ramp.peak * -picked.mean()
    np.testing.assert_allclose(whole("cps", said, seen, joint).loss, expected, rtol=1e-5)


def test_fixmatch_counts_sure_pixels_of_the_mixed_weak_view(seen, joint):
    said = said_by("fixmatch")
    told = tell("fixmatch", said, seen, joint)
    # The same draws anew: the boxes of a first strong view.
    again = BatchViews.__new__(BatchViews)
    again.__dict__.update(seen.__dict__, _strong=told_strong(seen))
    _, box = again.strong()
    weak = np.asarray(jax.nn.softmax(said[0][0][N:], -1))
    mixed = np.where(np.asarray(box)[..., None], np.roll(weak, -1, 0), weak)
    np.testing.assert_allclose(told.unlabeled[0].reference, mixed, rtol=1e-6)
    np.testing.assert_array_equal(told.unlabeled[0].kept, mixed.max(-1) >= joint.confidence)


def told_strong(seen):
    """Strong views drawn so far, but for the last."""
    return seen._strong - 1


def test_unimatch_shares(seen, joint):
    told = tell("unimatch", said_by("unimatch"), seen, joint)
    assert [e.share for e in told.unlabeled] == [0.25, 0.25, 0.5]
    found = whole("unimatch", said_by("unimatch"), seen, joint, step=0)
    # ½(L_x + ...), without a ramp from the first step on.
    parts = found.scalars
    np.testing.assert_allclose(found.loss, 0.5 * (parts["supervised"] + parts["consistency"]), rtol=1e-6)


def test_simeps_believes_the_surest_of_the_others_on_both_halves(seen, joint):
    said = said_by("simeps")
    probabilities = [np.asarray(jax.nn.softmax(said[i][0], -1)) for i in range(3)]
    told = tell("simeps", said, seen, joint)
    surest = np.maximum(probabilities[0], probabilities[2])
    np.testing.assert_allclose(told.unlabeled[1].reference, surest[N:], rtol=1e-6)
    np.testing.assert_allclose(told.labeled[1].reference, surest[:N], rtol=1e-6)
    mean = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, combine="mean"))
    told = tell("simeps", said_by("simeps"), seen, mean)
    np.testing.assert_allclose(
        told.unlabeled[0].reference, (probabilities[1] + probabilities[2])[N:] / 2, rtol=1e-5
    )


def test_simeps_likeness_over_pairs_halves_and_stages(seen, joint):
    stages = ("encoder", "output")
    settings = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, stages=stages))
    said = said_by("simeps")
    features = [{"encoder": said[i][0][:, :1], "output": jax.nn.softmax(said[i][0], -1)} for i in range(3)]
    expected = 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for stage in stages:
            for part in (slice(0, N), slice(N, None)):
                x, y = features[a][stage][part], features[b][stage][part]
                expected += float(jnp.square(similarity.gram(x) - similarity.gram(y)).mean())
    found = tell("simeps", said_by("simeps"), seen, settings)
    np.testing.assert_allclose(found.extra["similarity"], settings.simeps.kappa * expected, rtol=1e-5)
    assert set(found.maps) == {f"similarity, {s}, net {i}" for s in stages for i in range(3)}


def test_metassl_is_region_losses_of_both_halves_in_place_of_the_hosts(seen, joint):
    said = said_by("cps")
    found = whole("cps", said, seen, joint, "metassl", step=1234)
    pairs, truth = [(said[1][0], said[0][0]), (said[0][0], said[1][0])], np.asarray(seen.label)
    expected = float(found.scalars["supervised"])
    factor = float(ramp(jnp.int32(1234), joint.ramp.peak, joint.ramp.steps, joint.ramp.unit))
    for reference, learner in pairs:
        for part, weights in (
            (slice(N, None), metassl.region_weights(50, 0.6, 3)),
            (slice(0, N), metassl.region_weights(85, 0.3, 3)),
        ):
            p = np.asarray(jax.nn.softmax(reference[part], -1), np.float64)
            log = np.asarray(jax.nn.log_softmax(learner[part], -1), np.float64)
            best, sure = p.argmax(-1), p.max(-1)
            tau = np.full(CLASSES, 0.9)
            for c in range(CLASSES):
                if (best == c).any():
                    tau[c] = min(1, 0.5 * 0.9 + 0.5 * sure[best == c].mean())
            target = best if part.start == N else truth
            for region in range(4):
                sums, count = 0.0, 0
                for i in np.ndindex(best.shape):
                    agree, confident = best[i] == log[i].argmax(), sure[i] > tau[best[i]]
                    if region == 2 * (not agree) + (not confident):
                        sums, count = sums - log[i][target[i]], count + 1
                expected += factor * weights[region] * sums / (count + 1)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-4)


def test_metassl_weights_go_with_the_method_unless_named(joint):
    # Methods.md 2.2, as printed: rounded.
    beside_cps = (50, 40.3, 8.9, 0.15), (85, 82.7, 68.5, 41.0)
    beside_teacher = (50, 40, 0.20, 6.4), (50, 35.7, 18.2, 25.5)
    for name, host in JOINT_METHODS.items():
        wanted = beside_teacher if name == "mean_teacher" else beside_cps
        for found, weights in zip(host.region_weights(joint.metassl), wanted, strict=True):
            assert found == pytest.approx(weights, abs=0.05)
    named = dataclasses.replace(joint.metassl, unlabeled=(1.0, 2.0, 3.0, 4.0))
    assert JOINT_METHODS["mean_teacher"].region_weights(named)[0] == (1.0, 2.0, 3.0, 4.0)


def test_cps_learns_of_labeled_images_where_it_is_told_to(seen, joint):
    assert tell("cps", said_by("cps"), seen, joint).labeled == []
    told = tell("cps", said_by("cps"), seen, dataclasses.replace(joint, cps_labeled=True))
    np.testing.assert_allclose(told.labeled[0].reference, jax.nn.softmax(said_by("cps")[1][0][:N], -1))
    np.testing.assert_array_equal(told.labeled[0].supervised, said_by("cps")[0][0][:N])


def test_simeps_of_four_nets(seen, joint):
    four = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, nets=4))
    said = {net: [logits(net)] for net in range(4)}
    told = JOINT_METHODS["simeps"].tell(Fakes(said), seen, four, False)
    others = [np.asarray(jax.nn.softmax(logits(net), -1)) for net in (0, 1, 3)]
    np.testing.assert_allclose(told.unlabeled[2].reference, np.maximum.reduce(others)[N:], rtol=1e-6)
    assert len(told.truth) == len(told.unlabeled) == JOINT_METHODS["simeps"].nets(four) == 4


def test_metassl_thresholds_are_kept_apart_and_move_on(seen, joint):
    first = total.first_thresholds(JOINT_METHODS["cps"], joint, SPEC, "metassl")
    assert {side: value.shape for side, value in first.items()} == {"unlabeled": (2, 3), "labeled": (2, 3)}
    second = whole("cps", said_by("cps"), seen, joint, "metassl", thresholds=first).thresholds
    third = whole("cps", said_by("cps"), seen, joint, "metassl", thresholds=second).thresholds
    reference = jax.nn.softmax(said_by("cps")[1][0], -1)
    counted = jnp.ones((M, SIDE, SIDE), bool)
    by_hand = first["unlabeled"][0]
    for _ in range(2):
        by_hand = metassl.update_thresholds(by_hand, reference[N:], counted, 0.5)
    np.testing.assert_allclose(third["unlabeled"][0], by_hand, rtol=1e-6)
    assert not np.allclose(third["unlabeled"], third["labeled"])
    assert not np.allclose(third["unlabeled"][0], third["unlabeled"][1])


def test_inconsistent_pixels_count_for_nothing():
    one, two = logits(1)[:M], logits(2)[:M]
    exchange = ConsistencyPair(jax.nn.softmax(one, -1), two, hard)
    agree = np.asarray(one).argmax(-1) == np.asarray(two).argmax(-1)
    np.testing.assert_array_equal(total.pixel_weights(exchange, "inconsistency"), agree)
    kept = jnp.asarray(np.random.default_rng(0).random(agree.shape) > 0.5)
    weights = total.pixel_weights(exchange._replace(kept=kept), "inconsistency")
    np.testing.assert_array_equal(weights, agree & np.asarray(kept))
    assert np.all(
        total.pixel_weights(ConsistencyPair(jax.nn.softmax(one, -1), one, hard), "inconsistency") == 1
    )


@pytest.mark.parametrize("how", [hard, soft, overlap, divergence])
def test_agreement_costs_little_and_weights_of_nothing_cost_nothing(how):
    sure = 30 * jax.nn.one_hot(jnp.arange(12).reshape(1, 3, 4) % 3, 3)
    reference, ones = jax.nn.softmax(sure, -1), jnp.ones((1, 3, 4))
    assert how(reference, sure, ones) == pytest.approx(0, abs=1e-4)
    assert how(reference, -sure, ones) > 0.2
    if how is not overlap:
        assert how(reference, -sure, 0 * ones) == 0


def test_divergence_by_hand():
    reference = jnp.asarray([[[0.5, 0.5]]])
    supervised = jnp.log(jnp.asarray([[[0.25, 0.75]]]))
    # ½ ln 2 + ½ ln ⅔.
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(divergence(reference, supervised, jnp.ones((1, 1))), expected, rtol=1e-5)


def test_classes_of_a_pixel_are_its_sigmoid():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 1)), jnp.float32)
    binary = jax.nn.softmax(as_classes("binary", x), -1)
    assert binary.shape == (2, 3, 4, 2)
    np.testing.assert_allclose(binary[..., 1], jax.nn.sigmoid(x[..., 0]), rtol=1e-5)
    x = jnp.tile(x, 3) * jnp.arange(1, 4)
    several = jax.nn.softmax(as_classes("multilabel", x), -1)
    assert several.shape == (2, 3, 4, 3, 2)
    np.testing.assert_allclose(several[..., 1], jax.nn.sigmoid(x), rtol=1e-5)
    assert as_classes("multiclass", x) is x


def test_cutmix_takes_the_next_image_inside_the_box(seen):
    x = jnp.arange(M * SIDE * SIDE, dtype=jnp.float32).reshape(M, SIDE, SIDE)
    box = jnp.zeros((M, SIDE, SIDE), bool).at[0, :2, 1:].set(True)
    mixed = np.asarray(mix(box, x))
    np.testing.assert_array_equal(mixed[1:], x[1:])
    np.testing.assert_array_equal(mixed[0, :2, 1:], x[1, :2, 1:])
    np.testing.assert_array_equal(mixed[0, 2:], x[0, 2:])


def test_weak_views_move_image_and_label_alike(joint):
    label = np.random.default_rng(0).integers(0, 3, (4, 8, 8), np.uint8)
    images = (label * 100)[..., None]
    batch = {"labeled": {"image": images, "label": label}, "unlabeled": {"image": images}}
    seen = BatchViews(jax.tree.map(jnp.asarray, batch), joint, True, jax.random.key(0))
    np.testing.assert_array_equal(seen.parts(seen.images)[0][..., 0], seen.label * 100)
    assert not np.array_equal(seen.label, label)


def test_told_without_exchanges_is_the_supervised_loss(seen, joint):
    found = whole("supervised", said_by("supervised"), seen, joint)
    expected = losses.overlap_loss(said_by("supervised")[0][0][M:], seen.label)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)
    assert JointOutputs([], [], []).extra == {}
