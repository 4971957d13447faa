"""Mistakes of the user, asserted by code and field: prose is read by one test a family."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from imjax.errors import ErrorCode, UserError


@contextlib.contextmanager
def raises_user_error(
    code: ErrorCode, field: str | os.PathLike[str]
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """As `pytest.raises`, for a `UserError` of this code about this field.

    Args:
        code: of the error.
        field: of the error; of a path its last parts will do.
    """
    with pytest.raises(UserError) as info:
        yield info
    assert_error(info.value, code, field)


def assert_error(error: UserError, code: ErrorCode, field: str | os.PathLike[str]) -> None:
    """See `raises_user_error`."""
    wanted = os.fspath(field)
    matches = error.field == wanted or bool(wanted) and error.field.endswith(f"/{wanted}")
    assert error.code is code and matches, f"{error.code!r} about {error.field!r}: {error}"
