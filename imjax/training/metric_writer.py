"""Scalars and images of a run: `metrics.jsonl`, the same through clu to TensorBoard, scalars to a tracker."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imjax.log import logger
from imjax.training.trackers import Tracker


class Writer:
    """Appends to `D/metrics.jsonl` and `D/events.out.*`.

    Without tensorflow and tensorboard, which `clu.metric_writers` needs at import, the events are left
    out and that is said once.

    Args:
        workdir: of the run.
        events: whether to write them.
        tracker: gets the scalars and the configuration that TensorBoard gets.
    """

    def __init__(self, workdir: Path, events: bool = True, tracker: Tracker | None = None):
        self._path = workdir / "metrics.jsonl"
        _drop_torn_line(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        self._events = _events(workdir) if events else None
        self._tracker = tracker

    def scalar(
        self,
        stage: str,
        generation: int | None,
        step: int,
        split: str,
        name: str,
        value: float,
        member: int | None = None,
    ) -> None:
        """Write one figure; a value that is not finite becomes null in the json, and is no event."""

        line = {
            "step": int(step),
            "stage": stage,
            "generation": generation,
            "member": member,
            "split": split,
            "name": name,
            "value": value if math.isfinite(value) else None,
        }
        self._file.write(json.dumps(line) + "\n")
        self.event(f"{stage}/{split}/{name}" + ("" if member is None else f"/{member}"), step, value)
        if generation is not None and member is None:
            # Stages have curves of a single point: this one has a point for each of them.
            self.event(f"generations/{split}/{name}", generation, value)

    def event(self, tag: str, step: int, value: float) -> None:
        """Write one figure to events and tracker only, as a wall time is, which no two equal runs share."""
        # TensorBoard draws no curve that has a NaN in it.
        if math.isfinite(value):
            self._call_others("write_scalars", int(step), {tag: float(value)})

    def members(
        self, stage: str, generation: int | None, step: int, split: str, name: str, values: np.ndarray
    ) -> None:
        """Write one figure per member, `values` `[member]`."""
        for member, value in enumerate(values):
            self.scalar(stage, generation, step, split, name, float(value), member)

    def images(self, stage: str, generation: int | None, panels: Mapping[str, np.ndarray]) -> None:
        """Write uint8 RGB images `[n, h, w, 3]`, to the events only."""
        if self._events is not None:
            tagged = {f"{stage}/{name}": array for name, array in panels.items()}
            self._events.write_images(generation or 0, tagged)

    def hparams(self, values: Mapping[str, Any]) -> None:
        """Write the flat configuration, to the events and the tracker only."""
        plain = (int, float, bool, str)
        flat = {k: v if isinstance(v, plain) else str(v) for k, v in values.items()}
        self._call_others("write_hparams", flat)

    def rewind(self, stage: str, step: int) -> None:
        """Forget what the stage wrote after `step`: it goes on from there and will write it again."""
        self._file.close()
        kept = []
        for text in self._path.read_text(encoding="utf-8").splitlines():
            line = _parsed(text)
            if line and not (line["stage"] == stage and line["step"] > step):
                kept.append(text + "\n")
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, self._path)
        self._file = self._path.open("a", encoding="utf-8")

    def copy(self, path: Path, stage: str) -> None:
        """Write what another run's metrics.jsonl has of a stage, in place of anything written of it here."""
        self.rewind(stage, -1)
        for line in filter(None, map(_parsed, path.read_text(encoding="utf-8").splitlines())):
            if line["stage"] == stage:
                value = math.nan if line["value"] is None else line["value"]
                self.scalar(**line | {"value": value})
        self.flush()

    def flush(self) -> None:
        """Make what was written visible."""
        self._file.flush()
        self._call_others("flush")

    def close(self) -> None:
        """Flush and release the files."""
        self._file.close()
        self._call_others("close")

    def _call_others(self, method: str, *values: Any) -> None:
        """Call a method of the events and of the tracker, as far as there are any."""
        if self._events is not None:
            getattr(self._events, method)(*values)
        if self._tracker is not None:
            try:
                getattr(self._tracker, method)(*values)
            except Exception as error:
                # A server that is gone for a minute, say, must not end a run of hours.
                self._tracker = None
                logger.warning(
                    "the tracker failed (%s: %s); the run goes on without it, and metrics.jsonl has every "
                    "figure", type(error).__name__, error,
                )  # fmt: skip


def _drop_torn_line(path: Path) -> None:
    """Cut off a line without its end, of a run that was killed or had a full disk; the next would join it."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        # The line that was being written when the run was killed.
        return None


def _events(workdir: Path) -> Any | None:
    # tensorflow talks a lot while it loads.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Nothing is computed with it. Otherwise it writes four lines on its rounding, whatever the log level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        from clu import metric_writers
    except ImportError as error:
        logger.warning("no TensorBoard events (%s); metrics.jsonl has every figure", error)
        return None
    return metric_writers.SummaryWriter(str(workdir))
