"""A disk that is full, away or not to be written: one line that says so, whatever library ran into it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from imjax.errors import ErrorCode, PartialFailure, Stopped, TrainingError, UserError

NUMBERS = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EIO", "ESTALE")
"""Errors of disks and rights by name; Windows lacks some."""
TEXTS = ("No space left on device", "Disk quota exceeded", "Read-only file system")
"""What libraries that raise errors of their own have in their texts."""


@contextlib.contextmanager
def translate_disk_errors(workdir: Path) -> Iterator[None]:
    """Turn errors of writing the run's folder into one line.

    Args:
        workdir: of the run, for the message.

    Raises:
        UserError: the disk is full, the folder read-only or the like.
    """
    try:
        yield
    except (UserError, TrainingError, Stopped, PartialFailure):
        raise
    except Exception as error:
        if reason := _reason(error):
            raise UserError(
                f"--workdir={workdir}: {reason}; finished stages and the last checkpoint are kept: "
                "make room or change the permissions, and give the same command again to go on",
                code=ErrorCode.UNWRITABLE,
                field="--workdir",
            ) from error
        raise


def _reason(error: BaseException | None) -> str:
    """What is wrong with the disk, from an error or what it came of; empty if nothing is."""
    numbers = {getattr(errno, name) for name in NUMBERS if hasattr(errno, name)}
    while error is not None:
        if isinstance(error, OSError) and error.errno in numbers:
            where = f" ({os.fspath(error.filename)})" if error.filename else ""
            return f"{error.strerror}{where}"
        for text in TEXTS:
            if text in str(error):
                return text
        error = error.__cause__ or error.__context__
    return ""
