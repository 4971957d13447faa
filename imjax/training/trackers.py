"""The scalars of a run for Weights & Biases or MLflow, beside TensorBoard (`tracker`).

Both are extras, and imported only when a run asks for one. Where they write is theirs to know, by their own
environment variables: `WANDB_MODE=offline`, `WANDB_PROJECT`, `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`.
A tracker has the methods of `clu.metric_writers` that a run calls.
"""

from __future__ import annotations

import importlib
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from imjax.errors import ErrorCode, UserError
from imjax.json_io import read_json, write_json

FILE = "tracker.json"
"""In the run's folder: name of the run at each tracker, so that a stopped one goes on there."""
PROJECT = "imjax"
"""Where neither of the environment variables names another."""
BATCH = 500
"""Scalars that MLflow gets at once, at most 1000."""


@runtime_checkable
class Tracker(Protocol):
    """Where scalars go."""

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Figures by tag: `train_g0/val/loss/1`, `generations/test/miou`."""

    def write_hparams(self, values: Mapping[str, Any]) -> None:
        """The flat configuration."""

    def flush(self) -> None:
        """Hand over what was written."""

    def close(self) -> None:
        """The run ends, done or stopped."""


def check(name: str) -> None:
    """UserError where the library of a tracker is not installed; before anything is computed."""
    if name != "none":
        _load(name)


def open_tracker(name: str, workdir: Path) -> Tracker | None:
    """The tracker of a run, which goes on with what an earlier start of it wrote there; None for `none`.

    Raises:
        UserError: its library is not installed, or it cannot start, e.g. without a login.
    """
    if name == "none":
        return None
    library, ids = _load(name), _read_ids(workdir)
    try:
        if name == "wandb":
            ids.setdefault(name, uuid.uuid4().hex[:12])
            tracker: Tracker = WandbTracker(library, workdir, ids[name])
        else:
            tracker = MlflowTracker(library, workdir, ids.get(name))
            ids[name] = tracker.run_id
    except Exception as error:
        # Of many types, and some of them in no common class: no network, no login, no such server.
        help_ = (
            "WANDB_MODE=offline needs neither"
            if name == "wandb"
            else "without MLFLOW_TRACKING_URI it is local"
        )
        raise UserError(
            f"config key 'tracker' is {name!r}, which cannot start: {error}; check its login and network "
            f"({help_}), or give --config.tracker=none",
            code=ErrorCode.UNSUPPORTED,
            field="tracker",
        ) from error
    write_json(workdir / FILE, ids)
    return tracker


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"config key 'tracker' is {name!r}, but that is not installed ({error}); install it by "
            f'pip install "imjax[{name}]", or give --config.tracker=none',
            code=ErrorCode.MISSING,
            field="tracker",
        ) from error


def _read_ids(workdir: Path) -> dict[str, str]:
    try:
        return dict(read_json(workdir / FILE))
    except (OSError, ValueError, TypeError):
        return {}


class WandbTracker:
    """A run of Weights & Biases; its local files are in the run's folder."""

    def __init__(self, wandb: Any, workdir: Path, run_id: str) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=workdir.resolve().name,
            id=run_id,
            resume="allow",
            dir=str(workdir),
            # The log stays where it is.
            settings=wandb.Settings(console="off", silent=True),
        )
        self._axes: set[str] = set()

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`. Each stage has an axis of its own: W&B's steps only grow, a stage's begin at 0."""
        for tag, value in values.items():
            stage = tag.partition("/")[0]
            axis = f"{stage}/step"
            if axis not in self._axes:
                self._run.define_metric(axis, hidden=True)
                self._run.define_metric(f"{stage}/*", step_metric=axis)
                self._axes.add(axis)
            self._run.log({tag: value, axis: step})

    def write_hparams(self, values: Mapping[str, Any]) -> None:
        """See `Tracker`."""
        self._run.config.update(dict(values), allow_val_change=True)

    def flush(self) -> None:
        """See `Tracker`: W&B sends by itself."""

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class MlflowTracker:
    """A run of MLflow; without `MLFLOW_TRACKING_URI` in a database in the run's folder."""

    def __init__(self, mlflow: Any, workdir: Path, run_id: str | None) -> None:
        local = f"sqlite:///{workdir.resolve() / 'mlflow.db'}"
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or local)
        self._waiting: list[Any] = []
        self._is_new = run_id is None
        if run_id is None:
            experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            found = self._client.get_experiment_by_name(experiment)
            number = found.experiment_id if found else self._client.create_experiment(experiment)
            run_id = self._client.create_run(number, run_name=workdir.resolve().name).info.run_id
        else:
            self._client.update_run(run_id, status="RUNNING")
        self.run_id: str = run_id

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`. Kept until `flush`, since each call of the server takes its time."""
        now = round(1000 * time.time())
        self._waiting += [
            self._entities.Metric(tag, float(value), now, step) for tag, value in values.items()
        ]
        if len(self._waiting) >= BATCH:
            self.flush()

    def write_hparams(self, values: Mapping[str, Any]) -> None:
        """See `Tracker`. Of a run that goes on they are there, and may not be others."""
        if self._is_new:
            parameters = [self._entities.Param(name, str(value)) for name, value in values.items()]
            for start in range(0, len(parameters), 100):
                self._client.log_batch(self.run_id, params=parameters[start : start + 100])

    def flush(self) -> None:
        """See `Tracker`."""
        if self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting)
            self._waiting = []

    def close(self) -> None:
        """See `Tracker`."""
        self.flush()
        self._client.set_terminated(self.run_id)
