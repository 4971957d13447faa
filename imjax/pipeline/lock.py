"""One run per folder: `D/lock.json` says who writes to it, and a second run is refused.

An operating system's own locks are gone with their process, but are of no use on many a network drive, and
another thing on each system. So the lock is a file. What a killed run left behind is told from a live one by
its process on the same machine, and by its pulse elsewhere: the owner touches the file every few seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from imjax.errors import UserError
from imjax.log import logger
from imjax.pipeline.processes import alive, born, namespace
from imjax.training import distributed

PULSE_SECONDS = 10
"""Between two touches of the file."""
WATCH_SECONDS = 60
"""So long without a touch, and the owner is dead: network drives may show a touch late."""


@dataclasses.dataclass(frozen=True)
class Owner:
    """Who holds a lock; what cannot be known is empty."""

    host: str = ""
    pid: int = 0
    namespace: str = ""
    """In which the number counts: of this start of the machine, and of a container."""
    born: str = ""
    """When the process started: a number is given again to others."""
    token: str = ""
    """Of this lock alone."""


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; of several processes of one run the first does, for all.

    Args:
        workdir: made if missing.

    Raises:
        UserError: in all processes: a live run holds it, or the folder cannot be written.
    """
    token, problem = "", ""
    if distributed.is_first():
        try:
            token = _take(workdir)
        except UserError as error:
            problem = str(error)
    # All must hear of it: the others would wait for the first one.
    if problem := distributed.first_says(problem):
        raise UserError(problem)
    if not token:
        yield
        return
    path, over = workdir / "lock.json", threading.Event()
    pulse = threading.Thread(target=_beat, args=(path, over), daemon=True)
    pulse.start()
    try:
        yield
    finally:
        over.set()
        pulse.join()
        if _owner(path).token == token:
            path.unlink(missing_ok=True)


def _take(workdir: Path) -> str:
    """Token of the lock, once this process has it."""
    path = workdir / "lock.json"
    own = Owner(platform.node(), os.getpid(), namespace(), born(os.getpid()), uuid.uuid4().hex)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with path.open("x", encoding="utf-8") as file:
                    json.dump(dataclasses.asdict(own), file)
                return own.token
            except FileExistsError:
                _clear(path, workdir)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot be written ({error.strerror}); expected a folder with room and the "
            "right to write, name another or mend this one"
        ) from error


def _clear(path: Path, workdir: Path) -> None:
    """Take a dead owner's lock away; UserError if the owner lives."""
    owner = _owner(path)
    if _lives(path, owner):
        raise UserError(
            f"--workdir={workdir}: process {owner.pid or 'unknown'} on {owner.host or 'some machine'} is "
            f"running there; wait for it, stop it, or name another folder (no such process? delete {path})"
        )
    # Renamed first, and looked at again: of two that found it dead, one may hold a new lock by now.
    aside = path.with_name(f"lock.{uuid.uuid4().hex}.json")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _owner(aside) != owner:
        aside.replace(path)
        return
    aside.unlink()
    logger.info("%s: left by process %s on %s, which is gone; taken over", path, owner.pid, owner.host)


def _lives(path: Path, owner: Owner) -> bool:
    if owner.host == platform.node() and owner.namespace == namespace():
        return alive(owner.pid) and owner.born == born(owner.pid)
    logger.info(
        "%s: of process %s on %s; watching for %d s whether it lives",
        path, owner.pid, owner.host, WATCH_SECONDS,
    )  # fmt: skip
    first, end = _touched(path), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        time.sleep(PULSE_SECONDS / 10)
        if _touched(path) != first:
            # Gone is not alive: the owner has just ended.
            return path.exists()
    return False


def _touched(path: Path) -> int | None:
    try:
        # Opened, since network drives look up anew what is opened only.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(PULSE_SECONDS):
        # A drive that is away for a moment must not end the run; its own writing will tell.
        with contextlib.suppress(OSError):
            os.utime(path)


def _owner(path: Path) -> Owner:
    """Who a lock says it is of; nobody known where it is damaged or not there."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        owner = Owner(**values)
        return owner if isinstance(owner.pid, int) else Owner()
    except (OSError, ValueError, TypeError):
        return Owner()
