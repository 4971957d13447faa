"""Memory of files that are read as arrays."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def release_pages(array: np.ndarray) -> None:
    """Let go of what this process has mapped of a file, which would grow to the size of the set.

    The pages remain in the system's cache: another reading of them costs no access to the disk. Does nothing
    to arrays that are no read-only map of a file.
    """
    file: Any = array.base
    while isinstance(file, np.ndarray):
        file = file.base
    # Of a writable map it might throw changes away.
    if isinstance(file, mmap.mmap) and not array.flags.writeable and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)
