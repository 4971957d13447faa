"""How much memory a member takes, and how many of them a device holds at once.

The estimate walks over the program before it is compiled, instead of asking XLA's `memory_analysis()`. That
exists for compiled programs only, and the number of members on a device is part of a program's shapes: each
question would compile a program that is thrown away. On a GPU that takes 20 to 150 s, for training and
validation and for each net that predicts, while the walk takes no longer than a trace.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from imjax.errors import TrainingError
from imjax.training.objective import Objective, loss_and_grad

SHARE = 0.7
"""Of a device's memory that members may fill: the estimate is within a fifth of what XLA takes on a CPU."""
STATE = 4
"""Times the weights that a member keeps beside them: two moments, the update, the best epoch's snapshot."""


def members_that_fit(
    need: Callable[[], int], shared: int = 0, memory_stats: Mapping[str, int] | None = None
) -> int:
    """Members that one device holds at once.

    Args:
        need: bytes of one member; asked only where the answer matters.
        shared: bytes on the device for all of them, such as the training set.
        memory_stats: what a device reports of its memory; default: the first device.

    Returns:
        At least 1; 0 for no limit, where the device does not tell, as CPUs do not.
    """
    if memory_stats is None:
        memory_stats = jax.local_devices()[0].memory_stats()
    if "bytes_limit" not in (memory_stats or {}):
        return 0
    return max(1, int(SHARE * memory_stats["bytes_limit"] - shared) // max(1, need()))


def training_memory(objective: Objective, batches: Sequence[Any], val: Any) -> int:
    """Bytes that training one member takes at most.

    Args:
        objective: what is trained.
        batches: shapes of a batch of each phase.
        val: shapes of a batch of validation.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(objective.init, key)
    losses = objective.losses.values()
    gradients = (functools.partial(loss_and_grad, loss) for loss in losses)
    needs = [
        estimate_peak_bytes(gradient, variables, batch, key)
        for gradient, batch in zip(gradients, batches, strict=True)
    ]
    weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(variables))
    return max(*needs, estimate_peak_bytes(objective.eval_fn, variables, val)) + STATE * weights


def inference_memory(function: Callable, variables: Any, batch: Any) -> Callable[[], int]:
    """A function that estimates the bytes that one member takes to predict a batch.

    Args:
        function: of one member's variables and the batch.
        variables: of all members, leaves `[member, ...]`.
        batch: shapes.
    """

    def need() -> int:
        member = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), variables)
        return estimate_peak_bytes(function, member, batch)

    return need


def shapes(examples: dict[str, np.ndarray], batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Of a batch of examples `[n, ...]`, as `EnsembleLoader` gives it."""
    specs = {name: jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for name, a in examples.items()}
    return specs | {"counted": jax.ShapeDtypeStruct((batch,), np.dtype(bool))}


@contextlib.contextmanager
def translate_oom(what: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error of the host or a device into a line that says what to lower.

    Raises:
        TrainingError: `what` ran out of memory.
    """
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = (str(error).splitlines() or ["of the host"])[0][:160]
        raise TrainingError(f"{what}: out of memory ({reason}); {advice}") from error


def estimate_peak_bytes(function: Callable, *args: Any) -> int:
    """Bytes that are alive at once when a function runs operation by operation, with its arguments.

    Nothing runs. A compiler that joins operations needs less, so this errs on the safe side.

    Args:
        function: pure.
        args: trees of arrays or `jax.ShapeDtypeStruct`.
    """
    return _peak(jax.make_jaxpr(function)(*args).jaxpr)


def _peak(program: core.Jaxpr) -> int:
    last = {var: i for i, step in enumerate(program.eqns) for var in step.invars if _is_array(var)}
    kept = {var for var in (*program.invars, *program.outvars, *program.constvars) if _is_array(var)}
    alive = sum(_bytes(var) for var in {*program.invars, *program.constvars})
    highest = alive
    for i, step in enumerate(program.eqns):
        # What an inner program needs beyond its own arguments, which are alive already.
        inner = max((_peak(p) - sum(map(_bytes, p.invars)) for p in _programs(step.params)), default=0)
        made = sum(map(_bytes, step.outvars))
        highest = max(highest, alive + max(made, inner))
        alive += sum(_bytes(var) for var in step.outvars if var in last or var in kept)
        done = {var for var in step.invars if _is_array(var) and last[var] == i and var not in kept}
        alive -= sum(map(_bytes, done))
    return highest


def _is_array(var: Any) -> bool:
    return isinstance(var, core.Var)


def _bytes(var: Any) -> int:
    shape, dtype = getattr(var.aval, "shape", ()), getattr(var.aval, "dtype", None)
    return math.prod(shape) * getattr(dtype, "itemsize", 0)


def _programs(params: dict[str, Any]) -> list[core.Jaxpr]:
    """Programs that an operation runs, such as the body of a loop."""
    programs = []
    for value in params.values():
        for param in value if isinstance(value, tuple | list) else (value,):
            if isinstance(param, core.ClosedJaxpr):
                programs.append(param.jaxpr)
            elif isinstance(param, core.Jaxpr):
                programs.append(param)
    return programs
