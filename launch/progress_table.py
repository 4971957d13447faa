"""What a person sees of a sweep: on a terminal a table drawn in place, elsewhere a line per change."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from launch import run_status
from launch.grid import SweepRun

LIVE = ("running", "saving")
"""States in which a run's time goes on."""


@dataclasses.dataclass
class _Row:
    point: SweepRun
    number: int
    state: str = "waiting"
    note: str = ""
    start: float | None = None
    seconds: float | None = None
    """Of a run that ended."""

    def elapsed(self) -> float | None:
        if self.seconds is None and self.start is not None:
            return time.monotonic() - self.start
        return self.seconds


class StatusTable:
    """The runs of a sweep and how they stand.

    Args:
        points: the runs, in the order in which they are listed.
        stream: where to.
    """

    def __init__(self, points: Sequence[SweepRun], stream: TextIO | None = None):
        self._rows = {point.name: _Row(point, number) for number, point in enumerate(points, 1)}
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._drawn = 0

    def set_state(self, point: SweepRun, state: str, note: str = "") -> None:
        """A run's state changes.

        Args:
            point: the run.
            state: one word: waiting, running, elsewhere (by another command), saving, finished, FAILED or
                stopped.
            note: what a line that tells of the change adds.
        """
        row = self._rows[point.name]
        if state == "running":
            row.start, row.seconds = time.monotonic(), None
        elif state not in LIVE:
            row.seconds = row.elapsed()
        row.state, row.note = state, note
        if not self._live:
            took = "" if row.seconds is None else f" after {row.seconds:.0f} s"
            title = f"{row.number}/{len(self._rows)} {point.name}"
            print(f"{title}: {state}{note and ' ' + note}{took}", file=self._stream, flush=True)

    def draw(self) -> None:
        """Bring the table up to date; nothing where there is no terminal."""
        if not self._live:
            return
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in format_lines(list(self._rows.values()), size.lines - 2)]
        # Back to the table's first line, and away with what is below.
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._stream.write(back + "\n".join(lines) + "\n")
        self._stream.flush()
        self._drawn = len(lines)


def format_lines(rows: Sequence[_Row], height: int) -> list[str]:
    """Lines of the table, at most `height` (and 2): where they are too many, the last one counts the rest.

    Runs that are going are left out last, then failed ones, then waiting ones, then finished ones.
    """
    room = max(1, height - 1)
    shown = list(rows)
    if len(shown) > room:
        order = {"waiting": 2, "finished": 3} | dict.fromkeys(LIVE, 0)
        shown = sorted(shown, key=lambda row: order.get(row.state, 1))[: room - 1]
        shown.sort(key=lambda row: row.number)
    cells = [("run", "state", "time", "at")]
    for row in shown:
        seconds = row.elapsed()
        at = run_status.read_position(row.point) if row.state in LIVE else row.note
        cells.append((row.point.name, row.state, "" if seconds is None else _format_seconds(seconds), at))
    widths = [max(len(line[i]) for line in cells) for i in range(3)]
    lines = ["  ".join([*map(str.ljust, line, widths), line[3]]).rstrip() for line in cells]
    if hidden := Counter(row.state for row in rows if row not in shown):
        lines.append("and " + ", ".join(f"{count} {state}" for state, count in hidden.items()))
    return lines


def _format_seconds(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
