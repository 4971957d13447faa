"""Joint-training methods: which prediction is trained on which, and the sum of their losses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax import losses
from imjax.config.convert import freeze
from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.joint import loss as joint_losses
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointOutputs,
    ce_linear_dice,
    hard_cross_entropy,
    hard_dice,
    kl_divergence,
    mse_consistency,
)
from imjax.methods.joint.forward import NetOutput, StudentForward, as_classes
from imjax.methods.joint.views import BatchViews, cutmix_with_next
from imjax.methods.registry import JOINT_METHODS
from imjax.ops import metassl, similarity
from imjax.ops.rampup import sigmoid_rampup

N, M, SIDE, CLASSES = 2, 3, 4, 3
SPEC = DatasetSpec("toy", "Toy", "multiclass", ("background", "a", "b"), ((0, 0, 0),) * 3, background=True)


@pytest.fixture(scope="module")
def joint():
    from imjax.config.defaults import common

    settings = freeze(common().to_dict()["joint"], Joint)
    return dataclasses.replace(settings, confidence_threshold=0.4, cutmix_prob=1.0)


@pytest.fixture(scope="module")
def views(joint):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N + M, SIDE, SIDE, 1), np.uint8)
    label = rng.integers(0, CLASSES, (N, SIDE, SIDE), np.uint8)
    batch = {"labeled": {"image": images[:N], "label": label}, "unlabeled": {"image": images[N:]}}
    return BatchViews(jax.tree.map(jnp.asarray, batch), joint, True, jax.random.key(1))


class FakeNets(StudentForward):
    """Nets with predefined outputs: logits for each call of each net, in order."""

    def __init__(self, predictions, teacher=None, apart=False):
        self.step = jnp.int32(0)
        self._logits = {net: list(calls) for net, calls in predictions.items()}
        if apart:
            # One call for each half of the batch.
            self._logits = {net: [calls[0][:N], calls[0][N:]] for net, calls in self._logits.items()}
        self._teacher = teacher

    def next_key(self):
        return jax.random.key(3)

    def __call__(self, index, images, hook=None, perturb=(), taps=False):
        logits = self._logits[index].pop(0)
        logits = logits[-len(images) :] if hook is None else jnp.concatenate([logits, logits * 0.5])
        auxiliary = [logits * (k + 2) for k in range(len(perturb))]
        features = {"encoder": logits[:, :1], "decoder": logits[:, 1:]} if taps else {}
        return NetOutput(logits, auxiliary, features)

    def teacher(self, images):
        # UA-MT's passes take the unlabeled images twice.
        given = jnp.concatenate([self._teacher[N:]] * 2) if len(images) == 2 * M else self._teacher
        return jax.lax.stop_gradient(given[-len(images) :])


def logits(seed, scale=2.0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(0, scale, (N + M, SIDE, SIDE, CLASSES)), jnp.float32)


CALLS = {"supervised": {0: 1}, "mean_teacher": {0: 1}, "fixmatch": {0: 2}, "unimatch": {0: 3}, "cct": {0: 1},
         "rdrop": {0: 2}, "cps": {0: 1, 1: 1}, "simeps": {0: 1, 1: 1, 2: 1},
         "ua_mt": {0: 1}, "ict": {0: 1}, "uaps": {0: 1}, "urpc": {0: 1}}  # fmt: skip
"""Calls of each net in one step."""


def logits_of(name):
    return {net: [logits(10 * net + call) for call in range(n)] for net, n in CALLS[name].items()}


def run_method(name, predictions, views, joint, both=False):
    return JOINT_METHODS[name].forward(
        FakeNets(predictions, logits(99), apart=name in ("simeps", "uaps")), views, joint, both
    )


def compute_loss(name, predictions, views, joint, weighting="none", step=10**9, thresholds=None):
    """The loss as training computes it; late, so that the ramp-up is at its peak."""
    method, joint = JOINT_METHODS[name], dataclasses.replace(joint, pixel_weighting=weighting)
    outputs = run_method(name, predictions, views, joint, weighting == "metassl")
    thresholds = thresholds or joint_losses.initial_thresholds(method, joint, SPEC)
    return joint_losses.joint_loss(
        outputs,
        views.label,
        jnp.int32(step),
        thresholds,
        method=method,
        joint=joint,
        spec=SPEC,
    )


@pytest.mark.parametrize("name", sorted(JOINT_METHODS))
@pytest.mark.parametrize("weighting", ["none", "inconsistency", "csl", "metassl"])
def test_every_method_has_a_finite_loss_with_every_weighting(name, weighting, views, joint):
    if weighting != "none" and name == "supervised":
        return
    found = compute_loss(name, logits_of(name), views, joint, weighting)
    assert np.isfinite(found.loss)
    assert set(found.metrics) == set(joint_losses.metric_names(JOINT_METHODS[name], SPEC, weighting))
    outputs = run_method(name, logits_of(name), views, joint, weighting == "metassl")
    assert len(outputs.unlabeled_pairs) == JOINT_METHODS[name].num_pairs(joint)
    if weighting == "metassl":
        assert len(outputs.labeled_pairs) == len(outputs.unlabeled_pairs)
        assert sum(
            float(found.metrics[f"region_share_{r}"]) for r in joint_losses.REGION_NAMES
        ) == pytest.approx(1)


def consistency(name, predictions, views, joint, part):
    """Loss of the pairs on the unlabeled images alone."""
    outputs = run_method(name, predictions, views, joint)
    return sum(
        e.weight * e.loss_fn(e.reference, e.supervised, joint_losses.pixel_weights(e, "none"))
        for e in part(outputs)
    )


def flows(name, views, joint, part=lambda outputs: outputs.unlabeled_pairs):
    """For each net and call, whether the gradient reaches its unlabeled logits."""
    gradient = jax.grad(lambda predictions: consistency(name, predictions, views, joint, part))(
        logits_of(name)
    )
    return {net: [bool(np.abs(g[N:]).max() > 0) for g in calls] for net, calls in gradient.items()}


def test_references_get_no_gradient(views, joint):
    assert flows("mean_teacher", views, joint) == {0: [True]}
    # Weak, then strong.
    assert flows("fixmatch", views, joint) == {0: [False, True]}
    # The weak view learns through its dropped features only: the fake net gives half of the same logits.
    assert flows("unimatch", views, joint, lambda outputs: outputs.unlabeled_pairs[:2]) == {
        0: [False, True, True]
    }
    assert flows("unimatch", views, joint, lambda outputs: outputs.unlabeled_pairs[2:]) == {
        0: [True, False, False]
    }
    assert flows("cps", views, joint, lambda outputs: outputs.unlabeled_pairs[:1]) == {0: [True], 1: [False]}
    assert flows("cps", views, joint, lambda outputs: outputs.unlabeled_pairs[1:]) == {0: [False], 1: [True]}
    assert flows("simeps", views, joint, lambda outputs: outputs.unlabeled_pairs[1:2]) == {
        0: [False],
        1: [True],
        2: [False],
    }
    # R-Drop: into both.
    assert flows("rdrop", views, joint, lambda outputs: outputs.unlabeled_pairs[:1]) == {0: [True, True]}


def test_cct_main_decoder_is_not_trained_on_the_auxiliary_ones(views, joint):
    outputs = run_method("cct", logits_of("cct"), views, joint)
    main = logits_of("cct")

    def loss(main):
        outputs = run_method("cct", {0: [main]}, views, joint)
        # Auxiliary logits are the fake's own, times 2, 3, 4: taken as constants.
        stopped = [jax.lax.stop_gradient(e.supervised) for e in outputs.unlabeled_pairs]
        ones = jnp.ones((M, SIDE, SIDE))
        return sum(
            mse_consistency(e.reference, s, ones)
            for e, s in zip(outputs.unlabeled_pairs, stopped, strict=True)
        )

    assert not np.any(jax.grad(loss)(main[0][0]))
    for k, pair in enumerate(outputs.unlabeled_pairs):
        np.testing.assert_allclose(pair.reference, jax.nn.softmax(logits(0)[N:], -1), rtol=1e-5)
        np.testing.assert_allclose(pair.supervised, (k + 2) * logits(0)[N:], rtol=1e-6)


def test_cps_is_supervised_loss_and_ramped_cross_entropy_both_ways(views, joint):
    predictions = logits_of("cps")
    one, two = predictions[0][0], predictions[1][0]
    expected = sum(losses.ce_dice_loss(x[:N], views.label) for x in (one, two))
    p = jax.nn.log_softmax
    for target, learner in ((two, one), (one, two)):
        best = np.asarray(target[N:]).argmax(-1)
        picked = np.take_along_axis(np.asarray(p(learner[N:], -1)), best[..., None], -1)
        expected += joint.rampup.max_weight * -picked.mean()
    np.testing.assert_allclose(compute_loss("cps", predictions, views, joint).loss, expected, rtol=1e-5)


def test_fixmatch_counts_sure_pixels_of_the_mixed_weak_view(views, joint):
    predictions = logits_of("fixmatch")
    outputs = run_method("fixmatch", predictions, views, joint)
    # The same draws anew: the boxes of a first strong view.
    again = BatchViews.__new__(BatchViews)
    again.__dict__.update(views.__dict__, _strong_drawn=strong_views_before(views))
    _, box = again.strong_views()
    weak = np.asarray(jax.nn.softmax(predictions[0][0][N:], -1))
    mixed = np.where(np.asarray(box)[..., None], np.roll(weak, -1, 0), weak)
    np.testing.assert_allclose(outputs.unlabeled_pairs[0].reference, mixed, rtol=1e-6)
    np.testing.assert_array_equal(
        outputs.unlabeled_pairs[0].mask, mixed.max(-1) >= joint.confidence_threshold
    )


def strong_views_before(views):
    """Strong views drawn so far, but for the last."""
    return views._strong_drawn - 1


def test_unimatch_weights(views, joint):
    outputs = run_method("unimatch", logits_of("unimatch"), views, joint)
    assert [e.weight for e in outputs.unlabeled_pairs] == [0.25, 0.25, 0.5]
    found = compute_loss("unimatch", logits_of("unimatch"), views, joint, step=0)
    # ½(L_x + ...), without a ramp-up from the first step on.
    parts = found.metrics
    np.testing.assert_allclose(found.loss, 0.5 * (parts["supervised"] + parts["consistency"]), rtol=1e-6)


def test_simeps_reference_is_the_maximum_of_the_others_on_both_halves(views, joint):
    predictions = logits_of("simeps")
    probabilities = [np.asarray(jax.nn.softmax(predictions[i][0], -1)) for i in range(3)]
    outputs = run_method("simeps", predictions, views, joint)
    surest = np.maximum(probabilities[0], probabilities[2])
    np.testing.assert_allclose(outputs.unlabeled_pairs[1].reference, surest[N:], rtol=1e-6)
    np.testing.assert_allclose(outputs.labeled_pairs[1].reference, surest[:N], rtol=1e-6)
    mean = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, reduce="mean"))
    outputs = run_method("simeps", logits_of("simeps"), views, mean)
    np.testing.assert_allclose(
        outputs.unlabeled_pairs[0].reference, (probabilities[1] + probabilities[2])[N:] / 2, rtol=1e-5
    )


def test_simeps_similarity_over_pairs_halves_and_stages(views, joint):
    stages = ("encoder", "output")
    settings = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, feature_levels=stages))
    predictions = logits_of("simeps")
    features = [{"encoder": predictions[i][0][:, :1], "output": predictions[i][0]} for i in range(3)]
    expected = 0.0
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for stage in stages:
            for part in (slice(0, N), slice(N, None)):
                x, y = features[a][stage][part], features[b][stage][part]
                expected += float(jnp.square(similarity.gram_matrix(x) - similarity.gram_matrix(y)).mean())
    found = run_method("simeps", logits_of("simeps"), views, settings)
    np.testing.assert_allclose(found.extra_losses["similarity"], settings.simeps.kappa * expected, rtol=1e-5)
    assert set(found.similarity_maps) == {f"similarity, {s}, net {i}" for s in stages for i in range(3)}


def test_metassl_is_region_losses_of_both_halves_in_place_of_the_pairs(views, joint):
    predictions = logits_of("cps")
    found = compute_loss("cps", predictions, views, joint, "metassl", step=1234)
    pairs, truth = (
        [(predictions[1][0], predictions[0][0]), (predictions[0][0], predictions[1][0])],
        np.asarray(views.label),
    )
    expected = float(found.metrics["supervised"])
    factor = float(
        sigmoid_rampup(
            jnp.int32(1234), joint.rampup.max_weight, joint.rampup.steps, joint.rampup.update_every
        )
    )
    for reference, learner in pairs:
        for part, weights in (
            (slice(N, None), metassl.region_weights(50, 0.6, 3)),
            (slice(0, N), metassl.region_weights(85, 0.3, 3)),
        ):
            p = np.asarray(jax.nn.softmax(reference[part], -1), np.float64)
            log = np.asarray(jax.nn.log_softmax(learner[part], -1), np.float64)
            unlabeled = part.start == N
            # Of labeled pixels the learner's own confidence counts.
            deciding = p if unlabeled else np.exp(log)
            best, sure = deciding.argmax(-1), deciding.max(-1)
            tau = np.full(CLASSES, 0.9)
            for c in range(CLASSES):
                if (best == c).any():
                    tau[c] = min(1, 0.5 * 0.9 + 0.5 * sure[best == c].mean())
            target = best if unlabeled else truth
            for region in range(4):
                sums, count = 0.0, 0
                for i in np.ndindex(best.shape):
                    agree, confident = p[i].argmax() == log[i].argmax(), sure[i] > tau[best[i]]
                    if region == 2 * (not agree) + (not confident):
                        sums, count = sums - log[i][target[i]], count + 1
                expected += factor * weights[region] * sums / (count + 1)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-4)


def test_metassl_weights_go_with_the_method_unless_named(joint):
    # Methods.md 2.2, as printed: rounded.
    beside_cps = (50, 40.3, 8.9, 0.15), (85, 82.7, 68.5, 41.0)
    beside_teacher = (50, 40, 0.20, 6.4), (50, 35.7, 18.2, 25.5)
    beside_cct = (50, 40.3, 0.15, 8.9), (50, 48.7, 24.1, 40.3)
    own = {"mean_teacher": beside_teacher, "cct": beside_cct}
    for name, method in JOINT_METHODS.items():
        wanted = own.get(name, beside_cps)
        for found, weights in zip(method.region_weights(joint.metassl), wanted, strict=True):
            assert found == pytest.approx(weights, abs=0.05)
    named = dataclasses.replace(joint.metassl, unlabeled=(1.0, 2.0, 3.0, 4.0))
    assert JOINT_METHODS["mean_teacher"].region_weights(named)[0] == (1.0, 2.0, 3.0, 4.0)


def test_cps_trains_on_labeled_images_if_configured(views, joint):
    assert run_method("cps", logits_of("cps"), views, joint).labeled_pairs == []
    outputs = run_method("cps", logits_of("cps"), views, dataclasses.replace(joint, cps_labeled=True))
    np.testing.assert_allclose(
        outputs.labeled_pairs[0].reference, jax.nn.softmax(logits_of("cps")[1][0][:N], -1)
    )
    np.testing.assert_array_equal(outputs.labeled_pairs[0].supervised, logits_of("cps")[0][0][:N])


def test_simeps_of_four_nets(views, joint):
    four = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, num_nets=4))
    predictions = {net: [logits(net)] for net in range(4)}
    outputs = JOINT_METHODS["simeps"].forward(FakeNets(predictions, apart=True), views, four, False)
    others = [np.asarray(jax.nn.softmax(logits(net), -1)) for net in (0, 1, 3)]
    np.testing.assert_allclose(outputs.unlabeled_pairs[2].reference, np.maximum.reduce(others)[N:], rtol=1e-6)
    assert (
        len(outputs.labeled_logits)
        == len(outputs.unlabeled_pairs)
        == JOINT_METHODS["simeps"].num_nets(four)
        == 4
    )


def test_metassl_thresholds_are_kept_apart_and_move_on(views, joint):
    weighed = dataclasses.replace(joint, pixel_weighting="metassl")
    first = joint_losses.initial_thresholds(JOINT_METHODS["cps"], weighed, SPEC)
    assert {side: value.shape for side, value in first.items()} == {"unlabeled": (2, 3), "labeled": (2, 3)}
    second = compute_loss("cps", logits_of("cps"), views, joint, "metassl", thresholds=first).thresholds
    third = compute_loss("cps", logits_of("cps"), views, joint, "metassl", thresholds=second).thresholds
    reference = jax.nn.softmax(logits_of("cps")[1][0], -1)
    counted = jnp.ones((M, SIDE, SIDE), bool)
    by_hand = first["unlabeled"][0]
    for _ in range(2):
        by_hand = metassl.update_thresholds(by_hand, reference[N:], counted, 0.5)
    np.testing.assert_allclose(third["unlabeled"][0], by_hand, rtol=1e-6)
    assert not np.allclose(third["unlabeled"], third["labeled"])
    assert not np.allclose(third["unlabeled"][0], third["unlabeled"][1])


def test_inconsistent_pixels_count_for_nothing():
    one, two = logits(1)[:M], logits(2)[:M]
    pair = ConsistencyPair(jax.nn.softmax(one, -1), two, hard_cross_entropy)
    agree = np.asarray(one).argmax(-1) == np.asarray(two).argmax(-1)
    np.testing.assert_array_equal(joint_losses.pixel_weights(pair, "inconsistency"), agree)
    mask = jnp.asarray(np.random.default_rng(0).random(agree.shape) > 0.5)
    weights = joint_losses.pixel_weights(pair._replace(mask=mask), "inconsistency")
    np.testing.assert_array_equal(weights, agree & np.asarray(mask))
    assert np.all(
        joint_losses.pixel_weights(
            ConsistencyPair(jax.nn.softmax(one, -1), one, hard_cross_entropy), "inconsistency"
        )
        == 1
    )


@pytest.mark.parametrize(
    "loss_fn", [hard_cross_entropy, hard_dice, mse_consistency, ce_linear_dice, kl_divergence]
)
def test_agreement_costs_little_and_zero_weights_cost_nothing(loss_fn):
    sure = 30 * jax.nn.one_hot(jnp.arange(12).reshape(1, 3, 4) % 3, 3)
    reference, ones = jax.nn.softmax(sure, -1), jnp.ones((1, 3, 4))
    assert loss_fn(reference, sure, ones) == pytest.approx(0, abs=1e-4)
    assert loss_fn(reference, -sure, ones) > 0.2
    if loss_fn is not ce_linear_dice:
        assert loss_fn(reference, -sure, 0 * ones) == 0


def test_dice_of_confident_pixels_by_hand():
    # Four pixels of two classes; the last one is not confident. Probabilities of class 1: 0, ½, 1.
    reference = jnp.asarray([[[1.0, 0], [0, 1], [0, 1], [0.6, 0.4]]])
    supervised = jnp.asarray([[[40.0, 0], [0, 0], [0, 40], [0, 40]]])
    confident = (reference.max(-1) >= 0.95).astype(jnp.float32)
    # Class 0: 2·1/((1 + ¼) + 1), class 1: 2·(½ + 1)/((¼ + 1) + 2).
    expected = 1 - (2 / 2.25 + 3 / 3.25) / 2
    np.testing.assert_allclose(hard_dice(reference, supervised, confident), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["fixmatch", "unimatch"])
def test_the_loss_of_pseudo_labels_is_chosen(name, views, joint):
    chosen = dataclasses.replace(joint, pseudo_label_loss="dice")
    for settings, loss_fn in ((joint, hard_cross_entropy), (chosen, hard_dice)):
        outputs = run_method(name, logits_of(name), views, settings)
        assert {pair.loss_fn for pair in outputs.unlabeled_pairs} == {loss_fn}
    found = compute_loss(name, logits_of(name), views, chosen, step=0)
    assert np.isfinite(found.loss)


@pytest.mark.parametrize("name", ["fixmatch", "mean_teacher"])
def test_unlabeled_images_count_after_the_warmup(name, views, joint):
    late = dataclasses.replace(joint, warmup_steps=40)

    def ramp(step, settings):
        return float(compute_loss(name, logits_of(name), views, settings, step=step).metrics["ramp"])

    assert ramp(39, late) == 0 < ramp(40, late)
    # The ramp-up begins with the first step that counts.
    assert ramp(40, late) == ramp(0, joint)
    assert ramp(10_040, late) == ramp(10_000, joint)
    before = compute_loss(name, logits_of(name), views, late, step=0)
    scale = JOINT_METHODS[name].loss_scale
    np.testing.assert_allclose(before.loss, scale * before.metrics["supervised"], rtol=1e-6)


def test_divergence_by_hand():
    reference = jnp.asarray([[[0.5, 0.5]]])
    supervised = jnp.log(jnp.asarray([[[0.25, 0.75]]]))
    # ½ ln 2 + ½ ln ⅔.
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(kl_divergence(reference, supervised, jnp.ones((1, 1))), expected, rtol=1e-5)


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


def test_cutmix_takes_the_next_image_inside_the_box(views):
    x = jnp.arange(M * SIDE * SIDE, dtype=jnp.float32).reshape(M, SIDE, SIDE)
    box = jnp.zeros((M, SIDE, SIDE), bool).at[0, :2, 1:].set(True)
    mixed = np.asarray(cutmix_with_next(box, x))
    np.testing.assert_array_equal(mixed[1:], x[1:])
    np.testing.assert_array_equal(mixed[0, :2, 1:], x[1, :2, 1:])
    np.testing.assert_array_equal(mixed[0, 2:], x[0, 2:])


def test_weak_views_move_image_and_label_alike(joint):
    label = np.random.default_rng(0).integers(0, 3, (4, 8, 8), np.uint8)
    images = (label * 100)[..., None]
    batch = {"labeled": {"image": images, "label": label}, "unlabeled": {"image": images}}
    views = BatchViews(jax.tree.map(jnp.asarray, batch), joint, True, jax.random.key(0))
    np.testing.assert_array_equal(views.split(views.images)[0][..., 0], views.label * 100)
    assert not np.array_equal(views.label, label)


def test_outputs_without_pairs_give_the_supervised_loss(views, joint):
    found = compute_loss("supervised", logits_of("supervised"), views, joint)
    expected = losses.ce_dice_loss(logits_of("supervised")[0][0][M:], views.label)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-6)
    assert JointOutputs([], [], []).extra_losses == {}
