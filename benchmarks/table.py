"""Tables of aligned text, and the same as one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import machine, timing
from benchmarks.timing import Result

Row = dict[str, Any]


def format_mean(values: Sequence[float]) -> str:
    """Mean and, of several values, standard deviation."""
    mean = f"{statistics.fmean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def format_row(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def rows(case: str, results: Sequence[Result]) -> list[Row]:
    """What a contest showed, one row per contestant, for JSON.

    `rate`: images per second, median and quartiles over rounds. Ours have `ratio`: per peer, the median and
    the quartiles of the rounds' ratios ours/peer, and `fastest_peer`, its name.
    """
    best = timing.fastest(results)
    peers = [peer for peer in results if not peer.ours and peer.rates]
    out = []
    for result in results:
        row: Row = {"case": case, "name": result.name, "ours": result.ours, "note": result.note}
        row |= {"facts": result.facts, "rounds": len(result.rates)}
        if result.rates:
            row["rate"] = timing.spread(result.rates)._asdict()
        if result.ours and result.rates and best:
            row["fastest_peer"] = best.name
            row["ratio"] = {peer.name: timing.ratios(result, peer)._asdict() for peer in peers}
        out.append(row)
    return out


def lines(found: Sequence[Row], more: Sequence[str] = (), seconds: bool = False) -> list[str]:
    """The rows as aligned text.

    Args:
        found: of `rows`. Ours have the ratio to the fastest peer, peers that of the fastest of ours to them.
        more: names of facts that get a column.
        seconds: show seconds per image (per run) instead of images per second.
    """
    unit = "seconds" if seconds else "images/s"
    cells = [("case", "contestant", unit, "quartiles", "ours/peer", "quartiles", *more, "note")]
    for row in found:
        facts = [_fact(row["facts"].get(name, "")) for name in more]
        rate = _shown(row.get("rate"), seconds)
        cells.append((row["case"], row["name"], *rate, *_shown(_ratio(row, found)), *facts, row["note"]))
    return aligned(cells)


def _ratio(row: Row, found: Sequence[Row]) -> dict[str, float] | None:
    if row["ours"]:
        return row.get("ratio", {}).get(row.get("fastest_peer"))
    rivals = [r for r in found if r["case"] == row["case"] and "ratio" in r]
    best = max(rivals, key=lambda rival: rival["rate"]["median"], default={})
    return best.get("ratio", {}).get(row["name"])


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in columns; the first row is the head."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def say(line: str) -> None:
    """Tell the person what goes on, beside the table."""
    print(f"  {line}", file=sys.stderr, flush=True)


def publish(benchmark: str, found: Sequence[Row], text: Sequence[str], **more: Any) -> None:
    """Print the table, and as the last line everything in it as JSON, with the machine it was measured on."""
    print("\n".join(text))
    facts = {"benchmark": benchmark, "machine": machine.facts(), **more, "rows": list(found)}
    print(json.dumps(facts), flush=True)


def number(value: float) -> str:
    """Three digits that tell something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shown(values: dict[str, float] | None, inverse: bool = False) -> tuple[str, str]:
    if values is None:
        return "", ""
    median, low, high = (values[name] for name in ("median", "low", "high"))
    if inverse:
        median, low, high = 1 / median, 1 / high, 1 / low
    return number(median), f"{number(low)}..{number(high)}"


def _fact(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
