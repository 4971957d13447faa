"""Hash of the package's own source, so that results of other code are not taken for those of this code."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@functools.cache
def source_digest() -> str:
    """SHA-256 over the paths and bytes of every module of `imjax`, computed once per process.

    A changed comment counts as well: telling which edits change numbers is not worth a wrong guess.
    """
    return digest_of(PACKAGE)


def digest_of(package: Path) -> str:
    """SHA-256 over the relative paths and the bytes of a folder's `*.py` files, at any depth."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = path.read_bytes()
        # Path and length in front: no content moves from one file to the next without another hash.
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
