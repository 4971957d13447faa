"""Flags and contests that the benchmarks have in common."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from benchmarks import table, timing, worker
from imjax.errors import ErrorCode, UserError

FLAGS = flags.FLAGS


def define_flags(rounds: int = 9, seconds: float = 1.0) -> None:
    """Declare the flags of every contest."""
    flags.DEFINE_integer("rounds", rounds, "Turns of every contestant; medians and quartiles are over these.")
    flags.DEFINE_float("seconds", seconds, "Least length of a turn.")
    flags.DEFINE_bool("quick", False, "Three short turns on small images: shows that everything works.")
    flags.DEFINE_list("skip", [], "Contestants to leave out, by a part of their names, e.g. vmap,Keras.")


def check() -> None:
    """UserError if a flag has a value that makes no sense."""
    if FLAGS.rounds < 1:
        raise UserError(
            f"--rounds={FLAGS.rounds}: expected at least 1", code=ErrorCode.OUT_OF_RANGE, field="--rounds"
        )
    if FLAGS.seconds <= 0:
        raise UserError(
            f"--seconds={FLAGS.seconds:g}: expected more than 0",
            code=ErrorCode.OUT_OF_RANGE,
            field="--seconds",
        )


def hold(case: str, entrants: Sequence[timing.Entrant]) -> list[table.Row]:
    """One contest by the flags; its rows."""
    chosen = [e for e in entrants if not any(part.lower() in e.name.lower() for part in FLAGS.skip)]
    for entrant in chosen:
        if isinstance(entrant, worker.Worker) and entrant.seconds:
            entrant.seconds = 0.2 if FLAGS.quick else FLAGS.seconds
    table.say(case)
    rounds = min(FLAGS.rounds, 3) if FLAGS.quick else FLAGS.rounds
    return table.rows(case, timing.contest(chosen, rounds, table.say))


def sizes(full: Sequence, quick: Sequence) -> Sequence:
    """Cases by the flags."""
    return quick if FLAGS.quick else full
