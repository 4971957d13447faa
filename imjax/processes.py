"""Whether a process still runs, on Linux, macOS and Windows, and one that ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PARENT = "IMJAX_PARENT"
"""Environment variable: number of the process with which this one is to end."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent is gone."""

STILL_ACTIVE = 259
"""Exit code, to Windows, of a process that has not ended."""
QUERY_LIMITED = 0x1000
"""The right to ask Windows for it."""


def is_running(pid: int) -> bool:
    """Whether a process with that number runs on this machine."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It runs, as another user.
        return True
    return True


if sys.platform == "win32":
    # ctypes has windll there only.

    def _is_running_on_windows(pid: int) -> bool:
        # os.kill would end the process there, whatever the signal.
        kernel, code = ctypes.windll.kernel32, ctypes.c_ulong()
        handle = kernel.OpenProcess(QUERY_LIMITED, False, pid)
        if not handle:
            return False
        try:
            return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == STILL_ACTIVE
        finally:
            kernel.CloseHandle(handle)


def start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty without /proc, or if the process is gone."""
    try:
        # The name, in parentheses, may contain spaces; the 20th field after it is the start time.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def pid_namespace() -> str:
    """Boot and PID namespace (container) in which process numbers are unique; empty without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def follow_parent() -> None:
    """Get SIGTERM when the process that `PARENT` names is gone, by SIGKILL too; Linux alone can do that.

    Called by the child: code between fork and exec could not be run in a sweep that has started JAX.
    """
    parent = os.environ.get(PARENT, "")
    # Other children of a run inherit the variable and have another parent.
    if sys.platform != "linux" or not parent.isdecimal():
        return
    if os.getppid() == int(parent):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    elif not is_running(int(parent)):
        # It went before this process was ready.
        os.kill(os.getpid(), signal.SIGTERM)
