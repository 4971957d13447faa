"""Contests: everyone warmed up, then round after round each runs once in turn, so that noise hits all alike.

A machine's speed drifts with its neighbors and its heat. What is compared is therefore never two figures of
different times, but the ratio within each round, and of these ratios the median.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

SETTLE = 0.05
"""Seconds between two turns: thread pools go on spinning for a moment after their last work."""


class Absent(Exception):
    """A contestant cannot take part, for a reason that its message gives: what it needs is not installed."""


class Failed(Exception):
    """A contestant broke down."""


class Turn(NamedTuple):
    """One contestant's part of a round."""

    seconds: float
    images: float
    """Images (training: images times members) that were done in this time; whole runs: 1."""


class Entrant(Protocol):
    """Someone who takes part."""

    name: str
    ours: bool

    def start(self) -> dict[str, Any]:
        """Warm up; facts for the table. Raises Absent or Failed."""

    def turn(self) -> Turn:
        """Run once. Raises Failed."""

    def stop(self) -> None:
        """The contest is over."""


@dataclasses.dataclass
class Result:
    """What one contestant showed."""

    name: str
    ours: bool
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    rates: list[float] = dataclasses.field(default_factory=list)
    """Images per second of each round."""
    note: str = ""
    """Why there is nothing to see; empty: there is."""


class Spread(NamedTuple):
    """Of some numbers: the middle, and the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, linear between neighbors."""
    low, median, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return Spread(median, low, high)


def ratios(ours: Result, peer: Result) -> Spread:
    """Of the rounds' ratios ours/peer; rounds that one of them did not finish are left out."""
    return spread([a / b for a, b in zip(ours.rates, peer.rates, strict=False)])


def fastest(results: Sequence[Result]) -> Result | None:
    """The peer with the highest median; None without peers that ran."""
    peers = [result for result in results if not result.ours and result.rates]
    return max(peers, key=lambda peer: spread(peer.rates).median, default=None)


def orders(count: int, rounds: int) -> Iterator[list[int]]:
    """Who comes when in each round: each begins with the next, so that none profits from its place."""
    for turn in range(rounds):
        yield [(turn + i) % count for i in range(count)]


def contest(
    entrants: Sequence[Entrant], rounds: int, say: Callable[[str], None] = lambda line: None
) -> list[Result]:
    """Hold a contest.

    Args:
        entrants: who takes part; one that is absent or fails is noted, and the others go on.
        rounds: turns of each.
        say: told what goes on.

    Returns:
        One result per entrant, in their order.
    """
    results = [Result(entrant.name, entrant.ours) for entrant in entrants]
    try:
        for entrant, result in zip(entrants, results, strict=True):
            say(f"warming up: {entrant.name}")
            _attempt(result, lambda: result.facts.update(entrant.start()))  # noqa: B023
        for number, order in enumerate(orders(len(entrants), rounds)):
            say(f"round {number + 1} of {rounds}")
            for i in order:
                if not results[i].note:
                    _attempt(results[i], lambda: _turn(entrants[i], results[i]))  # noqa: B023
    finally:
        for entrant in entrants:
            entrant.stop()
    return results


def _turn(entrant: Entrant, result: Result) -> None:
    time.sleep(SETTLE)
    seconds, images = entrant.turn()
    result.rates.append(images / seconds)


def _attempt(result: Result, action: Callable[[], None]) -> None:
    try:
        action()
    except (Absent, Failed) as error:
        result.note = str(error)
