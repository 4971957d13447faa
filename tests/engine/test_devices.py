from __future__ import annotations

import pytest

from imjax.engine.devices import LARGE, LIBRARY, cpu_flags

COUNT, THREADS = "--xla_force_host_platform_device_count", "--xla_cpu_multi_thread_eigen"


@pytest.mark.parametrize(
    ("cores", "most", "pixels", "devices", "threads"),
    [
        (2, 4, 64 * 64 * 8, 2, "false"),
        (2, 4, 128 * 128 * 16, 1, "true"),
        (8, 16, LARGE - 1, 8, "false"),
        (8, 16, LARGE, 4, "true"),
        (8, 3, LARGE - 1, 3, "true"),
        (2, 1, 0, 1, "true"),
        (1, 4, LARGE, 1, "false"),
    ],
)
def test_a_core_for_each_member_or_two_where_batches_are_large(cores, most, pixels, devices, threads):
    flags = cpu_flags("", cores, most, pixels).split()
    assert f"{COUNT}={devices}" in flags and f"{THREADS}={threads}" in flags


def test_what_is_set_stands():
    flags = cpu_flags(f"{COUNT}=3 --{LIBRARY}=", 8, 8, 0)
    assert flags == f"{COUNT}=3 --{LIBRARY}="
