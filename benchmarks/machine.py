"""What this machine is, and the two rates that bound every program on it."""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import platform
import time
from collections.abc import Callable
from typing import Any

from imjax.training import devices

PACKAGES = ("jax", "jaxlib", "flax", "torch", "keras", "tensorflow-cpu", "opencv-python-headless", "numpy")
COPIED = 256 << 20
"""Bytes of the array that is copied to measure bandwidth: far more than any cache holds."""


def facts() -> dict[str, Any]:
    """For the JSON line: processor, cores, versions."""
    return {
        "processor": devices.name_processor(),
        "cores": devices.count_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


class Limits:
    """Measured when made, for a worker: `facts` has the rates of the device that JAX has here.

    `flops`: floating-point operations per second of a square product, two per multiplication. `bytes`: per
    second of a copy, those read and those written.

    Args:
        side: of the product; large enough to hide its start, and the caches' size.
        dtype: of the product.
    """

    def __init__(self, side: int = 2048, dtype: str = "float32", copied: int = COPIED):
        import jax

        self.facts = {
            "device": jax.devices()[0].device_kind,
            "flops": _product_rate(side, dtype),
            "bytes": _copy_rate(copied),
        }

    def run(self, repeats: int) -> int:
        """Nothing to repeat."""
        return repeats


def _best(work: Callable[[], Any], times: int = 7) -> float:
    """Seconds of the quickest of several runs: a limit is what the machine can do undisturbed."""
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _product_rate(side: int, dtype: str) -> float:
    import jax
    import jax.numpy as jnp
    import numpy as np

    host = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    on_device = jnp.asarray(host, dtype)
    product = jax.jit(lambda a: a @ a)
    quickest = _best(lambda: product(on_device).block_until_ready())
    if jax.default_backend() == "cpu":
        # XLA's product is not always the best that there is; the limit is the machine's, not XLA's.
        quickest = min(quickest, _best(lambda: host @ host))
    return 2 * side**3 / quickest


def _copy_rate(copied: int) -> float:
    import jax
    import jax.numpy as jnp
    import numpy as np

    if jax.default_backend() != "cpu":
        array = jnp.zeros(copied // 4, jnp.float32)
        # A sum with a constant reads all and writes all; a plain copy might be done by another engine.
        more = jax.jit(lambda a: a + 1)
        return 2 * copied / _best(lambda: more(array).block_until_ready())
    source, target = np.ones(copied, np.uint8), np.empty(copied, np.uint8)
    count = devices.count_cores()
    parts = list(zip(np.array_split(source, count), np.array_split(target, count), strict=True))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return 2 * copied / _best(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), parts)))
