"""What readers say of files that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from imjax.errors import UserError


def complaint(reader, raw: Path) -> str:
    """The one line that scanning and loading everything in a folder ends with."""
    with pytest.raises(UserError) as info:
        for samples in reader.scan(raw).values():
            for sample in samples:
                reader.load(sample)
    return str(info.value)
