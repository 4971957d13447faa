"""Four fake CPU devices for every test, set before JAX starts."""

import collections
import logging
import os
from pathlib import Path

import jax
import pytest

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
WITHOUT_TENSORFLOW = Path(__file__).parent / "without_tensorflow"

pytest_plugins = ["whole_runs"]


def pytest_collection_modifyitems(items):
    """Files whose tests start commands come first, then those of many tests: of two cores the last long file
    would leave one idle."""
    first = {item.path for item in items if "command_environment" in getattr(item, "fixturenames", ())}
    count = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in first, 0 if item.path in first else -count[item.path]))


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request):
    """Programs of tests run for milliseconds, and would be optimized for seconds.

    Files marked `optimized` compare numbers of different programs bit for bit, as they are in a run.
    """
    optimized = request.node.get_closest_marker("optimized") is not None
    jax.config.update("jax_disable_most_optimizations", not optimized)
    if optimized:
        # Those that other files compiled.
        jax.clear_caches()


@pytest.fixture(scope="session")
def command_environment(tmp_path_factory):
    """Environment of commands that tests start: a cache of their own, and this machine's real devices."""
    mine = tmp_path_factory.getbasetemp()
    # Processes of pytest-xdist have folders side by side, and compile the same programs.
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    environment = dict(os.environ, XDG_CACHE_HOME=str(shared / "cache"))
    del environment["XLA_FLAGS"]
    return environment


@pytest.fixture(scope="session")
def light_environment(command_environment):
    """The same without TensorBoard's events, which a run writes only where there is TensorFlow."""
    return dict(command_environment, PYTHONPATH=str(WITHOUT_TENSORFLOW))


@pytest.fixture(scope="session")
def quick_environment(light_environment):
    """The same where making fast programs would take longer than slow ones run."""
    return dict(light_environment, XLA_FLAGS="--xla_backend_optimization_level=0")


@pytest.fixture
def said():
    """What imjax tells the person during a test, a line each; also where a command took the log over."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler, logger = Keep(), logging.getLogger("imjax")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
