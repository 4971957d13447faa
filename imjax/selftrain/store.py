"""The folders of a run: stages that are whole or not there at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imjax.selftrain.stages import Stage


class Store:
    """`D/stages` and `D/checkpoints` of one plan.

    A stage is done if its folder has a DONE.json whose digest is that of the stage's settings, the data
    and the stages it reads; anything else there is from an interrupted or other run and is replaced.
    """

    def __init__(self, workdir: Path, stages: Sequence[Stage], data_digest: str, seed: int):
        self.workdir = workdir
        self._stages = {stage.name: (i, stage) for i, stage in enumerate(stages)}
        self._root = [data_digest, seed]
        (workdir / "stages").mkdir(parents=True, exist_ok=True)

    def label(self, name: str) -> str:
        """`NN_name`."""
        return f"{self._stages[name][0]:02d}_{name}"

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return self._stages[name][1]

    def folder(self, name: str) -> Path:
        """Where a stage's artefacts are once it is done."""
        return self.workdir / "stages" / self.label(name)

    def checkpoints(self, name: str) -> Path:
        """Where a stage saves itself while it runs; other settings have another folder."""
        return self.workdir / "checkpoints" / f"{self.label(name)}-{self.digest(name)[:8]}"

    def digest(self, name: str) -> str:
        """Hash of everything that a stage's result depends on."""
        stage = self.stage(name)
        facts = [self._root, type(stage).__name__, dataclasses.asdict(stage)]
        facts += [self.digest(other) for other in stage.inputs]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def is_done(self, name: str) -> bool:
        """Whether the stage's artefacts are whole and current."""
        try:
            done = json.loads((self.folder(name) / "DONE.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return False
        return done.get("digest") == self.digest(name)

    def begin(self, name: str) -> Path:
        """An empty temporary folder for a stage's artefacts."""
        folder = self.folder(name).with_name(f".{self.label(name)}.tmp")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def commit(self, name: str, folder: Path, facts: dict[str, Any]) -> None:
        """Make the artefacts in `folder` the stage's, DONE.json last."""
        target = self.folder(name)
        shutil.rmtree(target, ignore_errors=True)
        write_json(folder / "DONE.json", {"digest": self.digest(name)} | facts)
        os.replace(folder, target)


def write_json(path: Path, value: Any) -> None:
    """Write a json file that is whole or not there."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Read a json file."""
    return json.loads(path.read_text(encoding="utf-8"))
