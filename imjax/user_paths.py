"""Paths as a person types them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imjax.errors import ErrorCode, UserError

FOLDER_KEYS = (("data", "dir"), ("data", "cache"), ("data", "keep_split"), ("model", "weights"))
"""Keys of a configuration that name folders, or are empty or a word."""


def expand_path(text: str | os.PathLike[str], field: str) -> Path:
    """The path, with `~` as the home folder: most shells leave it in `--workdir=~/runs`.

    Args:
        text: as given.
        field: flag, key or argument that it was given for.

    Raises:
        UserError: it is empty, which would be the current folder, or there is no such home.
    """
    text = os.fspath(text)
    if not text.strip():
        raise UserError(
            f"{field} is empty; expected a path, such as runs/demo, or . for the current folder",
            code=ErrorCode.MALFORMED,
            field=field,
        )
    if not text.startswith("~"):
        return Path(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        home = text.replace(os.sep, "/").split("/")[0]
        raise UserError(
            f"{field}={text}: the home folder {home} is not known; give the whole path (./{text} if the name "
            "begins so)",
            code=ErrorCode.MISSING,
            field=field,
        ) from error


def expand_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the home folder in place of `~` in `FOLDER_KEYS`; whatever else is there stays.

    Raises:
        UserError: there is no such home.
    """
    expanded = dict(values)
    for group, key in FOLDER_KEYS:
        part = expanded.get(group)
        if isinstance(part, Mapping) and str(part.get(key, "")).startswith("~"):
            expanded[group] = dict(part) | {key: str(expand_path(part[key], f"{group}.{key}"))}
    return expanded


def user_cache() -> Path:
    """The user's cache folder, whatever the platform; a temporary one where nobody knows the user's home.

    That is so in containers that run with a user id of their own.
    """
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        # Not the shared temporary folder itself: another user may have made `imjax` there.
        owner = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"cache-{owner}"
