"""Members over chunks and devices: every layout gives the numbers of one member at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.training.ensemble_parallel import Members

pytestmark = pytest.mark.optimized


def scaled_sum(weights, batch, shared):
    return {"out": jnp.tanh(weights @ batch.T + shared), "sum": batch.sum()}


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("per_chunk", [0, 2, 3])
@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("sequential", [False, True])
def test_map_equals_a_loop(count, per_chunk, devices, sequential):
    random = np.random.default_rng(0)
    weights = random.normal(size=(count, 2, 3)).astype(np.float32)
    batch = random.normal(size=(count, 4, 3)).astype(np.float32)
    shared = random.normal(size=(2, 4)).astype(np.float32)
    members = Members(count, per_chunk, jax.devices()[:devices], sequential)
    run = members.map(scaled_sum, shared=(2,))
    out = members.gather(run(members.shard(weights), members.shard(batch), members.replicate(shared)))
    expected = [scaled_sum(w, b, shared) for w, b in zip(weights, batch, strict=True)]
    np.testing.assert_allclose(out["out"], [e["out"] for e in expected], rtol=1e-5)
    np.testing.assert_allclose(out["sum"], [e["sum"] for e in expected], rtol=1e-5)


def test_spread_and_collect_are_inverse():
    tree = {"a": np.arange(10).reshape(5, 2), "b": np.arange(5.0, dtype=np.float32)}
    members = Members(5, 1, jax.devices()[:2])
    assert members.chunks == 3
    back = members.gather(members.shard(tree))
    jax.tree.map(np.testing.assert_array_equal, back, tree)


@pytest.mark.parametrize(("per_chunk", "sequential"), [(1, False), (2, False), (2, True)])
def test_members_draw_from_typed_keys_as_one_model_does(per_chunk, sequential):
    keys = jnp.stack([jax.random.key(member) for member in range(3)])
    members = Members(3, per_chunk, jax.devices()[:2], sequential)
    drawn = members.gather(members.map(lambda key: jax.random.bits(key, (4,)))(members.shard(keys)))
    np.testing.assert_array_equal(drawn, [jax.random.bits(key, (4,)) for key in keys])


def test_no_more_devices_than_members_and_one_member_per_cpu_device():
    assert len(Members(3).devices) == 3
    assert Members(9).per_device == 1 and Members(9).chunks == 3


def test_donated_state_is_taken_over():
    members = Members(2)
    state = members.shard(np.zeros((2, 8), np.float32))
    members.map(lambda s: s + 1, donate=(0,))(state)
    assert all(leaf.is_deleted() for leaf in state)


def test_sequential_members_keep_their_convolutions_ungrouped():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def groups(sequential):
        members = Members(4, 4, jax.devices()[:1], sequential)
        images, kernels = np.zeros((4, 1, 8, 8, 3), np.float32), np.zeros((4, 3, 3, 3, 5), np.float32)
        program = jax.make_jaxpr(members.map(convolve))(members.shard(images), members.shard(kernels))
        return "feature_group_count=4" in str(program)

    assert groups(sequential=False) and not groups(sequential=True)


@pytest.mark.parametrize("per_chunk", [1, 2])
def test_the_first_and_the_second_step_share_one_program(per_chunk):
    """The first step gets placed arrays, the second one the results of the first."""
    compiled = []

    def count(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    members = Members(4, per_chunk)
    step, state = members.map(lambda state: state * 2 + 1), members.shard(np.arange(4.0))
    compiled.clear()
    state = step(state)
    assert len(compiled) == 1
    state = step(state)
    assert len(compiled) == 1
    np.testing.assert_array_equal(members.gather(state), np.arange(4.0) * 4 + 3)
