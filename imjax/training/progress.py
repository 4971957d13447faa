"""Display and records of a running stage: progress bar or log lines, and the metrics of each epoch."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from imjax.log import format_time, logger, make_bars
from imjax.training.metric_writer import Writer

LOG_SECONDS = 15
"""Between progress lines where there is no terminal."""
LEAST_SECONDS = 5
"""Of training after the first step, before the speed counts as known."""


class Measured(NamedTuple):
    """How fast a stage trained."""

    images_per_second: float
    """Over all members, from the end of the first step on."""
    first: float
    """When that was, as `time.monotonic` has it."""
    last: float
    """End of the last step."""


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere.

    Args:
        title: of the stage.
        first: steps done before.
        total: steps of the stage.
        images_per_step: over all members.
        later_images: that later stages of the run train on, over all members; their time is estimated from
            the speed of this one.
        clock: seconds, from any moment on.
    """

    def __init__(
        self,
        title: str,
        first: int,
        total: int,
        images_per_step: int,
        later_images: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._title, self._total, self._images = title, total, images_per_step
        self._later_images, self._clock = later_images, clock
        self._first, self._start, self._last_line = first, clock(), clock()
        self._compiled: tuple[float, int] | None = None
        self.images_per_second: float | None = None
        """Over all members, since the first step; None while it is not known."""
        self._loss, self._step, self._now = "", first, self._start
        self._bars = make_bars() if sys.stderr.isatty() else None
        # The first step is compiled before it runs, which takes up to minutes without any progress.
        if self._bars is not None:
            self._task = self._bars.add_task(title, total=total, completed=first, status="compiling")
            self._bars.start()
        elif first < total:
            logger.info("%s: compiling the first step, which can take minutes", title)

    def set_loss(self, losses: np.ndarray) -> None:
        """Show the mean over the members of the loss `[member]` of the phase that ended."""
        self._loss = f"{np.mean(losses):.4f}"

    def update(self, step: int, epoch: int) -> None:
        """Show that `step` steps and `epoch` whole epochs are done."""
        self._step, self._now = step, self._clock()
        now = self._now
        if self._compiled is None:
            self._compiled = now, step
            logger.info("%s: first step compiled in %s", self._title, format_time(now - self._start))
        since, before = self._compiled
        # Without the compilation, which the first estimates would otherwise repeat for every step.
        if step > before and now - since >= LEAST_SECONDS:
            self.images_per_second = (step - before) * self._images / (now - since)
        parts = [f"loss {self._loss} after epoch {epoch}"] if self._loss else []
        status = ", ".join(parts + self._describe_time_left())
        if self._bars is not None:
            self._bars.update(self._task, completed=step, status=status)
        elif now - self._last_line > LOG_SECONDS:
            self._last_line = now
            text = f"step {step}/{self._total}" + (f", {status}" if status else "")
            logger.info("%s: %s", self._title, text)

    def _describe_time_left(self) -> list[str]:
        """`530 images/s`, `40 s left, about 2 h 05 min in the whole run`; none while they are not known."""
        rate = self.images_per_second
        if rate is None:
            return []
        stage = (self._total - self._step) * self._images / rate
        left = f"{format_time(stage)} left"
        if self._later_images:
            left += f", about {format_time(stage + self._later_images / rate)} in the whole run"
        return [f"{rate:.{0 if rate >= 10 else 1}f} images/s", left]

    def _rate(self, seconds: float) -> float:
        return (self._step - self._first) * self._images / max(seconds, 1e-9)

    def measured(self) -> Measured | None:
        """The speed without the first step; None before a second one."""
        if self._compiled is None or self._step <= self._compiled[1]:
            return None
        since, before = self._compiled
        seconds = max(self._now - since, 1e-9)
        return Measured((self._step - before) * self._images / seconds, since, self._now)

    def metadata(self) -> dict[str, int | float]:
        """For DONE.json: all steps, those done before this process, and its images/s over all members."""
        metadata: dict[str, int | float] = {"steps": self._total, "steps_before": self._first}
        if self._step > self._first:
            metadata["images_per_second"] = round(self._rate(self._clock() - self._start), 1)
        return metadata

    def close(self) -> None:
        """Remove the bar."""
        if self._bars is not None:
            self._bars.stop()


class StageLogger:
    """Logs one stage to the terminal and to the run's files, and tells the loop when to stop.

    Args:
        writer: of the run's metrics.
        stage: its name.
        position: of the stage in the plan, "4/9".
        generation: None for a start stage.
        stopping: returns True once the run was asked to stop.
        later_images: see `Progress`.
    """

    def __init__(
        self,
        writer: Writer,
        stage: str,
        position: str,
        generation: int | None,
        stopping: Callable[[], bool],
        later_images: int = 0,
    ):
        self._writer, self._stage, self._generation = writer, stage, generation
        self._title = f"stage {position} {stage}" + (
            "" if generation is None else f" generation {generation}"
        )
        self.stopping, self._later_images = stopping, later_images
        self._progress: Progress | None = None
        self.metadata: dict[str, int | float] = {}
        """`Progress.metadata` once training has ended; empty for stages without training."""
        self.measured: Measured | None = None
        """`Progress.measured`, likewise."""

    @contextlib.contextmanager
    def stage_progress(self, first: int, total: int, images_per_step: int) -> Iterator[Progress]:
        """Progress over `total` steps, `first` of them done before."""
        # A killed process may have recorded steps after its last checkpoint, which are now done again.
        self._writer.rewind(self._stage, first)
        logger.info("%s: %d steps%s", self._title, total, f", going on from {first}" if first else "")
        self._progress = progress = Progress(self._title, first, total, images_per_step, self._later_images)
        try:
            yield progress
        finally:
            self.metadata, self.measured = progress.metadata(), progress.measured()
            self._progress = None
            progress.close()

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Record the metrics of an epoch: split → name → `[member]`."""
        for split, values in metrics.items():
            for name, members in values.items():
                self._writer.members(self._stage, self._generation, step, split, name, members)
        if self._progress is not None and (rate := self._progress.images_per_second):
            self._writer.event(f"{self._stage}/train/images_per_second", step, rate)
        self._writer.flush()

    def learning_rate(self, step: int, value: float | None) -> None:
        """Record the learning rate of a step, for TensorBoard; None where it differs between members."""
        if value is not None:
            self._writer.event(f"{self._stage}/train/learning_rate", step, value)

    def scalar(self, split: str, name: str, value: float, step: int = 0) -> None:
        """Record one scalar of the stage as a whole."""
        self._writer.scalar(self._stage, self._generation, step, split, name, value)

    def images(self, panels: Mapping[str, np.ndarray]) -> None:
        """Record uint8 RGB images `[n, h, w, 3]` under their names."""
        self._writer.images(self._stage, self._generation, panels)

    def log(self, text: str) -> None:
        """Write one line to the log, with the stage's title in front."""
        logger.info("%s: %s", self._title, text)
