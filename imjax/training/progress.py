"""Display and records of a running stage: progress bar or log lines, and the metrics of each epoch."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from imjax.log import logger, make_bars
from imjax.training.metric_writer import Writer

LOG_SECONDS = 15
"""Between progress lines where there is no terminal."""


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, title: str, first: int, total: int, images_per_step: int):
        self._title, self._total, self._images = title, total, images_per_step
        self._first, self._start, self._last_line = first, time.monotonic(), time.monotonic()
        self._loss, self._step = "-", first
        self._bars = make_bars() if sys.stderr.isatty() else None
        if self._bars is not None:
            # The first step is compiled before it runs, which takes up to minutes without any progress.
            self._task = self._bars.add_task(title, total=total, completed=first, status="compiling")
            self._bars.start()

    def set_loss(self, losses: np.ndarray) -> None:
        """Show the mean over the members of the loss `[member]` of the phase that ended."""
        self._loss = f"{np.mean(losses):.4f}"

    def update(self, step: int, epoch: int) -> None:
        """Show that `step` steps and `epoch` whole epochs are done."""
        self._step = step
        seconds = time.monotonic() - self._start
        rate = self._rate(seconds)
        if self._bars is not None:
            status = f"epoch {epoch}, loss {self._loss}, {rate:.0f} images/s"
            self._bars.update(self._task, completed=step, status=status)
        elif time.monotonic() - self._last_line > LOG_SECONDS:
            self._last_line = time.monotonic()
            left = (self._total - step) * seconds / max(step - self._first, 1)
            logger.info(
                "%s: step %d/%d, epoch %d, loss %s, %.0f images/s, %d s left",
                self._title, step, self._total, epoch, self._loss, rate, left,
            )  # fmt: skip

    def _rate(self, seconds: float) -> float:
        return (self._step - self._first) * self._images / max(seconds, 1e-9)

    def metadata(self) -> dict[str, int | float]:
        """For DONE.json: all steps, those done before this process, and its images/s over all members."""
        metadata: dict[str, int | float] = {"steps": self._total, "steps_before": self._first}
        if self._step > self._first:
            metadata["images_per_second"] = round(self._rate(time.monotonic() - self._start), 1)
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
    """

    def __init__(
        self, writer: Writer, stage: str, position: str, generation: int | None, stopping: Callable[[], bool]
    ):
        self._writer, self._stage, self._generation = writer, stage, generation
        self._title = f"stage {position} {stage}" + (
            "" if generation is None else f" generation {generation}"
        )
        self.stopping = stopping
        self.metadata: dict[str, int | float] = {}
        """`Progress.metadata` once training has ended; empty for stages without training."""

    @contextlib.contextmanager
    def stage_progress(self, first: int, total: int, images_per_step: int) -> Iterator[Progress]:
        """Progress over `total` steps, `first` of them done before."""
        # A killed process may have recorded steps after its last checkpoint, which are now done again.
        self._writer.rewind(self._stage, first)
        logger.info("%s: %d steps%s", self._title, total, f", going on from {first}" if first else "")
        progress = Progress(self._title, first, total, images_per_step)
        try:
            yield progress
        finally:
            self.metadata = progress.metadata()
            progress.close()

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Record the metrics of an epoch: split → name → `[member]`."""
        for split, values in metrics.items():
            for name, members in values.items():
                self._writer.members(self._stage, self._generation, step, split, name, members)
        self._writer.flush()

    def scalar(self, split: str, name: str, value: float, step: int = 0) -> None:
        """Record one scalar of the stage as a whole."""
        self._writer.scalar(self._stage, self._generation, step, split, name, value)

    def images(self, panels: Mapping[str, np.ndarray]) -> None:
        """Record uint8 RGB images `[n, h, w, 3]` under their names."""
        self._writer.images(self._stage, self._generation, panels)

    def log(self, text: str) -> None:
        """Write one line to the log, with the stage's title in front."""
        logger.info("%s: %s", self._title, text)
