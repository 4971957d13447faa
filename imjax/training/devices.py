"""Set up JAX before its first use: one CPU device per core, and a compilation cache."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from imjax.errors import ErrorCode, UserError

SETTINGS = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE",
        ("0.10.",),
    ),
    "xla_gpu_autotune_level": ("0", ("0.10.", "0.11.")),
    "xla_gpu_enable_triton_gemm": ("false", ("0.10.", "0.11.")),
}
"""XLA's settings: name → value, and the versions of jaxlib that have it, as XLA ends the process at a setting
that it does not know.

On a CPU YNNPACK gets products and sums, and no convolutions. The gradient of a 3×3 convolution's weights is
a convolution whose kernel is a whole image, and there that library takes three to four times as long as
XLA's own code (16 images of 64², 32 channels: 98 and 27 ms of a core), while products by the library are
the faster ones. A training step takes 0.7 of the time that it takes with jaxlib 0.10's own choice.

On a GPU products go to cuBLAS by its own rules, without a search for the best of many kernels that begins
anew with each size of net: all that was measured on one (docs/explanation/performance.md) was measured so.
"""

MALLOC = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,
        "mmap_threshold": 1 << 32,
        "trim_threshold": 1 << 34,
        "arena_max": 1,
    }.items()
)
"""Huge pages, no piece that is mapped by itself, nothing given back, and one heap for all threads."""


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def name_processor() -> str:
    """Name of the processor, as the system has it; else its kind."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def configure(cache: Path, most: int) -> None:
    """Prepare the backend; call before anything touches a device.

    On CPU members run side by side on devices of one core each (design: members, devices, speed). What
    XLA_FLAGS already has of the settings stands.

    Args:
        cache: folder for compiled programs, so that the next run starts quickly.
        most: members that ever train together, times the devices that may share one; more are of no use.
    """
    cores = count_cores()
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        devices = max(1, min(cores, most))
        flags += f" --xla_force_host_platform_device_count={devices}"
        # With a core per device, a thread pool inside each operation only gets in the way.
        flags += f" --xla_cpu_multi_thread_eigen={'false' if devices == cores else 'true'}"
    version = importlib.metadata.version("jaxlib")
    for name, (value, known) in SETTINGS.items():
        if name not in flags and version.startswith(known):
            flags += f" --{name}={value}"
    os.environ["XLA_FLAGS"] = flags.strip()
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def check_backend() -> None:
    """Bring up JAX's backend; call once the process has joined the others, if there are any.

    Raises:
        UserError: JAX_PLATFORMS names one that is not there, or its plugin or driver fails.
    """
    import jax

    try:
        jax.devices()
    except Exception as error:
        # Of several types: without CUDA's plugin it is an AssertionError, without a driver a RuntimeError.
        platforms = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise UserError(
            f"JAX_PLATFORMS={platforms or '(not set)'}: no such device is found ({reason}); install JAX for "
            "it (for GPUs of NVIDIA jax[cuda12]) and its driver, or set JAX_PLATFORMS=cpu",
            code=ErrorCode.UNAVAILABLE,
            field="JAX_PLATFORMS",
        ) from error


def keep_memory() -> None:
    """Start this process anew with glibc's malloc set to keep what it has, in huge pages.

    XLA takes hundreds of MiB from malloc for every step on a CPU and gives them back. By itself malloc
    returns large pieces to the kernel, which clears every page of them for the next step: a step took 1.3
    times (16 images of 128²) and 1.45 times (8 of 256²) as long. Call first thing, since glibc reads its
    settings when a process starts; does nothing twice, nor except on Linux, with glibc before 2.35, which
    takes only a part of them, and where GLIBC_TUNABLES is set.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ and _glibc() >= (2, 35):
        os.environ["GLIBC_TUNABLES"] = MALLOC
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _glibc() -> tuple[int, ...]:
    """Its version; of another library (0,)."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return tuple(int(part) for part in version.split(".")) if name == "glibc" else (0,)
    except (OSError, ValueError):
        return (0,)


def stop_on_sigterm() -> Callable[[], bool]:
    """Take SIGTERM as a wish to save and stop; returns whether it came."""
    asked = []
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    return lambda: bool(asked)
