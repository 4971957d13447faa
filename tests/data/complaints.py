"""What readers say of files that are wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from user_errors import assert_error

from imjax.errors import ErrorCode, UserError


def complaint(reader, raw: Path) -> UserError:
    """The error that scanning and loading everything in a folder ends with."""
    with pytest.raises(UserError) as info:
        for samples in reader.scan(raw).values():
            for sample in samples:
                reader.load(sample)
    return info.value


def assert_complaint(reader, raw: Path, code: ErrorCode, field: str | os.PathLike[str]) -> None:
    """Scanning and loading everything ends with this error: one line, or how to get the data."""
    error = complaint(reader, raw)
    assert_error(error, code, field)
    assert "\n" not in str(error) or "Get the data from" in str(error)
