"""Log lines for the person who runs a command; the libraries' own chatter stays out of them."""

from __future__ import annotations

import logging
import sys

from absl import logging as absl_logging
from tqdm import tqdm

logger = logging.getLogger("imjax")


class _AboveBars(logging.Handler):
    """Writes lines to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


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
