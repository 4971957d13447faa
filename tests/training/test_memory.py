"""How much memory members take: by hand, against XLA's own count, and what is said when it runs out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.readers import registry
from imjax.errors import TrainingError
from imjax.models.unet import UNet
from imjax.training import memory
from imjax.training.objective import segmentation_objective

SIZE, BATCH = 32, 4
VECTOR = jax.ShapeDtypeStruct((100,), jnp.float32)


def test_a_chain_of_operations_by_hand():
    def chain(x):
        # x (400 bytes, kept), x + 1 (400) and, while it is made, their product's (400); the sum is 4.
        return ((x + 1) * 2).sum()

    assert memory.estimate_peak_bytes(chain, VECTOR) == 1200


def test_what_is_used_later_stays():
    def late(x):
        y, z = x + 1, x * 2
        # x, y, z and sin(z) at once; y waits for the end.
        return y + jnp.sin(z)

    assert memory.estimate_peak_bytes(late, VECTOR) == 1600


def test_inner_programs_count():
    inner = jax.jit(lambda x: jnp.outer(x, x).sum())
    assert memory.estimate_peak_bytes(lambda x: inner(x) + 1, VECTOR) >= 100 * 100 * 4


def _shapes():
    spec = registry.spec("suim")
    examples = {"image": np.zeros((1, SIZE, SIZE, 3), np.uint8), "label": np.zeros((1, SIZE, SIZE), np.uint8)}
    return segmentation_objective(UNet(spec.outputs, 0.25), spec, (SIZE, SIZE)), memory.shapes(
        examples, BATCH
    )


def test_training_takes_about_what_xla_counts():
    objective, batch = _shapes()
    estimate = memory.training_memory(objective, [batch], batch)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(objective.init, key)

    def gradient(variables, batch, key):
        rest = {"batch_stats": variables["batch_stats"]}
        loss = lambda params: objective.losses["loss"]({"params": params} | rest, batch, key)[0]  # noqa: E731
        return jax.grad(loss)(variables["params"])

    counted = jax.jit(gradient).lower(variables, batch, key).compile().memory_analysis()
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(jax.tree.map(np.empty_like, variables)))
    known = counted.temp_size_in_bytes + counted.argument_size_in_bytes + counted.output_size_in_bytes
    assert 0.7 < estimate / (known + memory.STATE * weights) < 1.5


def test_larger_batches_and_validation_take_more():
    objective, batch = _shapes()
    twice = jax.tree.map(lambda s: jax.ShapeDtypeStruct((2 * BATCH, *s.shape[1:]), s.dtype), batch)
    least = memory.training_memory(objective, [batch], batch)
    assert memory.training_memory(objective, [twice], batch) > 1.5 * least
    many = jax.tree.map(lambda s: jax.ShapeDtypeStruct((50 * BATCH, *s.shape[1:]), s.dtype), batch)
    assert memory.training_memory(objective, [batch], many) > least


def test_members_that_fit():
    need = lambda: 100  # noqa: E731
    # 0.7 of 1000 bytes, less 200 for all: five of 100 bytes.
    assert memory.members_that_fit(need, shared=200, memory_stats={"bytes_limit": 1000}) == 5
    assert memory.members_that_fit(need, shared=900, memory_stats={"bytes_limit": 1000}) == 1


def test_a_cpu_has_no_limit_and_is_not_asked():
    assert memory.members_that_fit(lambda: pytest.fail("asked")) == 0


def test_asking_counts_one_member():
    variables = {"w": np.zeros((3, 100), np.float32)}
    need = memory.inference_memory(lambda v, batch: v["w"] * 2, variables, VECTOR)
    # w, what comes of it, and the batch, which is there as well.
    assert need() == 1200


def test_a_device_out_of_memory_is_one_line_with_advice():
    huge = functools.partial(jnp.zeros, 2**45)
    with pytest.raises(TrainingError, match="stage x: out of memory .*; do this"):
        with memory.translate_oom("stage x", "do this"):
            jax.block_until_ready(huge())


def test_the_host_out_of_memory_too():
    with pytest.raises(TrainingError, match="predict: out of memory .of the host.; less"):
        with memory.translate_oom("predict", "less"):
            raise MemoryError


def test_other_errors_pass():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), memory.translate_oom("x", "y"):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
