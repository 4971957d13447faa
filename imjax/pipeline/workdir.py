"""A run's folder: the record of its settings, and the refusal to mix two runs in one folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from imjax import __version__
from imjax.config.convert import flatten
from imjax.config.schema import PLACES, Config
from imjax.data import sample_record
from imjax.data.pack import PackedDataset
from imjax.errors import ErrorCode, UserError
from imjax.inference.load_run import read_record
from imjax.json_io import write_json
from imjax.log import logger
from imjax.methods import validate
from imjax.pipeline import initial_weights
from imjax.pipeline.source_digest import source_digest

WRITTEN = ("results.csv", "report.html", "metrics.jsonl", "stages", "checkpoints")
"""What a run writes in its folder, after config.json."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "clu")


def open_workdir(workdir: Path, config: Config, packed: PackedDataset, command: Sequence[str] = ()) -> None:
    """Make the folder and write `config.json`, or check that the run there has the same configuration.

    Args:
        workdir: of the run.
        config, packed: what it is run with.
        command: words of the command line; none where the run was started from Python.

    Raises:
        UserError: it has another, with the keys that differ; what is there is of no run; or the folder
            cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot be made: {error.strerror}",
            code=ErrorCode.UNWRITABLE,
            field="--workdir",
        ) from error
    path = workdir / "config.json"
    if path.exists():
        _check_same_run(path, config, packed)
    elif foreign := [name for name in WRITTEN if (workdir / name).exists()]:
        raise UserError(
            f"--workdir={workdir}: has {' and '.join(foreign)} but no config.json: not a run of imjax, "
            "which would replace that; name a new or empty folder",
            code=ErrorCode.CONFLICT,
            field="--workdir",
        )
    # First: whatever has a config.json has this.
    write_json(workdir / sample_record.FILE, packed.samples)
    write_json(path, record(config, packed, command))


def record(config: Config, packed: PackedDataset, command: Sequence[str]) -> dict[str, Any]:
    """Contents of config.json: configuration, its hash, dataset, versions, device, code, command."""
    values = dataclasses.asdict(config)
    devices = jax.devices()
    return {
        "config": values,
        "method": validate.run_method(config),
        "start": validate.baseline_method(config),
        "hash": _hash(result_settings(values)),
        "data": packed.manifest["hash"],
        "spec": dataclasses.asdict(packed.spec),
        "counts": {name: len(split.names) for name, split in packed.splits.items()},
        "seen": packed.manifest["test_images_seen_in_training"],
        "copies": {name: len(pairs) for name, pairs in packed.copies.items()},
        "versions": {"imjax": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "device": f"{len(devices)} × {devices[0].device_kind}",
        "commit": _commit(),
        "code": source_digest(),
        "command": list(command),
    }


def _check_same_run(path: Path, config: Config, packed: PackedDataset) -> None:
    old = read_record(path)
    before = result_settings(old["config"])
    now = result_settings(dataclasses.asdict(config))
    differing = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if differing:
        changes = "; ".join(f"{key}: {before.get(key)} → {now.get(key)}" for key in differing)
        raise UserError(
            f"{path} is from a run with another configuration: {changes}; name another --workdir",
            code=ErrorCode.CONFLICT,
            field=path,
        )
    if old.get("data") != packed.manifest["hash"]:
        digest = packed.manifest["hash"][:12]
        raise UserError(
            f"{path} is from a run on other data than {digest}{_changes(path.parent, packed)}; name another "
            f"--workdir; --from={path.parent} beside it starts from these nets and keeps val and test",
            code=ErrorCode.CONFLICT,
            field=path,
        )


def _changes(workdir: Path, packed: PackedDataset) -> str:
    """What has changed since the run in a folder, as far as it is known."""
    if not (workdir / sample_record.FILE).is_file():
        return ""
    changes = sample_record.describe_changes(sample_record.read_records(workdir), packed.samples)
    return f": {changes}" if changes else ""


def describe_earlier_run(config: Config, packed: PackedDataset) -> tuple[str, str]:
    """What has changed since the run that this one starts from, and what is kept of it.

    Returns:
        A sentence for people, and a warning of images that measure now and that the nets to start from have
        seen in training. Empty where there is no such run, or where it has no record of its samples.

    Raises:
        UserError: the record is damaged.
    """
    starts = config.model.weights not in (initial_weights.NONE, initial_weights.IMAGENET)
    earlier = config.data.keep_split or (config.model.weights if starts else "")
    if not earlier or not (Path(earlier) / sample_record.FILE).is_file():
        return "", ""
    before = sample_record.read_records(Path(earlier))
    changes = sample_record.describe_changes(before, packed.samples)
    leaks = sample_record.list_leaks(before, packed.samples)
    parts = [f"since {earlier}: {changes or 'no image and no mask has changed'}"]
    parts += ["nets start from its nets"] if starts else []
    parts += ["val and test stay what they were"] if config.data.keep_split and not leaks else []
    sentence = "; ".join([*parts, "every stage is trained anew"])
    if not (starts and leaks):
        return sentence, ""
    return sentence, (
        f"{earlier} has trained on {len(leaks)} images that are in val or test now, such as {leaks[0]}: "
        "figures flatter; keep val and test by --from, or by splits.csv"
    )


def reusable_runs(folders: Sequence[Path], workdir: Path) -> list[Path]:
    """Other runs whose finished stages may be copied: same code and versions, same kind of device.

    Args:
        folders: workdirs of the runs.
        workdir: this run's, opened.

    Returns:
        The folders that qualify; a warning names each other one, with the reason.

    Raises:
        UserError: a folder is not one of a run.
    """
    record, reusable = read_record(workdir / "config.json"), []
    for folder in folders:
        candidate = read_record(folder / "config.json")
        differing = [key for key in ("versions", "device", "code") if record[key] != candidate.get(key)]
        if differing:
            reason = " and ".join(differing)
            logger.warning("--reuse=%s: made with other %s; no stage is copied from there", folder, reason)
        elif folder.resolve() != workdir.resolve():
            reusable.append(folder)
    return reusable


def result_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The settings that a run's results depend on, flat, with tuples as lists as json has them."""
    flat = {key: value for key, value in flatten(values).items() if key not in PLACES}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def digest(config: Config, packed: PackedDataset) -> str:
    """Hash of what must be equal in all processes of a run: what results depend on, and `on_nan`."""
    settings = result_settings(dataclasses.asdict(config))
    return _hash([settings, packed.manifest["hash"], config.on_nan, source_digest()])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _commit() -> str:
    """Commit of the checkout this code runs from; empty without git."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
