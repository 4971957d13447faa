"""Contests: who comes when, and what is reported, by numbers worked out by hand."""

import json

import pytest

from benchmarks import table, timing
from benchmarks.timing import Absent, Failed, Result, Turn


class Scripted:
    """A contestant whose turns take the seconds that it is given."""

    def __init__(self, name, seconds, ours=False, error=None, log=None):
        self.name, self.ours, self._seconds, self._error = name, ours, list(seconds), error
        self._log = log if log is not None else []

    def start(self):
        if isinstance(self._error, Absent):
            raise self._error
        return {"parameters": 5}

    def turn(self):
        self._log.append(self.name)
        if self._error:
            raise self._error
        return Turn(self._seconds.pop(0), 12)

    def stop(self):
        self._log.append(f"stop {self.name}")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(timing, "SETTLE", 0)


def test_spread_by_hand():
    # Sorted 1 2 4 8: the quartiles lie 3/4 of the way from 1 to 2 and a quarter of that from 4 to 8.
    assert timing.spread([8, 1, 4, 2]) == (3.0, 1.75, 5.0)
    assert timing.spread([7.0]) == (7.0, 7.0, 7.0)


def test_the_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians():
    ours, peer = Result("a", True, rates=[10, 2, 9]), Result("b", False, rates=[5, 4, 3])
    # Rounds: 2, 0.5, 3. Medians are 9 and 4, whose ratio is 2.25.
    assert timing.ratios(ours, peer) == (2.0, 1.25, 2.5)


def test_a_peer_that_stopped_early_counts_in_the_rounds_it_has():
    assert timing.ratios(Result("a", True, rates=[6, 8]), Result("b", False, rates=[3])).median == 2.0


def test_every_round_begins_with_another():
    assert list(timing.orders(3, 4)) == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_contest_in_turns_and_everyone_is_stopped():
    log = []
    entrants = [Scripted("a", [1, 2], True, log=log), Scripted("b", [3, 4], log=log)]
    ours, peer = timing.contest(entrants, rounds=2)
    assert log == ["a", "b", "b", "a", "stop a", "stop b"]
    assert ours.rates == [12, 6] and peer.rates == [4, 3] and ours.facts == {"parameters": 5}


def test_who_is_absent_or_fails_is_noted_and_the_rest_goes_on():
    entrants = [
        Scripted("ours", [1, 1], True),
        Scripted("missing", [], error=Absent("not installed")),
        Scripted("broken", [], error=Failed("out of memory")),
    ]
    results = timing.contest(entrants, rounds=2)
    assert [r.note for r in results] == ["", "not installed", "out of memory"]
    assert [len(r.rates) for r in results] == [2, 0, 0] and timing.fastest(results) is None


def test_rows_and_lines():
    results = [
        Result("imjax", True, {"devices": 2}, [10.0, 30.0, 20.0]),
        Result("slow", False, {}, [1.0, 1.0, 1.0]),
        Result("fast", False, {}, [10.0, 10.0, 10.0]),
        Result("missing", False, note="not installed"),
    ]
    rows = table.rows("case", results)
    assert rows[0]["fastest_peer"] == "fast" and rows[0]["ratio"]["slow"]["median"] == 20
    assert "rate" not in rows[3] and json.loads(json.dumps(rows)) == rows
    head, ours, slow, _, missing = table.lines(rows, ("devices",))
    assert head.split() == [
        "case",
        "contestant",
        "images/s",
        "quartiles",
        "ours/peer",
        "quartiles",
        "devices",
        "note",
    ]
    assert ours.split() == ["case", "imjax", "20", "15..25", "2", "1.5..2.5", "2"]
    assert slow.split() == ["case", "slow", "1", "1..1", "20", "15..25"]
    assert missing.split(maxsplit=2) == ["case", "missing", "not installed"]
    # As seconds, the lower quartile is of the higher rate: 1/25 and 1/15.
    assert table.lines(rows, seconds=True)[1].split()[2:4] == ["0.05", "0.04..0.0667"]
