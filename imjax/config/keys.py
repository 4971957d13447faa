"""Every key of the configuration by its full name, and the closest ones to a misspelled key."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import textwrap
import typing
from collections.abc import Iterator

from imjax.config.schema import Config


@dataclasses.dataclass(frozen=True)
class Key:
    """One key, or a group of keys."""

    name: str
    """With its groups: `train.epochs`."""
    type: str
    """As on the command line: `int`, `tuple[float, ...]`, …; `group` of a group."""
    default: object
    """Before dataset, method and preset; None of a group."""
    meaning: str
    expected: str
    """What a value must be beside its type; empty: anything, or a matter of other keys too."""


@functools.cache
def list_keys() -> tuple[Key, ...]:
    """All keys in the schema's order, each group before its keys."""
    return tuple(_walk(Config(), ""))


def _walk(group: typing.Any, prefix: str) -> Iterator[Key]:
    hints = typing.get_type_hints(type(group))
    for field in dataclasses.fields(group):
        declared, default, hint = field.metadata["key"], getattr(group, field.name), hints[field.name]
        name = prefix + field.name
        if dataclasses.is_dataclass(default):
            yield Key(name, "group", None, declared.meaning or " ".join((hint.__doc__ or "").split()), "")
            yield from _walk(default, name + ".")
        else:
            label = str(hint) if typing.get_args(hint) else hint.__name__
            expected = declared.constraint.expected if declared.constraint else ""
            yield Key(name, label, default, declared.meaning, expected)


def find(name: str) -> Key:
    """The key or group of that full name; KeyError if there is none."""
    return {key.name: key for key in list_keys()}[name]


def suggest(name: str) -> str:
    """End of a message about an unknown key: the closest ones of all groups."""
    likeness = {key.name: _similarity(name, key.name) for key in list_keys()}
    least = max(0.6, max(likeness.values()) - 0.15)
    close = [key for key in sorted(likeness, key=lambda key: -likeness[key])[:3] if likeness[key] >= least]
    return f": did you mean {' or '.join(close)}?" if close else "; `imjax keys` lists all"


def _similarity(name: str, key: str) -> float:
    """From 0 to 1, by the whole name or its last part, where `lr` stands for `learning_rate`."""
    last, word = key.rpartition(".")[2], name.rpartition(".")[2]
    initials = "".join(part[0] for part in last.split("_"))
    if len(initials) > 1 and word == initials:
        return 1.0
    name_ratio = difflib.SequenceMatcher(None, name, key).ratio()
    # Of keys that end alike, the one whose groups are alike as well.
    return max(name_ratio, 0.9 * difflib.SequenceMatcher(None, word, last).ratio() + 0.1 * name_ratio)


def describe(pattern: str = "") -> str:
    """The table that `imjax keys` prints: keys whose name or meaning has the pattern in it."""
    lines = []
    for key in list_keys():
        if pattern.lower() not in f"{key.name} {key.meaning}".lower():
            continue
        if key.type == "group":
            lines += ["", f"{key.name}: {key.meaning}"]
            continue
        default = key.default if isinstance(key.default, str) else repr(key.default).replace("'", "")
        wanted = f"{key.type}, {key.expected}" if key.expected else key.type
        lines.append(f"  --config.{key.name}={default}  ({wanted})")
        lines += textwrap.wrap(key.meaning, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
