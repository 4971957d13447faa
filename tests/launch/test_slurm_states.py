"""What the states of Slurm's jobs mean to a sweep; needs no Slurm."""

from types import SimpleNamespace

import pytest

from launch.executors import slurm
from launch.progress_table import StatusTable


@pytest.mark.parametrize(
    "state", ["FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"]
)
def test_a_dead_job_is_over(tmp_path, state):
    point = SimpleNamespace(name="a", workdir=tmp_path)
    assert slurm._Job("1", point).update(state, StatusTable([point]))
