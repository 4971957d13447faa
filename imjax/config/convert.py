"""A `ConfigDict` from the caller becomes the frozen dataclasses of `schema`, and these one level of keys."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from imjax.config import keys
from imjax.config.schema import Config
from imjax.errors import ErrorCode, UserError


def freeze(values: Mapping[str, Any], cls: type = Config, path: str = "") -> Any:
    """ConfigDict (or nested mapping) → dataclass.

    Raises:
        UserError: an unknown or missing key or a wrong type, with the full path of the key, the value,
            and the closest valid names.
    """
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in hints:
            raise UserError(
                f"config key {path + name!r} is unknown{keys.suggest(path + name)}",
                code=ErrorCode.UNKNOWN,
                field=path + name,
            )
    for name in hints:
        if name not in values:
            raise UserError(
                f"config key {path + name!r} is missing; `imjax keys {path + name}` says what it means",
                code=ErrorCode.MISSING,
                field=path + name,
            )
    return cls(**{name: _convert(values[name], hint, path + name) for name, hint in hints.items()})


def _convert(value: Any, hint: Any, path: str) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UserError(
                f"config key {path!r} is {value!r}; expected a group of keys",
                code=ErrorCode.WRONG_TYPE,
                field=path,
            )
        return freeze(value, hint, path + ".")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            raise UserError(
                f"config key {path!r} is {value!r}; expected a tuple", code=ErrorCode.WRONG_TYPE, field=path
            )
        return tuple(_convert(v, typing.get_args(hint)[0], f"{path}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 1e300:
            raise UserError(
                f"config key {path!r} is {value}; expected a finite number",
                code=ErrorCode.OUT_OF_RANGE,
                field=path,
            )
        return float(value)
    # bool is an int to Python, but `seed=True` is a mistake.
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise UserError(
            f"config key {path!r} is {value!r}; expected {hint.__name__}",
            code=ErrorCode.WRONG_TYPE,
            field=path,
        )
    return value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration → one level with dotted keys."""
    flat: dict[str, Any] = {}
    for part, value in values.items():
        name = prefix + part
        flat |= flatten(value, name + ".") if isinstance(value, Mapping) else {name: value}
    return flat
