"""One run per folder: `D/lock.json` names the process that writes there, and a second run is refused.

The operating system's own locks vanish with their process, but many network drives do not support them, and
they differ between systems. So the lock is a file. Whether the lock of a killed run is dead is decided by its
process on the same machine, and elsewhere by its heartbeat: the owner touches the file every few seconds.
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

from imjax.errors import ErrorCode, UserError
from imjax.log import logger
from imjax.processes import is_running, pid_namespace, start_time
from imjax.training import distributed

HEARTBEAT_SECONDS = 10
"""Between two updates of the file's time."""
WATCH_SECONDS = 60
"""Without a heartbeat for this long the owner is dead; network drives may show one late."""


@dataclasses.dataclass(frozen=True)
class Owner:
    """The process that holds a lock; unknown fields are empty."""

    host: str = ""
    pid: int = 0
    pid_namespace: str = ""
    """Boot and container in which the process number is unique."""
    started: str = ""
    """When the process started, as process numbers are reused."""
    token: str = ""
    """Unique to this lock."""
    since: str = ""
    """Local time at which it took the lock."""


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; of several processes of one run, the first holds it for all.

    Args:
        workdir: made if missing.

    Raises:
        UserError: in all processes, if a live run holds it or the folder cannot be written.
    """
    token, problem = "", None
    if distributed.is_first():
        try:
            token = _acquire(workdir)
        except UserError as error:
            problem = str(error), error.code, error.field
    # All processes must fail together: the others would wait for the first one forever.
    if problem := distributed.broadcast_from_first(problem):
        message, code, field = problem
        raise UserError(message, code=ErrorCode(code), field=field)
    if not token:
        yield
        return
    path, stop = workdir / "lock.json", threading.Event()
    heartbeat = threading.Thread(target=_send_heartbeats, args=(path, stop), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        stop.set()
        heartbeat.join()
        if _read_owner(path).token == token:
            path.unlink(missing_ok=True)


def _acquire(workdir: Path) -> str:
    """Take the lock and return its token."""
    path = workdir / "lock.json"
    owner = Owner(
        platform.node(), os.getpid(), pid_namespace(), start_time(os.getpid()), uuid.uuid4().hex,
        time.strftime("%Y-%m-%d %H:%M:%S"),
    )  # fmt: skip
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with path.open("x", encoding="utf-8") as file:
                    json.dump(dataclasses.asdict(owner), file)
                return owner.token
            except FileExistsError:
                _remove_dead_lock(path, workdir)
    except OSError as error:
        raise UserError(
            f"--workdir={workdir}: cannot be written ({error.strerror}); expected a folder with room and the "
            "right to write; name another one or repair this one",
            code=ErrorCode.UNWRITABLE,
            field="--workdir",
        ) from error


def _remove_dead_lock(path: Path, workdir: Path) -> None:
    """Remove a dead owner's lock; UserError if the owner is alive."""
    owner = _read_owner(path)
    if _is_owner_alive(path, owner):
        raise UserError(
            f"--workdir={workdir}: {_describe(path, owner)}, is still running there (the sweep that "
            "started it may be gone); wait for it, stop it with SIGTERM, at which it saves itself, or name "
            f"another folder (no such process? delete {path})",
            code=ErrorCode.IN_USE,
            field="--workdir",
        )
    # Rename first and read again: of two runs that found it dead, one may hold a new lock by now.
    aside = path.with_name(f"lock.{uuid.uuid4().hex}.json")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read_owner(aside) != owner:
        aside.replace(path)
        return
    aside.unlink()
    logger.info("%s: removed, as process %s on %s that left it is gone", path, owner.pid, owner.host)


class Watch:
    """The lock of another command's run, seen from outside without waiting.

    Args:
        workdir: of the run, which need not be there.
    """

    def __init__(self, workdir: Path):
        self._path = workdir / "lock.json"
        self._heartbeat: int | None = None
        self._noticed = 0.0

    def is_held(self) -> bool:
        """Whether a process holds the lock; of one elsewhere, whether it may, until its heartbeat fails."""
        owner, heartbeat = _read_owner(self._path), _last_heartbeat(self._path)
        if heartbeat is None:
            return False
        if _is_here(owner):
            return _runs_here(owner)
        if heartbeat != self._heartbeat:
            self._heartbeat, self._noticed = heartbeat, time.monotonic()
        return time.monotonic() - self._noticed < WATCH_SECONDS

    def describe(self) -> str:
        """The process that holds it."""
        return _describe(self._path, _read_owner(self._path))


def _describe(path: Path, owner: Owner) -> str:
    """`process 12 on node3, since 2026-01-31 12:00:00, last sign of life 4 s ago`."""
    since = f", since {owner.since}" if owner.since else ""
    heartbeat = _last_heartbeat(path)
    age = (
        "" if heartbeat is None else f", last sign of life {max(0, time.time() - heartbeat / 1e9):.0f} s ago"
    )
    return f"process {owner.pid or 'unknown'} on {owner.host or 'some machine'}{since}{age}"


def _is_here(owner: Owner) -> bool:
    return owner.host == platform.node() and owner.pid_namespace == pid_namespace()


def _runs_here(owner: Owner) -> bool:
    return is_running(owner.pid) and owner.started == start_time(owner.pid)


def _is_owner_alive(path: Path, owner: Owner) -> bool:
    if _is_here(owner):
        return _runs_here(owner)
    logger.info(
        "%s: held by process %s on %s; waiting up to %d s for its heartbeat",
        path, owner.pid, owner.host, WATCH_SECONDS,
    )  # fmt: skip
    first, end = _last_heartbeat(path), time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        time.sleep(HEARTBEAT_SECONDS / 10)
        if _last_heartbeat(path) != first:
            # The file is gone if the owner has just ended.
            return path.exists()
    return False


def _last_heartbeat(path: Path) -> int | None:
    try:
        # Opening the file makes network drives refresh its attributes.
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _send_heartbeats(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        # A drive that is away for a moment must not end the run; a longer outage makes its writes fail.
        with contextlib.suppress(OSError):
            os.utime(path)


def _read_owner(path: Path) -> Owner:
    """Owner recorded in a lock; an empty one if the file is damaged or missing."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        owner = Owner(**values)
        return owner if isinstance(owner.pid, int) else Owner()
    except (OSError, ValueError, TypeError):
        return Owner()
