"""Trained nets on disk: a stage's folder, and a run's, as far as its nets need it.

No dataset, no plan, no path of another machine: `load_model` reads `config.json` and the folder of a stage.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax

from imjax.config.convert import freeze
from imjax.config.schema import Data, Mask, Model
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.inference.checksums import verify_nets
from imjax.inference.trained_model import TrainedModel
from imjax.json_io import read_json, write_json
from imjax.methods.registry import GENERATIONAL_METHODS, JOINT_METHODS
from imjax.training.checkpoints import save_nets
from imjax.training.runtime import Runtime


def read_record(path: Path) -> dict[str, Any]:
    """Contents of a run's config.json, of this version or an older one.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        old = read_json(path)
        if not isinstance(old["config"], dict):
            raise TypeError("config is no group of keys")
        return old
    except OSError as error:
        raise file_error(
            path, f"{error.strerror}; expected the folder of a run of imjax.main", ErrorCode.UNREADABLE
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise file_error(
            path, f"not a config.json of imjax ({error}); name another folder", ErrorCode.DAMAGED
        ) from error


def load_model(workdir: Path, stage: str | None = None, batch: int | None = None) -> TrainedModel:
    """The nets of a finished training stage of a run.

    Args:
        workdir: of the run.
        stage: e.g. `train_g1`; None: the last one of the run's method, which is its start where no generation
            is done yet.
        batch: images per call; None: as in the run.

    Raises:
        UserError: no run there, or none that this version can read; no such stage, or none that is done; a
            file of the nets is not as it was written.
    """
    path = workdir / "config.json"
    record = read_record(path)
    values = record["config"]
    try:
        method, data = values["method"], values["data"]
        spec = DatasetSpec.of(record["spec"])
        runtime = Runtime(batch or values["eval_batch_size"])
        mask = freeze(values["mask"], Mask, "mask.")
        names = (
            "height", "width", "depth", "random_crops", "tile_overlap", "resize_mode", "percentile_normalize",
            "pages", "alpha", "orientation", "nodata", "value_scaling",
        )  # fmt: skip
        inputs = Data(**{name: data[name] for name in names})
        patch, patch_overlap = tuple(values["joint"]["patch"]), values["joint"]["predict_overlap"]
        if method not in GENERATIONAL_METHODS and method not in JOINT_METHODS:
            raise KeyError(f"method {method!r}")
    except (KeyError, TypeError, UserError) as error:
        made = record.get("commit") or "unknown"
        raise file_error(
            path,
            f"from another version of imjax, commit {made} ({error}); predict with that version",
            ErrorCode.UNSUPPORTED,
        ) from error
    folder = _choose(workdir, method, stage)
    # A copy may have been cut or hit on its way, and weights with one wrong bit still paint masks.
    verify_nets(folder)
    model = load_stage(folder, spec, runtime)
    return dataclasses.replace(model, mask=mask, inputs=inputs, patch=patch, patch_overlap=patch_overlap)


def load_stage(folder: Path, spec: DatasetSpec, runtime: Runtime, with_dropped: bool = False) -> TrainedModel:
    """The nets of a finished training stage, as `write_model` wrote them.

    Args:
        folder: of the stage.
        spec: of the dataset.
        runtime: how nets run on this machine.
        with_dropped: all nets in the order of training instead of those that are ranked.

    Raises:
        UserError: train.json is damaged or of another version.
    """
    path = folder / "train.json"
    try:
        record = read_json(path)
        model = freeze(record["model"], Model, "model.")
        auxiliaries = int(record["auxiliary_decoders"])
        ranked = tuple(range(record["trained"])) if with_dropped else tuple(map(int, record["ranked"]))
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        raise file_error(
            path,
            f"the nets' shape and ranking cannot be read ({error}); copy the stage again, or predict "
            "with the version of imjax that trained it",
            ErrorCode.DAMAGED,
        ) from error
    return TrainedModel(_name(folder), spec, model, auxiliaries, folder / "nets", ranked, runtime)


def write_model(folder: Path, model: TrainedModel, metadata: dict[str, Any]) -> None:
    """Write the nets of a training stage, and what `load_stage` needs of them.

    Args:
        folder: of the stage.
        model: with its weights in memory.
        metadata: more entries of train.json.
    """
    save_nets(folder / "nets", model.weights)
    record = {
        "model": dataclasses.asdict(model.model),
        "auxiliary_decoders": model.auxiliaries,
        "trained": len(jax.tree.leaves(model.weights)[0]),
        "ranked": list(model.ranked),
    }
    write_json(folder / "train.json", metadata | record)


def _choose(workdir: Path, method: str, stage: str | None) -> Path:
    """Folder of the stage of that name, or of the last one of the method."""
    stages = [path for path in (workdir / "stages").glob("*_train_*") if path.name.split("_")[0].isdigit()]
    done = sorted(
        (path for path in stages if (path / "DONE.json").is_file()), key=lambda p: int(p.name.split("_")[0])
    )
    names = [_name(path) for path in done]
    if stage is not None:
        if stage not in names:
            finished = ", ".join(names) or "none"
            raise UserError(
                f"stage={stage}: no finished training stage of {workdir}; those are: {finished}",
                code=ErrorCode.UNKNOWN,
                field="stage",
            )
        return done[names.index(stage)]
    of_method = [path for path in done if _belongs(_name(path), method)]
    if of_method:
        return of_method[-1]
    hint = f"; stage={names[-1]} takes a baseline's" if names else ""
    raise file_error(
        workdir / "stages",
        f"no training stage of method {method!r} is finished, expected a folder "
        f"NN_train_* with a DONE.json; go on with the run first{hint}",
        ErrorCode.MISSING,
    )


def _name(folder: Path) -> str:
    """`04_train_g0` → `train_g0`."""
    return folder.name.split("_", 1)[1]


def _generation(stage: str) -> int | None:
    match = re.fullmatch(r"train_g(\d+)", stage)
    return int(match[1]) if match else None


def _belongs(stage: str, method: str) -> bool:
    """Whether a stage is the method's and not a baseline's."""
    if method in JOINT_METHODS or _generation(stage) is not None:
        return True
    return stage in (f"train_{GENERATIONAL_METHODS[method].start}", "train_consistency")
