"""What all charts share: style, colors, and the way from a matplotlib figure to an address in the page."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from typing import Any

from matplotlib.figure import Figure as Canvas

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
"""Of Okabe & Ito's colors, which differ for color-blind eyes too."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "imjax",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@dataclasses.dataclass(frozen=True)
class Chart:
    """An image with its text."""

    src: str
    alt: str
    title: str


def svg(canvas: Canvas) -> str:
    """The figure as a data URI, the same bytes for the same figure."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    # Coordinates to a tenth of a point, and no line breaks: half the file. Text between tags stays as it is.
    text = re.sub(r"<[^<>]*>", lambda tag: _shorter(tag[0]), buffer.getvalue())
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _shorter(tag: str) -> str:
    tag = re.sub(r"\d+\.\d\d+", lambda number: f"{float(number[0]):.1f}", tag)
    return re.sub(r"\s+", " ", tag)
