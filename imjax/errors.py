"""Errors whose message tells the user what to do."""

from __future__ import annotations

import enum
import functools
import os
from typing import Any


class ErrorCode(enum.StrEnum):
    """What is wrong, in a word that stays when messages are reworded: for callers and tests."""

    MISSING = "missing"
    """A key, flag, file, folder or one half of a pair is not there."""
    UNKNOWN = "unknown"
    """A name that does not exist: of a key, dataset, method, preset, stage or sweep."""
    WRONG_TYPE = "wrong_type"
    """Another type than expected; of an array also another shape."""
    OUT_OF_RANGE = "out_of_range"
    """Of the right type, but none of the values that are allowed; a word of a choice or a class too."""
    MALFORMED = "malformed"
    """Text that is not of the form that it must have."""
    CONFLICT = "conflict"
    """Fine alone, but not beside something else that is given or there."""
    TOO_FEW = "too_few"
    """Less data than the task needs."""
    UNSUPPORTED = "unsupported"
    """Makes sense, but imjax or the chosen method does not do it."""
    UNREADABLE = "unreadable"
    """A file that cannot be opened or decoded."""
    UNWRITABLE = "unwritable"
    """A file or folder that cannot be written."""
    DAMAGED = "damaged"
    """A file that is cut off, or not as imjax wrote it."""
    CHANGED = "changed"
    """Data that changed while they were used."""
    IN_USE = "in_use"
    """Another run works in the folder."""
    UNAVAILABLE = "unavailable"
    """A program, machine or device that cannot be reached."""


class UserError(Exception):
    """Wrong input: the commands print its message without a traceback and exit with code 2.

    The message names the file or key, the value, what was expected and what to do.
    """

    def __init__(self, message: str, *, code: ErrorCode, field: str | os.PathLike[str] = "") -> None:
        """
        Args:
            message: for people; may be reworded from version to version.
            code: what is wrong.
            field: what it is about: a configuration key (`data.height`), a flag (`--workdir`), an argument
                of a function (`scale`) or a file, as given; empty where nothing can be named.
        """
        super().__init__(message)
        self.code = code
        self.field = os.fspath(field)

    def __reduce__(self) -> Any:
        # Exceptions are pickled by their positional arguments alone, and would not come back from a worker.
        return functools.partial(type(self), code=self.code, field=self.field), self.args


def file_error(path: str | os.PathLike[str], problem: str, code: ErrorCode) -> UserError:
    """`UserError` about a file or folder, which its message names first.

    Args:
        path: of the file, as given.
        problem: what is wrong, what was expected and what to do.
        code: what is wrong.
    """
    return UserError(f"{os.fspath(path)}: {problem}", code=code, field=path)


def unreadable_error(path: str | os.PathLike[str], error: OSError) -> UserError:
    """`UserError` about a file that the system does not let us read."""
    problem = f"cannot be read: {error.strerror}; change its permissions or remove it"
    return file_error(path, problem, ErrorCode.UNREADABLE)


class TrainingError(Exception):
    """A run that cannot go on (NaN loss, say): printed without a traceback, exit code 1."""


class Stopped(Exception):
    """A stop was asked for (SIGTERM) and everything is saved: exit code 0, the same command goes on."""


class PartialFailure(Exception):
    """Some inputs could not be used and all others are done: printed without a traceback, exit code 1."""
