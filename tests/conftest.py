"""Four fake CPU devices for every test, set before JAX starts."""

import collections
import logging
import os
from pathlib import Path

import jax
import pytest
from jax._src import compiler

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


QUICK = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 2}
"""Of XLA: half of the time of a compilation goes into its newer generator of fused loops."""


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
        yield
        return
    make_options = compiler.get_compile_options

    def make_quick_options(*args, env_options_overrides=None, **kwargs):
        return make_options(*args, env_options_overrides=QUICK | (env_options_overrides or {}), **kwargs)

    # JAX has no setting for all programs of a process but XLA_FLAGS, which would hold for every file.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", make_quick_options)
        yield


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
    """The first one without TensorBoard's events, which a run writes only where there is TensorFlow; programs
    as in `run_environment`."""
    return dict(command_environment, PYTHONPATH=str(WITHOUT_TENSORFLOW), XLA_FLAGS=_write_flags(QUICK))


@pytest.fixture(scope="session")
def run_environment(command_environment):
    """The first one, for whole runs: programs fully optimized, but compiled without what takes long."""
    return dict(command_environment, XLA_FLAGS=_write_flags(QUICK))


@pytest.fixture(scope="session")
def quick_environment(light_environment):
    """The light one where making fast programs would take longer than slow ones run."""
    return dict(light_environment, XLA_FLAGS=_write_flags({"xla_backend_optimization_level": 0} | QUICK))


def _write_flags(flags):
    return " ".join(f"--{name}={value}".lower() for name, value in flags.items())


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
