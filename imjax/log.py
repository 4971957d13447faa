"""Log lines and progress bars for the person who runs a command; the libraries' own chatter stays out."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, TypeVar

from absl import logging as absl_logging

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
logger = logging.getLogger("imjax")


@functools.cache
def console() -> Console:
    """The one console of stderr: what it prints while a bar is shown goes above the bar."""
    # Imported here and below: `--help` and `import imjax` need no bars.
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def make_bars(transient: bool = True) -> Progress:
    """Bars with what is done, the time left and a field `status`; for terminals only.

    Args:
        transient: whether they disappear at the end.
    """
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[status]}"),
        console=console(),
        transient=transient,
    )


def track(items: Collection[T], what: str) -> Iterator[T]:
    """Pass items through, with a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    with make_bars() as bars:
        task = bars.add_task(what, total=len(items), status="")
        for item in items:
            yield item
            bars.advance(task)


def format_time(seconds: float) -> str:
    """A time for people, no more exact than an estimate is: `0.4 s`, `40 s`, `12 min`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


class _AboveBars(logging.Handler):
    """Writes lines to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        # As they are: no markup in brackets, and no line breaks at the terminal's width, which would cut
        # paths that are copied from it.
        console().print(self.format(record), markup=False, emoji=False, soft_wrap=True)


def show() -> None:
    """Show info lines and above on stderr, with the time."""
    if not logger.handlers:
        handler = _AboveBars()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        # orbax tells every step of every save.
        absl_logging.set_verbosity(absl_logging.WARNING)
