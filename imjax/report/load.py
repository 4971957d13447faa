"""Reads a run's folder. What the run has not written yet is empty."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error
from imjax.evaluation import held_out, per_image
from imjax.evaluation.result_names import ENSEMBLE

T = TypeVar("T", dict, list)

RESULT_DTYPES = {
    "method": "str", "seed": "int64", "generation": "Int64", "member": "int64", "rank": "int64",
    "split": "str", "metric": "str", "class": "str", "value": "float64",
}  # fmt: skip
"""Columns of results.csv that the report uses."""


@dataclasses.dataclass(frozen=True)
class ScalarRecord:
    """One line of metrics.jsonl."""

    stage: str
    generation: int | None
    member: int | None
    split: str
    name: str
    step: int
    value: float | None


@dataclasses.dataclass(frozen=True)
class StageRecord:
    """One finished stage."""

    name: str
    metadata: dict[str, Any]
    """Contents of DONE.json."""
    training: dict[str, Any]
    """Contents of train.json: `ranked`, `value`, `epoch`; empty for stages that train nothing."""
    folder: Path
    finished: float | None = None
    """Seconds of Unix time, by the file's time, which a copy may not keep."""

    def load_panels(self, name: str = "panels") -> dict[str, np.ndarray]:
        """uint8 RGB images `[n, h, w, 3]` by title, from `name.npz`; empty where the stage has none."""
        return _load_panels(self.folder / f"{name}.npz")

    def load_files(self, name: str = "panels") -> tuple[str, ...]:
        """What people know the images of `name.npz` by; empty where it does not say."""
        try:
            with np.load(self.folder / f"{name}.npz") as file:
                return tuple(file[per_image.FILES].tolist())
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return ()


# Compared by identity: tables have no single truth value for `==`.
@dataclasses.dataclass(frozen=True, eq=False)
class RunRecord:
    """One workdir."""

    workdir: Path
    record: dict[str, Any]
    """Contents of config.json."""
    spec: DatasetSpec
    results: pd.DataFrame
    """Rows of results.csv with the columns of `RESULT_DTYPES`, `class` as `class_name` (empty for means)."""
    scalars: tuple[ScalarRecord, ...]
    stages: tuple[StageRecord, ...]
    """In the order in which they ran."""
    variant_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Methods of this run → their names beside runs with other settings."""
    variant_keys: frozenset[str] = frozenset()
    """Configuration keys that appear in those names."""

    @functools.cached_property
    def held_out(self) -> dict[str, Any]:
        """Result of the cross-validation, see `pipeline.out_of_fold.summarize`; empty without one."""
        return _read_optional(self.workdir / held_out.SUMMARY)

    def load_held_out_panels(self) -> dict[str, np.ndarray]:
        """uint8 RGB images `[n, h, w, 3]` of the worst images by title, as in `held_out`."""
        return _load_panels(self.workdir / held_out.WORST)

    @functools.cached_property
    def per_image(self) -> pd.DataFrame:
        """Figures of each image by the final nets, see `pipeline.per_image`; empty where there are none."""
        try:
            return pd.read_csv(
                self.workdir / per_image.TABLE,
                usecols=["image", "split", *per_image.METRICS],
                dtype={"image": "str", "split": "str"} | dict.fromkeys(per_image.METRICS, "float64"),
                keep_default_na=False,
                na_values=dict.fromkeys(per_image.METRICS, [""]),
            )
        except (OSError, ValueError):
            return pd.DataFrame({"image": [], "split": []})

    def load_worst_images(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """Rows and panels, uint8 RGB `[n, h, w, 3]` by title, of the final nets' worst test images."""
        trained = [stage for stage in self.stages if stage.name.startswith("train_")]
        if not trained:
            return [], {}
        folder = trained[-1].folder
        return _read_json(folder / per_image.WORST_ROWS, list), _load_panels(folder / per_image.WORST)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return self.record["config"]

    @property
    def method(self) -> str:
        """Name of the method, as in `results`."""
        name = self.record.get("method", self.config["method"])
        return self.variant_names.get(name, name)

    @property
    def baseline(self) -> str:
        """Method whose nets label generation 0, as in `results`."""
        name = self.record["start"]
        return self.variant_names.get(name, name)

    def training_extents(self, method: str, generation: int | None) -> set[tuple[int, int]]:
        """Optimizer steps and images seen of each net of a method, as in `results`, at a generation.

        Empty where the run does not say; several where a method has several stages.
        """
        return {
            (stage.training["steps"], stage.training["images_seen"])
            for stage in self.stages
            if "images_seen" in stage.training
            and self._result_methods(stage.training.get("method")) & {method}
            and stage.training.get("generation") == generation
        }

    def _result_methods(self, method: str | None) -> set[str]:
        """Names of a stage's method in `results`: its own, and that of its ensembles."""
        if method is None:
            return set()
        names = {method, method + ENSEMBLE}
        return {self.variant_names.get(name, name) for name in names}

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config["seed"]

    @property
    def generations(self) -> tuple[int, ...]:
        """Generations that have results."""
        return tuple(sorted(map(int, self.results["generation"].dropna().unique())))

    @property
    def select_on_test(self) -> bool:
        """Whether candidates were ranked on the test split; older runs, without the key, ranked on val."""
        return bool(self.config.get("select_on_test", False))

    @property
    def test_results(self) -> pd.DataFrame:
        """Rows of the test split."""
        return self.results[self.results["split"] == "test"]

    @functools.cached_property
    def best_test_values(self) -> dict[tuple[str, int | None, str], float]:
        """(method, generation, metric) → test value of the candidate ranked first, mean over classes."""
        rows = self.test_results
        rows = rows[(rows["rank"] == 1) & (rows["class_name"] == "") & rows["value"].notna()]
        return {(r.method, to_generation(r.generation), r.metric): r.value for r in rows.itertuples()}

    @functools.cached_property
    def labeled_generations(self) -> tuple[int, ...]:
        """Generations for which unlabeled images have been pseudo-labeled."""
        matches = [re.fullmatch(r"label_g(\d+)", stage.name) for stage in self.stages]
        return tuple(sorted({int(match[1]) for match in matches if match}))

    def label_metric(self, generation: int, name: str) -> float | None:
        """A metric of a label stage, from metrics.jsonl or else from its DONE.json."""
        label = f"label_g{generation}"
        if (value := self.last_value(label, "unlabeled", name)) is not None:
            return value
        value = next((stage.metadata.get(name) for stage in self.stages if stage.name == label), None)
        return None if value is None else float(value)

    def last_value(self, stage: str, split: str, name: str) -> float | None:
        """The last value of a scalar of a stage that does not belong to a single member."""
        return self._last_values.get((stage, split, name))

    @functools.cached_property
    def _last_values(self) -> dict[tuple[str, str, str], float | None]:
        return {(s.stage, s.split, s.name): s.value for s in self.scalars if s.member is None}


def _load_panels(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            return {title: file[title] for title in file.files if title != per_image.FILES}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}


def to_generation(value: Any) -> int | None:
    """A cell of the column `generation`; None where it is missing."""
    return None if pd.isna(value) else int(value)


def read_run(workdir: Path) -> RunRecord:
    """Read a run's folder.

    Raises:
        UserError: the folder has no config.json of imjax, or a damaged results.csv.
    """
    record = _read_config(workdir / "config.json")
    return RunRecord(
        workdir=workdir,
        record=record,
        spec=_parse_spec(record["spec"]),
        results=_read_results(workdir / "results.csv"),
        scalars=tuple(_read_scalars(workdir / "metrics.jsonl")),
        stages=tuple(_read_stages(workdir / "stages")),
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _parse_spec(record["spec"])
        if not {"method", "seed", "data"} <= set(record["config"]):
            raise KeyError("method, seed or data")
    except OSError as error:
        raise file_error(
            path, f"{error.strerror}; expected the folder of a run of imjax.main", ErrorCode.UNREADABLE
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise file_error(
            path, f"not a config.json of imjax ({error}); name another --workdir", ErrorCode.DAMAGED
        ) from error
    return record


def _parse_spec(values: dict[str, Any]) -> DatasetSpec:
    """The spec as written to JSON, where tuples are lists; keys of other versions are left out."""
    fields = {field.name for field in dataclasses.fields(DatasetSpec)}
    return DatasetSpec.of({key: value for key, value in values.items() if key in fields})


def _read_results(path: Path) -> pd.DataFrame:
    try:
        if path.exists():
            results = pd.read_csv(
                path,
                usecols=list(RESULT_DTYPES),
                dtype=RESULT_DTYPES,
                # A class may be named "NA" or "None".
                keep_default_na=False,
                na_values={"generation": [""], "value": [""]},
                float_precision="round_trip",
            )
        else:
            results = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in RESULT_DTYPES.items()})
    except (OSError, ValueError) as error:
        raise file_error(
            path, f"not a results.csv of imjax ({error}); start the run again to repair it", ErrorCode.DAMAGED
        ) from error
    return results.rename(columns={"class": "class_name"})


def _read_scalars(path: Path) -> Iterator[ScalarRecord]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
            if values["value"] is not None:
                values["value"] = float(values["value"])
            yield ScalarRecord(**values)
        except (ValueError, TypeError, KeyError):
            # The line that is being written, or was when the run was killed.
            continue


def _read_stages(folder: Path) -> Iterator[StageRecord]:
    for path in sorted(folder.glob("[0-9]*_*")):
        if metadata := _read_optional(path / "DONE.json"):
            name, training = path.name.split("_", 1)[1], _read_optional(path / "train.json")
            yield StageRecord(name, metadata, training, path, (path / "DONE.json").stat().st_mtime)


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path, dict)


def _read_json(path: Path, kind: type[T]) -> T:
    """Contents of a file of that kind; empty where it is missing or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return kind()
    return value if isinstance(value, kind) else kind()
