"""Four fake CPU devices for every test, set before JAX starts."""

import os

import pytest

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def command_environment(tmp_path_factory):
    """Environment of commands that tests start: a cache of their own, and this machine's real devices."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(tmp_path_factory.mktemp("cache")))
    del environment["XLA_FLAGS"]
    return environment
