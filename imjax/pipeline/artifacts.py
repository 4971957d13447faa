"""The folders of a run's stages: a stage is either complete or not there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imjax.config.convert import flatten
from imjax.config.schema import PLACES, Config
from imjax.inference.checksums import compute_checksums
from imjax.json_io import read_json, write_json
from imjax.log import logger
from imjax.pipeline import initial_weights
from imjax.pipeline.source_digest import source_digest
from imjax.pipeline.stages import JointStage, Stage, TrainStage

CARRIED_BY_STAGES = frozenset(
    {
        "method", "seed", "generations", "num_baseline_nets", "num_nets", "baselines", "select_on_test",
        "recipe", "model", "train", "strong", "augment", "aldt", "ensemble", "consistency", "mask", "evalnet",
        "joint",
    }
)  # fmt: skip
"""Top-level keys that `plan.make_plan` copies into the stages which read them. They are not shared inputs: a
key of EvalNets must not keep two methods from sharing LDT's nets."""
NOT_SHARED = PLACES | {
    # Read by the final table and the report only.
    "report_top_k",
}
"""Single keys that are no shared inputs. `data.*` is not either: the hash of the packed data has it."""


class ArtifactStore:
    """`D/stages` and `D/checkpoints` of one plan.

    A stage is done if its folder has a DONE.json with the stage's digest, which covers its settings, the
    stages it reads, and `inputs`, and if every file has the checksum listed there. Anything else in its place
    is from an interrupted run, other settings or other code, or damaged, and is replaced. Later stages stay:
    their digests say whether they are still valid.

    Args:
        workdir: folder of the run.
        stages: its plan.
        inputs: what every stage depends on, from `shared_inputs`.
        reusable_runs: workdirs of other runs whose stages may be copied.
    """

    def __init__(
        self,
        workdir: Path,
        stages: Sequence[Stage],
        inputs: Sequence[Any],
        reusable_runs: Sequence[Path] = (),
    ):
        self.workdir = workdir
        self._stages = {stage.name: (i, stage) for i, stage in enumerate(stages)}
        self._inputs = list(inputs)
        self._reusable_runs = tuple(reusable_runs)
        self._verified: set[str] = set()
        (workdir / "stages").mkdir(parents=True, exist_ok=True)

    def label(self, name: str) -> str:
        """`NN_name`."""
        return f"{self._stages[name][0]:02d}_{name}"

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return self._stages[name][1]

    def folder(self, name: str) -> Path:
        """Where a stage's artifacts are once it is done."""
        return self.workdir / "stages" / self.label(name)

    def folder_in_progress(self, name: str) -> Path:
        """Where a stage's artifacts are while it runs."""
        return self.folder(name).with_name(f".{self.label(name)}.tmp")

    def checkpoints(self, name: str) -> Path:
        """Where a stage saves its state while it runs; other settings have another folder."""
        return self.workdir / "checkpoints" / f"{self.label(name)}-{self.digest(name)[:8]}"

    def remove_checkpoints(self, name: str) -> None:
        """Delete the stage's checkpoints, also those of an attempt with other settings or code."""
        for folder in (self.workdir / "checkpoints").glob(f"{self.label(name)}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def digest(self, name: str) -> str:
        """SHA-256 of everything that a stage's result depends on."""
        stage = self.stage(name)
        settings = dataclasses.asdict(stage)
        if isinstance(stage, TrainStage | JointStage):
            # What is in the weights, not the place where they lie.
            settings["model"]["weights"] = initial_weights.digest(stage.model)
        content = [self._inputs, type(stage).__name__, settings]
        content += [self.digest(earlier) for earlier in stage.inputs]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def is_done(self, name: str) -> bool:
        """Whether the stage's artifacts are complete, undamaged and made with the same settings and code."""
        if name not in self._verified and self._matches(self.folder(name), name):
            # The check reads every file, so it is made once.
            self._verified.add(name)
        return name in self._verified

    def outdated_reason(self, name: str) -> str:
        """Why a stage that was done before is outdated; empty if it is not, is missing, or is damaged."""
        done = _read_done(self.folder(name))
        if not done or done["digest"] == self.digest(name):
            return ""
        if done.get("code") != source_digest():
            return "the code of imjax changed"
        return "settings, data or an earlier stage changed"

    def find_reusable_stage(self, name: str) -> Path | None:
        """Folder of the same stage in another run; None if no reusable run has it."""
        for workdir in self._reusable_runs:
            for folder in sorted((workdir / "stages").glob(f"[0-9]*_{name}")):
                if self._matches(folder, name):
                    return folder
        return None

    def _matches(self, folder: Path, name: str) -> bool:
        """Whether a folder holds the stage, complete; logs a damaged file."""
        done = _read_done(folder)
        if not done or done["digest"] != self.digest(name):
            return False
        actual = compute_checksums(folder)
        damaged = [path for path, checksum in done["files"].items() if actual.get(path) != checksum]
        if damaged:
            logger.warning("%s: damaged; the stage is run again", folder / damaged[0])
        return not damaged

    def copy_stage_from(self, name: str, folder: Path) -> None:
        """Copy another run's artifacts of the stage into this run."""
        copy = self.begin(name)
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        self.commit(name, copy, _read_done(folder) | {"taken_from": str(folder)})

    def begin(self, name: str) -> Path:
        """An empty temporary folder for a stage's artifacts."""
        folder = self.folder_in_progress(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def commit(self, name: str, folder: Path, metadata: dict[str, Any]) -> None:
        """Make the artifacts in `folder` the stage's, DONE.json last."""
        target = self.folder(name)
        shutil.rmtree(target, ignore_errors=True)
        identity = {"digest": self.digest(name), "code": source_digest()}
        write_json(folder / "DONE.json", identity | metadata | {"files": compute_checksums(folder)})
        os.replace(folder, target)


def shared_inputs(config: Config, data_digest: str) -> list[Any]:
    """What every stage's result depends on besides its own settings and the stages it reads.

    Every key of the configuration is in it unless `CARRIED_BY_STAGES` or `NOT_SHARED` names it, so that a new
    key counts until somebody decides otherwise.

    Args:
        config: of the run.
        data_digest: hash of the packed data, from their manifest.

    Returns:
        Hash of the data, hash of the package's source, and `[key, value]` of the shared keys, sorted.
    """
    values = flatten(dataclasses.asdict(config))
    carried = CARRIED_BY_STAGES | {"data"}
    keys = sorted(key for key in values if key.split(".")[0] not in carried and key not in NOT_SHARED)
    return [data_digest, source_digest(), [[key, values[key]] for key in keys]]


def _read_done(folder: Path) -> dict[str, Any]:
    """DONE.json of a stage's folder; empty if it is not done or the file is damaged, which is logged."""
    path = folder / "DONE.json"
    try:
        done = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        done, reason = None, str(error)
    else:
        reason = "no digest or no list of files"
    if isinstance(done, dict) and "digest" in done and isinstance(done.get("files"), dict):
        return done
    logger.warning("%s: damaged (%s); the stage is run again", path, reason)
    return {}
