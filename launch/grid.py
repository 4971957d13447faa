"""What a sweep runs: configurations × values, each a point with a folder of its own."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from imjax import cli
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Config
from imjax.config.sweeps import KEYS, SWEEPS
from imjax.errors import ErrorCode, UserError
from imjax.pipeline.plan import make_plan


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    name: str
    """Of its folder, and of the run in messages."""
    workdir: Path
    flags: tuple[str, ...]
    """What `imjax.main` is given, but for the folder."""
    config: Config


def make_points(
    configs: Sequence[str], sweeps: Sequence[str], settings: Sequence[str], root: Path
) -> list[SweepRun]:
    """Every configuration with every combination of the sweeps' values.

    Args:
        configs: names or files of configurations, a preset after a colon.
        sweeps: `name` of a sweep in imjax/config/sweeps.py, or `key:value,value`.
        settings: `key=value` for all runs.
        root: folder of the runs' folders.

    Raises:
        UserError: a sweep or key that is unknown, or a point that cannot work.
    """
    axes = [_parse_axis(text) for text in sweeps]
    fixed = [_parse_setting(text) for text in settings]
    points = []
    # Configurations last: the runs that can share stages come one after another.
    for values in itertools.product(*axes):
        points += [_make_point(config, values, fixed, root) for config in configs]
    names = [point.name for point in points]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"--config, --sweep: {min(twice)} would run twice; name each configuration once",
            code=ErrorCode.CONFLICT,
            field="--config",
        )
    return points


Value = tuple[str, Mapping[str, Any]]
"""Label of one value of a sweep, and the keys that it sets."""


def _parse_axis(text: str) -> list[Value]:
    name, colon, values = text.partition(":")
    if colon:
        key = KEYS.get(name, name)
        # Commas inside brackets belong to a tuple.
        parts = [part.strip() for part in re.split(r",(?![^(]*\))", values)]
        if not all(parts):
            raise UserError(
                f"--sweep={text}: a value is empty; expected e.g. --sweep=seed:0,1,2",
                code=ErrorCode.MALFORMED,
                field="--sweep",
            )
        return [(f"{name}={part}", {key: part}) for part in parts]
    if name not in SWEEPS:
        close = difflib.get_close_matches(name, SWEEPS, n=3, cutoff=0.4) or list(SWEEPS)
        raise UserError(
            f"--sweep={text}: no such sweep; did you mean {' or '.join(close)}, or key:value,value?",
            code=ErrorCode.UNKNOWN,
            field="--sweep",
        )
    return [(f"{name}={label}", keys) for label, keys in SWEEPS[name].items()]


def _parse_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(
            f"--set={text}: expected key=value, e.g. --set=data.dir=CamVid",
            code=ErrorCode.MALFORMED,
            field="--set",
        )
    return KEYS.get(key, key), value


def _make_point(
    config: str, values: Sequence[Value], fixed: Sequence[tuple[str, str]], root: Path
) -> SweepRun:
    keys = dict(fixed) | {key: value for _, pairs in values for key, value in pairs.items()}
    arguments = (f"--config={config}", *(f"--config.{key}={value}" for key, value in keys.items()))
    path, _, preset = config.partition(":")
    name = "-".join([Path(path).stem, *filter(None, [preset]), *(label for label, _ in values)])
    name = re.sub(r"[^\w.=,-]", "_", name)
    return SweepRun(name, root / name, arguments, _parse_config(arguments, name))


def _parse_config(arguments: Sequence[str], name: str) -> Config:
    """The configuration as `imjax.main` would read it from these flags."""
    values, argv = flags.FlagValues(), ["imjax.main", *arguments]
    cli.define_config(flag_values=values, sys_argv=argv)
    try:
        values(argv)
        config = check(freeze(values.config.to_dict()))
        make_plan(config)
        return config
    except UserError as error:
        raise UserError(f"{name}: {error}", code=error.code, field=error.field) from error
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        problem = cli.flag_error(error, argv)
        raise UserError(f"{name}: {problem}", code=problem.code, field=problem.field) from error
