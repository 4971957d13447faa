"""Settings of other processes from the environment, and what the processes exchange."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode
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
    with raises_user_error(ErrorCode.MALFORMED, "JAX_COORDINATOR_ADDRESS"):
        distributed.arguments(False, address | {"JAX_NUM_PROCESSES": "2"})


def test_one_process_has_everything():
    assert distributed.is_first() and list(distributed.local_members(3)) == [0, 1, 2]
    assert distributed.broadcast_from_first("a") == "a"


CHILD = """
import json, sys
import jax.numpy as jnp
import numpy as np
from imjax.training import distributed

distributed.start()
first = distributed.is_first()
value = distributed.broadcast_from_first([7, None, "a", True] if first else "of the second process")
arrays = {
    "b": {"w": np.array([[0.1, 1e300]]), "n": np.array(3, np.int32)},
    "a": np.ones(2, jnp.bfloat16),
}
got = distributed.broadcast_arrays_from_first(arrays if first else {})
print(json.dumps([
    value, sorted(got), sorted(got["b"]), got["b"]["w"].tolist(), str(got["b"]["w"].dtype),
    int(got["b"]["n"]), str(got["b"]["n"].dtype), str(got["a"].dtype), got["a"].astype(float).tolist(),
]))
"""


def test_the_first_process_tells_the_others_values_and_arrays():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD], cwd=Path(__file__).parents[2], text=True,
            env=environment | {"JAX_PROCESS_ID": str(number), "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    for output, _ in outputs:
        # Every bit of float64, and types that numpy does not know. Gloo prints lines before.
        assert json.loads(output.splitlines()[-1]) == [
            [7, None, "a", True], ["a", "b"], ["n", "w"], [[0.1, 1e300]], "float64",
            3, "int32", "bfloat16", [1.0, 1.0],
        ]  # fmt: skip


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
    with raises_user_error(ErrorCode.CONFLICT, "data"):
        distributed.assert_equal_across_processes("data", "0123")
