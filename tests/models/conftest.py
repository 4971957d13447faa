"""Weights for the nets of the tests."""

import jax
import pytest


@pytest.fixture(scope="session")
def start():
    """Net and inputs -> variables, by a program that takes a moment to compile instead of half a minute."""
    quick = {"xla_backend_optimization_level": 0}
    return lambda net, *inputs: jax.jit(net.init, compiler_options=quick)(jax.random.key(0), *inputs)
