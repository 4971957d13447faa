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

from imjax.config.schema import Config
from imjax.json_io import read_json, write_json
from imjax.log import logger
from imjax.pipeline.stages import Stage


class ArtifactStore:
    """`D/stages` and `D/checkpoints` of one plan.

    A stage is done if its folder has a DONE.json whose digest is that of the stage's settings, the stages
    it reads and `basis`, and all its files are as that says; anything else there is from an interrupted or
    other run, or damaged, and is replaced. Later stages stay: they would be made from the same again.

    Args:
        workdir: of the run.
        stages: its plan.
        basis: what every stage depends on, as `basis` gives it.
        lenders: workdirs of other runs whose stages may be taken over.
    """

    def __init__(
        self, workdir: Path, stages: Sequence[Stage], basis: Sequence[Any], lenders: Sequence[Path] = ()
    ):
        self.workdir = workdir
        self._stages = {stage.name: (i, stage) for i, stage in enumerate(stages)}
        self._basis = list(basis)
        self._lenders = tuple(lenders)
        self._whole: set[str] = set()
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

    def checkpoints(self, name: str) -> Path:
        """Where a stage saves itself while it runs; other settings have another folder."""
        return self.workdir / "checkpoints" / f"{self.label(name)}-{self.digest(name)[:8]}"

    def digest(self, name: str) -> str:
        """Hash of everything that a stage's result depends on."""
        stage = self.stage(name)
        facts = [self._basis, type(stage).__name__, dataclasses.asdict(stage)]
        facts += [self.digest(other) for other in stage.inputs]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def is_done(self, name: str) -> bool:
        """Whether the stage's artifacts are whole and current."""
        if name not in self._whole and self._is(self.folder(name), name):
            # Every file is read for this, so once.
            self._whole.add(name)
        return name in self._whole

    def lender(self, name: str) -> Path | None:
        """Folder of the same stage, done by another run; None if no lender has it."""
        for workdir in self._lenders:
            for folder in sorted((workdir / "stages").glob(f"[0-9]*_{name}")):
                if self._is(folder, name):
                    return folder
        return None

    def _is(self, folder: Path, name: str) -> bool:
        """Whether a folder has the stage, whole; a damaged one is said."""
        done = _done(folder)
        if done.get("digest") != self.digest(name):
            return False
        # Stages of versions that did not list their files are taken as they are.
        found = checksums(folder) if done.get("files") else {}
        damaged = [file for file, checksum in done.get("files", {}).items() if found.get(file) != checksum]
        if damaged:
            logger.warning("%s: damaged; the stage is made anew", folder / damaged[0])
        return not damaged

    def take_over(self, name: str, folder: Path) -> None:
        """Make a lender's artifacts the stage's."""
        copy = self.begin(name)
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        self.commit(name, copy, read_json(folder / "DONE.json") | {"taken_from": str(folder)})

    def begin(self, name: str) -> Path:
        """An empty temporary folder for a stage's artifacts."""
        folder = self.folder(name).with_name(f".{self.label(name)}.tmp")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def commit(self, name: str, folder: Path, facts: dict[str, Any]) -> None:
        """Make the artifacts in `folder` the stage's, DONE.json last."""
        target = self.folder(name)
        shutil.rmtree(target, ignore_errors=True)
        listed = {"digest": self.digest(name)} | facts | {"files": checksums(folder)}
        write_json(folder / "DONE.json", listed)
        os.replace(folder, target)


def basis(config: Config, data_digest: str) -> list[Any]:
    """What every stage's result depends on beside its own settings: seed, data, and nets but for width."""
    m = config.model
    return [data_digest, config.seed, m.dropout, m.momentum, m.dtype, config.eval_batch_size]


def _done(folder: Path) -> dict[str, Any]:
    """DONE.json of a stage's folder; empty if it is not done."""
    path = folder / "DONE.json"
    try:
        done = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        done, reason = None, str(error)
    else:
        reason = "no table of facts"
    if isinstance(done, dict) and isinstance(done.get("files", {}), dict):
        return done
    logger.warning("%s: damaged (%s); the stage is made anew", path, reason)
    return {}


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a stage but DONE.json, by its path in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DONE.json")
    found = {}
    for path in paths:
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
