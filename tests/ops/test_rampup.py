"""The ramp against values worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops.rampup import sigmoid_rampup


def test_values_of_the_benchmark():
    # T = 200 units of 150 steps. Unit 0: 0.1·e⁻⁵; unit 100: (1 − ½)² = ¼, so 0.1·e^−1.25; unit 150: (1/4)²,
    # 0.1·e^−0.3125; unit 198: (2/200)² = 1/10000, 0.1·e^−0.0005.
    steps = jnp.array([0, 149, 15000, 15149, 22500, 29849, 30000, 10**6])
    wanted = [0.00067379, 0.00067379, 0.02865048, 0.02865048, 0.07316156, 0.09995001, 0.1, 0.1]
    got = jax.jit(jax.vmap(lambda step: sigmoid_rampup(step, 0.1, 30000, 150)))(steps)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_it_never_falls_and_is_constant_within_a_unit():
    got = np.asarray(jax.jit(jax.vmap(lambda step: sigmoid_rampup(step, 1, 35, 10)))(jnp.arange(50)))
    assert (np.diff(got) >= 0).all()
    # Units 0..3 and, from step 40 (4 units are more than 35/10), the peak.
    assert len(np.unique(got)) == 5 and got[39] < 1 and got[40] == 1
    np.testing.assert_allclose(got[10], np.exp(-5 * (1 - 1 / 3.5) ** 2), rtol=1e-6)


def test_no_ramp_and_nonsense():
    assert float(sigmoid_rampup(0, 0.5, 0)) == 0.5
    for steps, update_every in ((-1, 1), (10, 0)):
        with pytest.raises(ValueError, match=f"{steps} steps in units of {update_every}"):
            sigmoid_rampup(0, 1, steps, update_every)
