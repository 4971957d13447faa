"""Whether files are still those that were read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from imjax.errors import ErrorCode, file_error, unreadable_error

Stamps = Mapping[Path, tuple[int, int]]
"""Size in bytes and time of the last change in ns, by file."""


def take_fingerprints(paths: Iterable[Path]) -> Stamps:
    """Stamps of files; OSError where one is missing."""
    return {path: ((stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths}


def hash_file(path: Path) -> str:
    """SHA-256 of a file, about 1 GB/s; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_contents(path: Path) -> str:
    """`hash_file` of a file of the user's; UserError where it cannot be read."""
    try:
        return hash_file(path)
    except OSError as error:
        raise unreadable_error(path, error) from error


def check_unchanged(stamps: Stamps) -> None:
    """Make sure that files are as they were.

    Args:
        stamps: of then; none is fine.

    Raises:
        UserError: one has changed, or is gone.
    """
    for path, before in stamps.items():
        try:
            same = take_fingerprints([path])[path] == before
        except OSError:
            same = False
        if not same:
            raise file_error(
                path,
                f"changed while the run used it; find out what writes there, delete the folder "
                f"{path.parents[1]}, and give the same command again: finished stages are kept",
                ErrorCode.CHANGED,
            )
