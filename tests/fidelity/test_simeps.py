"""simEps as released: its Dice, its similarity, its passes, its plateau (methods.md 2.1), by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.config.schema import Train
from imjax.data.spec import DatasetSpec
from imjax.evaluation import metrics
from imjax.methods.joint.forward import NetOutput, StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.methods.registry import JOINT_METHODS
from imjax.ops.rampup import sigmoid_rampup
from imjax.training import step
from imjax.training.objective import Objective, StepAux
from imjax.training.optimizer import Optimizer
from imjax.training.semi_supervised_objective import DICE, System, joint_objective

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("no", "yes"), ((0, 0, 0),) * 2, channels=1, background=True)
SIMEPS = JOINT_METHODS["simeps"]

# p(class 0) .8 and .4 at two pixels of the classes 0 and 1.
# Unsquared: 2·.8/(1.2 + 1) = .7273, 2·.6/(.8 + 1) = .6667. Squared: 1.6/1.8 = .8889, 1.2/1.4 = .8571.
DICE_LOSSES = [(False, 1 - (1.6 / 2.2 + 1.2 / 1.8) / 2), (True, 1 - (1.6 / 1.8 + 1.2 / 1.4) / 2)]


@pytest.mark.parametrize(("squared", "expected"), DICE_LOSSES)
def test_dice_loss(squared, expected):
    logits = jnp.log(jnp.array([[0.8, 0.2], [0.4, 0.6]]))
    labels = jnp.array([0, 1], jnp.uint8)
    assert float(losses.soft_dice(logits, labels, squared=squared)) == pytest.approx(expected, abs=1e-4)
    # simEps has no squares, all others do; the labeled and the validation loss are the method's.
    entropy = -(np.log(0.8) + np.log(0.6)) / 2
    method = SIMEPS if not squared else JOINT_METHODS["cps"]
    assert float(method.supervised_loss(logits, labels)) == pytest.approx((entropy + expected) / 2, abs=1e-4)


class Fake(StudentForward):
    """Nets with logits by image, which remember what they were called with."""

    def __init__(self, logits):
        self.logits, self.calls = logits, []

    def __call__(self, index, images, hook=None, perturb=(), taps=False):
        self.calls.append((index, len(images)))
        # The first half of a batch has the labeled images; both halves have the same logits here.
        return NetOutput(self.logits[index], [], {"encoder": self.logits[index]})


def forward(logits, **settings):
    joint = Joint()
    joint = dataclasses.replace(joint, simeps=dataclasses.replace(joint.simeps, num_nets=2, **settings))
    half = jnp.zeros((2, 4, 4, 1), jnp.uint8)
    batch = {
        "labeled": {"image": half, "label": jnp.zeros((2, 4, 4), jnp.uint8)},
        "unlabeled": {"image": half},
    }
    views = BatchViews(batch, joint, True, jax.random.key(0))
    nets = Fake(logits)
    return SIMEPS.forward(nets, views, joint, False), nets


def test_output_stage_compares_logits():
    # Per half two samples of one pixel. Net 0: logits (1, 0) and (0, 1), so that its Gram matrix is I.
    # Net 1: (1, 0) twice, so that each entry is 1/√2. MSE ((1 − .7071)² + .7071²)/2 = .2929 in each half.
    # On softmaxes it would be .0220.
    one = jnp.array([[1.0, 0], [0, 1]])[:, None, None]
    other = jnp.array([[1.0, 0], [1, 0]])[:, None, None]
    outputs, _ = forward([one, other], kappa=50.0)
    expected = 50 * 2 * ((1 - 0.5**0.5) ** 2 + 0.5) / 2
    assert float(outputs.extra_losses["similarity"]) == pytest.approx(expected, rel=1e-5)
    assert expected / 100 == pytest.approx(0.2929, abs=1e-4)


def test_labeled_and_unlabeled_images_pass_apart():
    logits = jnp.ones((2, 4, 4, 2))
    _, nets = forward([logits, logits])
    assert nets.calls == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_pseudo_label_is_the_argmax_of_the_elementwise_maximum():
    # Net 0 is sure of class 1 (.9), net 1 less so of class 0 (.6): the maximum over both is (.6, .9).
    sure, less = jnp.log(jnp.array([0.1, 0.9])), jnp.log(jnp.array([0.6, 0.4]))
    third = jnp.zeros((2, 4, 4, 2))
    joint = Joint()
    half = jnp.zeros((2, 4, 4, 1), jnp.uint8)
    batch = {
        "labeled": {"image": half, "label": jnp.zeros((2, 4, 4), jnp.uint8)},
        "unlabeled": {"image": half},
    }
    views = BatchViews(batch, joint, True, jax.random.key(0))
    nets = Fake([jnp.broadcast_to(x, (2, 4, 4, 2)) for x in (sure, less)] + [third])
    outputs = SIMEPS.forward(nets, views, joint, False)
    np.testing.assert_allclose(outputs.unlabeled_pairs[2].reference[0, 0, 0], [0.6, 0.9], rtol=1e-5)
    # On the labeled images too, whatever the weighting of the pixels.
    assert len(outputs.labeled_pairs) == 3


# Steps done, weight of the consistency: 0.1·exp(−5(1 − t/T)²), t in units of 150 steps, T = 200 units.
RAMP = [(0, 0.1 * np.exp(-5)), (15_000, 0.1 * np.exp(-5 / 4)), (30_000, 0.1), (60_000, 0.1)]


@pytest.mark.parametrize(("steps", "weight"), RAMP)
def test_ramp(steps, weight):
    rampup = Joint().rampup
    found = sigmoid_rampup(jnp.int32(steps), rampup.max_weight, rampup.steps, rampup.update_every)
    assert float(found) == pytest.approx(weight, rel=1e-5)


def test_plateau_watches_the_validation_dice():
    class Unused:
        def init(self, *_):
            raise AssertionError

        apply = init

    system = System(Unused(), SIMEPS, Joint(), SPEC)
    objective = joint_objective(system, (16, 16))
    assert objective.plateau_metric == DICE
    assert objective.plateau_value({"loss": 3.0, DICE: 0.75}) == 0.25
    other = Objective("other", lambda key: {}, {}, lambda variables, batch: {}, "loss", False)
    assert other.plateau_value({"loss": 3.0}) == 3.0


# Truth and prediction, Dice of the foreground that is in the truth.
HARD_DICE = [
    ([0, 1, 1, 2], [0, 1, 2, 2], (2 / 3 + 2 / 3) / 2),
    ([0, 1, 1, 1], [0, 1, 1, 2], 4 / 5),
    ([0, 0, 0, 0], [0, 1, 0, 0], 0.0),
]


@pytest.mark.parametrize(("truth", "prediction", "expected"), HARD_DICE)
def test_validation_dice(truth, prediction, expected):
    probabilities = jax.nn.one_hot(jnp.array([prediction]), 3)
    found = metrics.hard_mdice(probabilities, jnp.array([truth], jnp.uint8), 1)
    assert float(found) == pytest.approx(expected)


def test_rate_falls_after_patient_epochs_without_a_better_dice():
    # Validation Dice after each epoch of 3 steps, patience 2: .6 is best after epoch 2, and nothing better
    # comes. Each step moves the weight by the rate; epoch 6 is the first with a tenth of it throughout.
    options = dataclasses.replace(
        Train(), optimizer="sgd", schedule="plateau", learning_rate=1.0, momentum=0.0, weight_decay=0.0,
        patience=2,
    )  # fmt: skip
    tx = Optimizer.of(options, 3).make()
    loss = lambda variables, batch, key: (variables["params"].sum(), StepAux({}, {}))  # noqa: E731
    objective = Objective(
        "sum", lambda key: {"params": jnp.zeros(1)}, {"loss": loss}, lambda variables, batch: {}, DICE, True,
        plateau_metric=DICE,
    )  # fmt: skip
    state, moves = step.init(objective, tx, -np.inf, jax.random.key(0)), []
    for epoch, dice in enumerate([0.5, 0.6, 0.6, 0.6, 0.6, 0.6], 1):
        before = state.variables["params"]
        for _ in range(3):
            state = step.train_step(loss, tx, state, {}, jax.random.key(0))
        moves.append(float((before - state.variables["params"])[0]))
        plateau = objective.plateau_value({DICE: jnp.float32(dice)})
        state = step.update_best(objective, state, jnp.float32(dice), plateau, jnp.int32(epoch))
    assert moves[:4] == pytest.approx([3.0] * 4) and moves[5] == pytest.approx(0.3, rel=1e-4)
