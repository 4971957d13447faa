"""A run's folder as values; whatever is not there yet is empty."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.spec import DatasetSpec
from imjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of results.csv."""

    method: str
    seed: int
    generation: int | None
    member: int
    rank: int
    split: str
    metric: str
    label: str
    """Class; empty for means."""
    value: float | None


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of metrics.jsonl."""

    stage: str
    generation: int | None
    member: int | None
    split: str
    name: str
    step: int
    value: float | None


@dataclasses.dataclass(frozen=True)
class Stage:
    """One finished stage."""

    name: str
    facts: dict[str, Any]
    """Contents of DONE.json."""
    fitted: dict[str, Any]
    """Contents of train.json: `ranked`, `value`, `epoch`; empty for other stages."""
    folder: Path

    def panels(self, name: str = "panels") -> dict[str, np.ndarray]:
        """uint8 RGB images `[n, h, w, 3]` by title, from `name.npz`; empty where the stage has none."""
        try:
            with np.load(self.folder / f"{name}.npz") as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return {}


@dataclasses.dataclass(frozen=True)
class Run:
    """One workdir."""

    workdir: Path
    record: dict[str, Any]
    """Contents of config.json."""
    spec: DatasetSpec
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]
    stages: tuple[Stage, ...]
    """In the order of the plan."""
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Methods of this run → what they are called beside runs with other settings."""
    told_by: frozenset[str] = frozenset()
    """Configuration keys that those names tell."""

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return self.record["config"]

    @property
    def method(self) -> str:
        """Name of the method, as in the rows."""
        name = self.record.get("method", self.config["method"])
        return self.titles.get(name, name)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config["seed"]

    @property
    def generations(self) -> tuple[int, ...]:
        """Generations whose nets are measured."""
        return tuple(sorted({row.generation for row in self.rows if row.generation is not None}))

    @property
    def select_on_test(self) -> bool:
        """Whether candidates were ranked on the test split; older runs, without the key, did so on val."""
        return bool(self.config.get("select_on_test", False))

    @functools.cached_property
    def best(self) -> dict[tuple[str, int | None, str], float]:
        """(method, generation, metric) → test figure of the candidate that is ranked first."""
        return {
            (row.method, row.generation, row.metric): row.value
            for row in self.rows
            if row.split == "test" and row.rank == 1 and not row.label and row.value is not None
        }

    @functools.cached_property
    def labelings(self) -> tuple[int, ...]:
        """Generations for which unlabeled images have been labeled."""
        found = [re.fullmatch(r"label_g(\d+)", stage.name) for stage in self.stages]
        return tuple(sorted({int(match[1]) for match in found if match}))

    def labeling(self, generation: int, name: str) -> float | None:
        """A figure of a label stage, from metrics.jsonl or else from its DONE.json."""
        label = f"label_g{generation}"
        if (value := self.last(label, "unlabeled", name)) is not None:
            return value
        fact = next((stage.facts.get(name) for stage in self.stages if stage.name == label), None)
        return None if fact is None else float(fact)

    @property
    def start(self) -> str:
        """Method whose nets label generation 0, as in the rows."""
        name = self.record["start"]
        return self.titles.get(name, name)

    def last(self, stage: str, split: str, name: str) -> float | None:
        """The last value of a stage's figure that is not one member's."""
        return self._last.get((stage, split, name))

    @functools.cached_property
    def _last(self) -> dict[tuple[str, str, str], float | None]:
        return {(f.stage, f.split, f.name): f.value for f in self.figures if f.member is None}


def read(workdir: Path) -> Run:
    """Read a run's folder.

    Raises:
        UserError: no config.json of imjax there, or a results.csv that is none.
    """
    record = _record(workdir)
    return Run(
        workdir=workdir,
        record=record,
        spec=_spec(record["spec"]),
        rows=tuple(_rows(workdir / "results.csv")),
        figures=tuple(_figures(workdir / "metrics.jsonl")),
        stages=tuple(_stages(workdir / "stages")),
    )


def _record(workdir: Path) -> dict[str, Any]:
    path = workdir / "config.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _spec(record["spec"])
        if not {"method", "seed", "data"} <= set(record["config"]):
            raise KeyError("method, seed or data")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected the folder of a run of imjax.main") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a config.json of imjax ({error}); name another --workdir") from error
    return record


def _spec(values: dict[str, Any]) -> DatasetSpec:
    """The spec as written to json, where tuples are lists; keys of other versions are left out."""
    known = {field.name for field in dataclasses.fields(DatasetSpec)}
    return DatasetSpec.of({key: value for key, value in values.items() if key in known})


def _rows(path: Path) -> Iterator[Row]:
    if not path.exists():
        return
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                yield Row(
                    method=line["method"],
                    seed=int(line["seed"]),
                    generation=int(line["generation"]) if line["generation"] else None,
                    member=int(line["member"]),
                    rank=int(line["rank"]),
                    split=line["split"],
                    metric=line["metric"],
                    label=line["class"],
                    value=float(line["value"]) if line["value"] else None,
                )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a results.csv of imjax ({error}); start the run again to mend it"
        ) from error


def _figures(path: Path) -> Iterator[Figure]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
            if values["value"] is not None:
                values["value"] = float(values["value"])
            yield Figure(**values)
        except (ValueError, TypeError, KeyError):
            # The line that is being written, or was when the run was killed.
            continue


def _stages(folder: Path) -> Iterator[Stage]:
    for path in sorted(folder.glob("[0-9]*_*")):
        facts = _optional(path / "DONE.json")
        if facts:
            yield Stage(path.name.split("_", 1)[1], facts, _optional(path / "train.json"), path)


def _optional(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
