"""bfloat16 against float32 over whole nets: what the type may change, and by how much."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.spec import DatasetSpec
from imjax.data.synthetic import scenes as synthetic
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout
from imjax.training import step
from imjax.training.objective import LOSS, segmentation_objective
from imjax.training.optimizer import Optimizer

CLASSES, STEPS = 4, 40
TYPES = (jnp.float32, jnp.bfloat16)
QUICK = {"xla_backend_optimization_level": 0}
"""Programs that are compiled in moments; most of the time would go there."""
SPEC = DatasetSpec("scenes", "Scenes", "multiclass", tuple("abcd"), tuple((i, i, i) for i in range(CLASSES)))
OPTIMIZER = Optimizer("adam", "constant", 0.003, 0.0, 0.0, 1e-8, horizon=0, patience=0)
NETS = {
    "unet_residual": lambda dtype: UNet(CLASSES, 0.25, momentum=0.9, dtype=dtype),
    "unet_dropout": lambda dtype: UNetDropout(CLASSES, features=(8, 16, 16, 16, 16), dtype=dtype),
}


@functools.cache
def scenes():
    draw = np.random.default_rng(0)
    images, labels = zip(*(synthetic.draw_scene(draw, (32, 32)) for _ in range(8)), strict=True)
    return {"image": np.stack(images), "label": np.stack(labels) % CLASSES}


def quick(function, *given):
    return jax.jit(functools.partial(function, *given), compiler_options=QUICK)


def trained(nets):
    """Per net the variables after a short training, and the losses on the way; all start with the first's."""
    tx = OPTIMIZER.make()
    start = quick(step.init, segmentation_objective(nets[0], SPEC, (32, 32)), tx, 0.0)(jax.random.key(0))
    for net in nets:
        (loss,) = segmentation_objective(net, SPEC, (32, 32)).losses.values()
        state, advance, totals = start, quick(step.train_step, loss, tx), [0.0]
        for _ in range(STEPS):
            state = advance(state, scenes(), jax.random.key(1))
            totals.append(float(state.sums[LOSS]))
        yield state.variables, np.diff(totals)


@pytest.mark.parametrize("name", NETS)
def test_training_in_bfloat16_is_that_in_float32_within_tolerance(name):
    full, half = (NETS[name](dtype) for dtype in TYPES)
    first, second = trained((full, half))
    # The first step is the same but for rounding. Deep down the gradients are not, as they are not in float32
    # if weights are changed by 1/512. What must hold is that both ways lead to the same place.
    assert second[1][0] == pytest.approx(first[1][0], rel=0.01)
    ends = [np.mean(seen[-5:]) for _, seen in (first, second)]
    assert ends[0] < 0.7 * first[1][0] and ends[1] == pytest.approx(ends[0], rel=0.1)
    # One net, asked in both types: probabilities and classes.
    logits = [quick(net.apply)(first[0], scenes()["image"]) for net in (full, half)]
    p, q = (jax.nn.softmax(each) for each in logits)
    assert float(jnp.abs(p - q).mean()) < 0.01
    assert float((p.argmax(-1) == q.argmax(-1)).mean()) > 0.95
