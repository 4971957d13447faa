"""JSON files that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from imjax.errors import ErrorCode, file_error, unreadable_error


def write_json(path: Path, value: Any) -> None:
    """Write a json file that is whole or not there."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Read a json file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_foreign_json(path: Path, advice: str) -> Any:
    """Read a json file of another program, with a byte order mark or not.

    Args:
        path: of the file.
        advice: what a person can do where it is none.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise unreadable_error(path, error) from error
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"no readable JSON ({error}); {advice}", ErrorCode.UNREADABLE) from error
