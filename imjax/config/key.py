"""How the schema declares a key: default, meaning and constraint in one place, beside the type."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any


@dataclasses.dataclass(frozen=True)
class Constraint:
    """What a value must be, whatever the other keys are."""

    valid: Callable[[Any], bool]
    """Takes a value of the key's type."""
    expected: str
    """Follows "expected" in the message."""


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What `key` and `group` keep in a field's metadata, under `"key"`."""

    meaning: str
    constraint: Constraint | None


def key(default: Any, meaning: str, constraint: Constraint | None = None) -> Any:
    """A key; `...` as default where each group that has the key gives its own."""
    metadata = {"key": Declaration(meaning, constraint)}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(default: Any, meaning: str = "") -> Any:
    """A group of keys, an instance of its dataclass; its docstring is the meaning unless another is given."""
    return key(default, meaning)


def at_least(least: int | float) -> Constraint:
    """Numbers from `least` on."""
    return Constraint(lambda v: v >= least, f"at least {least}")


def more_than(least: int | float) -> Constraint:
    """Numbers above `least`."""
    return Constraint(lambda v: v > least, f"more than {least}")


def between(least: int | float, most: int | float) -> Constraint:
    """Numbers from `least` to `most`."""
    return Constraint(lambda v: least <= v <= most, f"from {least} to {most}")


def below(most: int | float) -> Constraint:
    """Numbers from 0 on, less than `most`."""
    return Constraint(lambda v: 0 <= v < most, f"at least 0, less than {most}")


def one_of(names: Collection[str]) -> Constraint:
    """One of these words."""
    *others, last = names
    return Constraint(lambda v: v in names, f"{', '.join(others)} or {last}")


def some_of(values: Collection[Any]) -> Constraint:
    """A tuple of these values, or an empty one."""
    return Constraint(lambda v: set(v) <= set(values), f"some of {', '.join(map(str, values))}")


MULTIPLE_OF_16 = Constraint(lambda v: v > 0 and v % 16 == 0, "a multiple of 16 (U-Net halves 4 times)")
KERNEL = Constraint(lambda v: v == 0 or (v > 0 and v % 2 == 1), "0 or an odd size of a square kernel")
