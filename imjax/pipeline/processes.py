"""Whether a process still runs, on whatever system."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

STILL_ACTIVE = 259
"""Exit code, to Windows, of a process that has not ended."""
QUERY_LIMITED = 0x1000
"""The right to ask Windows for it."""


def alive(pid: int) -> bool:
    """Whether there is a process of that number, on this machine."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's.
        return True
    return True


def _alive_on_windows(pid: int) -> bool:
    # os.kill would end the process there, whatever the signal.
    kernel, code = ctypes.windll.kernel32, ctypes.c_ulong()
    handle = kernel.OpenProcess(QUERY_LIMITED, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == STILL_ACTIVE
    finally:
        kernel.CloseHandle(handle)


def born(pid: int) -> str:
    """When a process started, in whatever unit; empty where the system does not tell, or it is gone."""
    try:
        # The name, in brackets, may have anything in it; the 20th field after it is the time.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def namespace() -> str:
    """What process numbers count in: this start of the machine and, in a container, that; empty elsewhere."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
