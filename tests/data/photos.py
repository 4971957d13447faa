"""Images as nets of so many channels take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imjax.data.image_meaning import ImageChoices, ImageReading


def read_as(path: Path, channels: int = 3, **choices: str) -> np.ndarray:
    """Pixels uint8 of a file for nets of published sets, gray (1) or RGB (3), or of other channels."""
    return ImageReading(channels, ImageChoices(**choices)).load(path).pixels
