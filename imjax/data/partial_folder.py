"""Folders in which sets are packed: renamed when whole, and removed once their writer has died."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from imjax.log import logger
from imjax.processes import is_running, pid_namespace, start_time

PREFIX, WRITER = ".partial-", "writer.json"
UNKNOWN_SECONDS = 24 * 3600
"""Age from which a folder is abandoned whose writer is not named, or on another machine."""


@contextlib.contextmanager
def make(cache: Path, name: str) -> Iterator[Path]:
    """A new folder in `cache` for one packed set, which is gone at the end unless it was renamed.

    Raises:
        OSError: it cannot be written.
    """
    partial = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=cache))
    try:
        (partial / WRITER).write_text(json.dumps(_this_process()))
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(cache: Path) -> None:
    """Remove the folders that killed runs left in `cache`; those of live ones stay."""
    for partial in cache.glob(f"{PREFIX}*"):
        if _is_abandoned(partial):
            logger.info("%s: left by a run that was killed while it packed; removed", partial)
            shutil.rmtree(partial, ignore_errors=True)


def _this_process() -> dict[str, str | int]:
    pid = os.getpid()
    # Process numbers are reused, and those of a container are its own.
    return {"host": platform.node(), "pid": pid, "namespace": pid_namespace(), "started": start_time(pid)}


def _is_abandoned(partial: Path) -> bool:
    try:
        writer = json.loads((partial / WRITER).read_text())
        pid = int(writer["pid"])
        if writer["host"] == platform.node() and writer["namespace"] == pid_namespace():
            return not is_running(pid) or start_time(pid) != writer["started"]
    except (OSError, ValueError, KeyError, TypeError):
        # Made just now, or damaged.
        pass
    try:
        newest = max(path.stat().st_mtime for path in (partial, *partial.rglob("*")))
    except OSError:
        return False
    return time.time() - newest > UNKNOWN_SECONDS
