"""A run's folder: what it was started with, and the refusal to mix two runs in one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from imjax.config import Config
from imjax.data.pack import Packed
from imjax.errors import UserError
from imjax.methods.recipes import recipe
from imjax.selftrain.store import read_json, write_json

PLACES = ("data.dir", "data.cache", "members_per_chunk", "resident_mib")
"""Keys that change where and how fast a run runs, not what it gives."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "clu")


def open_workdir(workdir: Path, config: Config, packed: Packed) -> None:
    """Make the folder and write `config.json`, or check that the run there has the same configuration.

    Raises:
        UserError: it has another, with the keys that differ; or the folder cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be made: {error.strerror}") from error
    path = workdir / "config.json"
    if path.exists():
        _same(path, config, packed)
    write_json(path, record(config, packed))


def record(config: Config, packed: Packed) -> dict[str, Any]:
    """Contents of config.json: configuration, its hash, dataset, versions, device, commit, command."""
    values = dataclasses.asdict(config)
    devices = jax.devices()
    return {
        "config": values,
        "start": recipe(config.method).start,
        "hash": hashlib.sha256(json.dumps(_facts(values), sort_keys=True).encode()).hexdigest(),
        "data": packed.manifest["hash"],
        "spec": dataclasses.asdict(packed.spec),
        "counts": {name: len(split.names) for name, split in packed.splits.items()},
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": f"{len(devices)} × {devices[0].device_kind}",
        "commit": _commit(),
        "command": ["python", "-m", "imjax.main", *sys.argv[1:]],
    }


def _same(path: Path, config: Config, packed: Packed) -> None:
    try:
        old = read_json(path)
        before = _facts(old["config"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a config.json of imjax ({error}); name another --workdir") from error
    now = _facts(dataclasses.asdict(config))
    differing = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if differing:
        changes = "; ".join(f"{key}: {before.get(key)} → {now.get(key)}" for key in differing)
        raise UserError(f"{path} is from a run with another configuration: {changes}; name another --workdir")
    if old.get("data") != packed.manifest["hash"]:
        digest = packed.manifest["hash"][:12]
        raise UserError(f"{path} is from a run on other data than {digest}; name another --workdir")


def _facts(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _facts(value, f"{prefix}{key}.")
        elif prefix + key not in PLACES:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


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
