"""A finished training stage, read from a run's folder alone: no dataset, no plan, no path of another machine.

Only `config.json` and the stage's folder are read, and of the configuration only what its nets depend on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from imjax.config.schema import Data, Mask, Model, freeze
from imjax.data.spec import DatasetSpec
from imjax.errors import UserError
from imjax.inference.predictor import Predictor
from imjax.inference.trained_model import TrainedModel
from imjax.json_io import read_json
from imjax.methods.registry import GENERATIONAL_METHODS, JOINT_METHODS


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
        raise UserError(f"{path}: {error.strerror}; expected the folder of a run of imjax.main") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a config.json of imjax ({error}); name another folder") from error


def load_model(workdir: Path, stage: str | None = None, batch: int | None = None) -> TrainedModel:
    """The nets of a finished training stage of a run.

    Args:
        workdir: of the run.
        stage: e.g. `train_g1`; None: the last one of the run's method, which is its start where no generation
            is done yet.
        batch: images per call; None: as in the run.

    Raises:
        UserError: no run there, or none that this version can read; no such stage, or none that is done.
    """
    path = workdir / "config.json"
    record = read_record(path)
    values = record["config"]
    try:
        method, data = values["method"], values["data"]
        predictor = Predictor(
            DatasetSpec.of(record["spec"]),
            freeze(values["model"], Model, "model."),
            freeze(values["mask"], Mask, "mask."),
            batch or values["eval_batch_size"],
        )
        names = ("height", "width", "random_crops", "tile_overlap", "resize_mode", "percentile_normalize")
        data = Data(**{name: data[name] for name in names})
        if method not in GENERATIONAL_METHODS and method not in JOINT_METHODS:
            raise KeyError(f"method {method!r}")
    except (KeyError, TypeError, UserError) as error:
        made = record.get("commit") or "unknown"
        raise UserError(
            f"{path}: from another version of imjax, commit {made} ({error}); predict with that version"
        ) from error
    folder = _choose(workdir, method, stage)
    name = _name(folder)
    width, auxiliaries = _shape(predictor.model, method, name)
    return TrainedModel(folder, name, predictor, data, width, auxiliaries, _ranked(folder))


def _choose(workdir: Path, method: str, stage: str | None) -> Path:
    """Folder of the stage of that name, or of the last one of the method."""
    stages = [path for path in (workdir / "stages").glob("*_train_*") if path.name.split("_")[0].isdigit()]
    done = sorted(
        (path for path in stages if (path / "DONE.json").is_file()), key=lambda p: int(p.name.split("_")[0])
    )
    names = [_name(path) for path in done]
    if stage is not None:
        if stage not in names:
            found = ", ".join(names) or "none"
            raise UserError(f"stage={stage}: no finished training stage of {workdir}; those are: {found}")
        return done[names.index(stage)]
    own = [path for path in done if _belongs(_name(path), method)]
    if own:
        return own[-1]
    hint = f"; stage={names[-1]} takes a baseline's" if names else ""
    raise UserError(
        f"{workdir / 'stages'}: no training stage of method {method!r} is finished, expected a folder "
        f"NN_train_* with a DONE.json; go on with the run first{hint}"
    )


def _name(folder: Path) -> str:
    """`04_train_g0` → `train_g0`."""
    return folder.name.split("_", 1)[1]


def _generation(stage: str) -> int | None:
    found = re.fullmatch(r"train_g(\d+)", stage)
    return int(found[1]) if found else None


def _belongs(stage: str, method: str) -> bool:
    """Whether a stage is the method's and not a baseline's."""
    if method in JOINT_METHODS or _generation(stage) is not None:
        return True
    return stage in (f"train_{GENERATIONAL_METHODS[method].start}", "train_consistency")


def _shape(model: Model, method: str, stage: str) -> tuple[float, int]:
    """Width and auxiliary decoders of a stage's nets."""
    if method in JOINT_METHODS:
        return model.width, JOINT_METHODS[method].auxiliary_decoders
    return GENERATIONAL_METHODS[method].width(model, _generation(stage)), 0


def _ranked(folder: Path) -> tuple[int, ...]:
    path = folder / "train.json"
    try:
        return tuple(int(member) for member in read_json(path)["ranked"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no ranking of nets can be read ({error}); copy the stage again") from error
