"""Settings of other processes from the environment, and what the processes exchange."""

import numpy as np
import pytest

from imjax.errors import UserError
from imjax.training import distributed

SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, {}),
        # A batch script, or one task of a step by itself.
        (SLURM, None),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, {"cluster_detection_method": "slurm"}),
    ],
)
def test_who_tells_of_several_processes(environment, expected):
    assert distributed.arguments(False, environment) == expected


def test_a_pod_without_variables_is_joined_when_asked_for():
    assert distributed.arguments(True, {}) == {}


def test_an_address_comes_with_numbers():
    address = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"}
    found = distributed.arguments(False, address | {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"})
    assert (found["num_processes"], found["process_id"]) == (2, 1)
    with pytest.raises(UserError, match="JAX_PROCESS_ID"):
        distributed.arguments(False, address | {"JAX_NUM_PROCESSES": "2"})


def test_one_process_has_everything():
    assert distributed.is_first() and list(distributed.local_members(3)) == [0, 1, 2]
    assert distributed.broadcast_from_first("a") == "a"


@pytest.mark.parametrize(
    ("members", "shares"), [(3, [[0, 1], [2, 2]]), (1, [[0], [0]]), (4, [[0, 1], [2, 3]])]
)
def test_shares_are_equally_long(monkeypatch, members, shares):
    monkeypatch.setattr(distributed.jax, "process_count", lambda: 2)
    for index, expected in enumerate(shares):
        monkeypatch.setattr(distributed.jax, "process_index", lambda index=index: index)
        assert list(distributed.local_members(members)) == expected


def test_processes_with_different_settings_refuse_to_run(monkeypatch):
    digests = {"all": np.stack([np.frombuffer(text, np.uint8) for text in (b"0123", b"0123")])}
    monkeypatch.setattr(distributed, "gather", lambda tree: digests["all"])
    distributed.assert_equal_across_processes("data", "0123")
    digests["all"] = np.stack([np.frombuffer(text, np.uint8) for text in (b"0123", b"4567")])
    with pytest.raises(UserError, match=r"different data \(0123, 4567\)"):
        distributed.assert_equal_across_processes("data", "0123")
