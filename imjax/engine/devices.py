"""Set up JAX before its first use: one CPU device per core, and a compilation cache."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
"""XLA's setting of what it hands to YNNPACK on a CPU."""
TO_LIBRARY = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
"""Products and sums, and no convolutions. The gradient of a 3×3 convolution's weights is to XLA a convolution
whose kernel is a whole image, and there the library takes three to four times as long as XLA's own code
(16 images of 64², 32 channels: 98 and 27 ms of a core), while products by the library are the faster ones. A
training step takes 0.7 of the time that it takes with jaxlib 0.10's own choice (docs/performance.md)."""
LIBRARY_KNOWN = ("0.10.",)
"""Versions of jaxlib for which that was measured. XLA ends the process at a setting that it does not know."""


LARGE = 200_000
"""Pixels of a member's batch from which two cores work on one member: what its layers pass on does not fit
the caches any more, the less of two members at once. Four members with α = 1 on two cores: 16 images of 128²
took 0.86 and 8 of 256² took 0.76 of the time that they take side by side, 8 of 128² 1.1 times as long."""


def configure(cache: Path, most: int, pixels: int = 0) -> None:
    """Prepare the backend; call before anything touches a device.

    Args:
        cache: folder for compiled programs, so that the next run starts quickly.
        most: members that ever train together; more devices than that are of no use.
        pixels: of a member's batch.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ["XLA_FLAGS"] = cpu_flags(os.environ.get("XLA_FLAGS", ""), cores, most, pixels)
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def cpu_flags(flags: str, cores: int, most: int, pixels: int) -> str:
    """XLA_FLAGS with what suits members on a CPU; what it already has of that stands.

    Members run side by side on devices of one core each, or of two where batches are `LARGE` (design:
    members, devices, speed). The settings change nothing on an accelerator.

    Args:
        flags: XLA_FLAGS as it is.
        cores: of this machine.
        most: members that ever train together.
        pixels: of a member's batch.
    """
    if "xla_force_host_platform_device_count" not in flags:
        devices = max(1, min(cores if pixels < LARGE else cores // 2, most))
        flags += f" --xla_force_host_platform_device_count={devices}"
        # With a core per device, a thread pool inside each operation only gets in the way.
        flags += f" --xla_cpu_multi_thread_eigen={'false' if devices == cores else 'true'}"
    if LIBRARY not in flags and importlib.metadata.version("jaxlib").startswith(LIBRARY_KNOWN):
        flags += f" --{LIBRARY}={TO_LIBRARY}"
    return flags.strip()


def use_huge_pages() -> None:
    """Start this process anew with huge pages for glibc's malloc; call first thing, does nothing twice.

    XLA takes tens of MiB from malloc for every step on CPU and gives them back, and a third of a training
    step went into the kernel's page faults: with huge pages a step takes 0.7 of the time. glibc reads the
    setting only when a process starts. Does nothing except on Linux, and where GLIBC_TUNABLES is set.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def stop_on_sigterm() -> Callable[[], bool]:
    """Take SIGTERM as a wish to save and stop; returns whether it came."""
    asked = []
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    return lambda: bool(asked)
