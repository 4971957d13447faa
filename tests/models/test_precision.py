"""bfloat16 against float32 over whole nets: what the type may change, and by how much."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imjax import losses
from imjax.data import synthetic
from imjax.models.benchmark_unet import BenchmarkUNet
from imjax.models.unet import UNet

CLASSES, STEPS = 4, 40
TYPES = (jnp.float32, jnp.bfloat16)
QUICK = {"xla_backend_optimization_level": 0}
"""Programs that are compiled in moments; most of the time would go there."""
NETS = {
    "study": lambda dtype: UNet(CLASSES, 0.25, momentum=0.9, dtype=dtype),
    "benchmark": lambda dtype: BenchmarkUNet(CLASSES, features=(8, 16, 16, 16, 16), dtype=dtype),
}


def scenes():
    draw = np.random.default_rng(0)
    images, labels = zip(*(synthetic.scene(draw, (32, 32)) for _ in range(8)), strict=True)
    return jnp.asarray(np.stack(images)), jnp.asarray(np.stack(labels)) % CLASSES


def slopes(net):
    """Loss of a training step, new statistics and the gradient."""
    images, labels = scenes()

    def loss(params, stats, key):
        logits, rest = net.apply(
            {"params": params, **stats}, images, train=True, rngs={"dropout": key}, mutable=list(stats)
        )
        return losses.cross_entropy(logits, labels), rest

    return jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)


def trained(net, variables):
    """Variables after a short training, and the losses on the way."""
    step, tx = slopes(net), optax.adam(0.003)
    stats = {k: v for k, v in variables.items() if k != "params"}
    params, state, seen = variables["params"], tx.init(variables["params"]), []
    for key in jax.random.split(jax.random.key(1), STEPS):
        (loss, stats), gradient = step(params, stats, key)
        change, state = tx.update(gradient, state)
        params = optax.apply_updates(params, change)
        seen.append(float(loss))
    return {"params": params, **stats}, seen


@pytest.mark.parametrize("name", NETS)
def test_training_in_bfloat16_is_that_in_float32_within_tolerance(name):
    full, half = (NETS[name](dtype) for dtype in TYPES)
    images, _ = scenes()
    variables = jax.jit(full.init, compiler_options=QUICK)(jax.random.key(0), images)
    first, second = (trained(net, variables) for net in (full, half))
    # The first step is the same but for rounding. Deep down the gradients are not: weights that are changed
    # by 1/512 turn them as far in float32. What must hold is that both ways lead to the same place.
    assert second[1][0] == pytest.approx(first[1][0], rel=0.01)
    ends = [np.mean(seen[-5:]) for _, seen in (first, second)]
    assert ends[0] < 0.7 * first[1][0] and ends[1] == pytest.approx(ends[0], rel=0.1)
    # One net, asked in both types: probabilities and classes.
    logits = [jax.jit(net.apply, compiler_options=QUICK)(first[0], images) for net in (full, half)]
    p, q = (jax.nn.softmax(each) for each in logits)
    assert float(jnp.abs(p - q).mean()) < 0.01
    assert float((p.argmax(-1) == q.argmax(-1)).mean()) > 0.95
