"""A short training, so that the speed of this machine is known before a run."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imjax.config.schema import Config
from imjax.errors import Stopped
from imjax.pipeline.run import run_training
from imjax.pipeline.stages import Stage

SECONDS, CALLS = 15, 4
"""How long steps are taken after the first, and how many of them at least."""


def measure_speed(config: Config, stages: Sequence[Stage]) -> None:
    """Train a plan's first stage for some seconds, in a folder that is then removed.

    `run_training` packs the data and keeps the speed, as it does in any run.

    Args:
        config: checked.
        stages: its plan.

    Raises:
        UserError, TrainingError: as `run_training`.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Stopped):
        run_training(config, stages[:1], Path(folder), stopping=_make_stopping())


def _make_stopping(clock: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Asked once before the stage, and then after every step, of which the first is compiled."""
    times: list[float] = []

    def stopping() -> bool:
        times.append(clock())
        return len(times) > CALLS and times[-1] - times[1] > SECONDS

    return stopping
