"""Inconsistency masks and pseudo-labels of a method: tables, and warnings when they went wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import names, scores
from imjax.report.load import Run
from imjax.report.scores import Spread
from imjax.report.tables import NONE, Table, figure

SPLITS = ("unlabeled", "val", "test")


@dataclasses.dataclass(frozen=True)
class Masks:
    """Inconsistency masks of one set of nets: of the start or of a generation, means over seeds."""

    title: str
    pixels: dict[str, Spread | None]
    """Mean size by split."""
    shares: dict[str, Spread | None]
    """The same as a share of the image."""


def masks(runs: Sequence[Run]) -> tuple[Masks, ...]:
    """Inconsistency masks of the runs of one dataset and method, by the nets that made them."""
    done = sorted({generation for run in runs for generation in run.generations})
    nets = [None, *done] if any(run.labelings for run in runs) else done
    found = [_masks(runs, generation) for generation in nets]
    return tuple(found) if any(any(masks.pixels.values()) for masks in found) else ()


def _masks(runs: Sequence[Run], nets: int | None) -> Masks:
    """Masks of the nets of a generation; None for those of the start."""
    label = f"label_g{0 if nets is None else nets + 1}"

    def mean(split: str, share: bool) -> Spread | None:
        values = []
        for run in runs:
            trained = names.base(run.start) if nets is None else f"g{nets}"
            stage = label if split == "unlabeled" else f"train_{trained}"
            value = run.last(stage, split, "inconsistent_pixels")
            # A multilabel size adds up the channels' masks.
            values.append(value / _area(run) if share and value is not None else value)
        return scores.spread(values)

    return Masks(
        title=_start(runs) if nets is None else f"generation {nets}",
        pixels={split: mean(split, False) for split in SPLITS},
        shares={split: mean(split, True) for split in SPLITS},
    )


def inconsistent_share(run: Run, generation: int) -> float | None:
    """Mean share of the image that the masks of a generation's labeling take, 0..1."""
    if (share := run.labeling(generation, "inconsistent_share")) is not None:
        return share
    pixels = run.labeling(generation, "inconsistent_pixels")
    return None if pixels is None else pixels / _area(run)


def _start(runs: Sequence[Run]) -> str:
    return " / ".join(dict.fromkeys(names.method(run.start) for run in runs if run.start)) or "start"


def _area(run: Run) -> int:
    """Mask pixels per image, of all channels for multilabel."""
    data = run.config["data"]
    return data["height"] * data["width"] * (run.spec.outputs if run.spec.kind == "multilabel" else 1)


def mask_table(found: Sequence[Masks]) -> Table:
    """`masks` as a table."""
    rows = [(m.title, *(_size(m.pixels[split], m.shares[split]) for split in SPLITS)) for m in found]
    caption = (
        "Inconsistency masks (IM) by the nets that made them: mean size in pixels and as share of the image."
    )
    return Table(("nets", *(f"IM, {split}" for split in SPLITS)), tuple(rows), caption)


def _size(pixels: Spread | None, share: Spread | None) -> str:
    return NONE if pixels is None else f"{pixels.mean:,.0f} ({_percent(dataclasses.replace(share, sd=None))})"


def _percent(value: Spread | None) -> str:
    if value is None:
        return NONE
    sd = "" if value.sd is None else f" ± {100 * value.sd:.1f}"
    return f"{100 * value.mean:.1f}{sd} %"


def _mean(digits: int) -> Callable[[Spread | None], str]:
    return lambda value: figure(None if value is None else value.mean, digits)


def label_table(spec: DatasetSpec, runs: Sequence[Run]) -> Table | None:
    """What the pseudo-labels of one method are like, one line per generation; None where there are none.

    Args:
        spec: of the dataset.
        runs: of one dataset and method.
    """
    pseudo = f"pseudo_{spec.primary_metric}"
    columns: dict[str, tuple[str, Callable[[Spread | None], str]]] = {
        "kept_share": ("pairs kept", _percent),
        "inconsistent_share": ("IM, share of the image", _percent),
        "pseudo_foreground": ("foreground, pseudo-labels", _percent),
        "labeled_foreground": ("foreground, labeled set", _percent),
        "copies": ("copies per pair", _mean(2)),
        "score": ("EvalNet score", _mean(3)),
        pseudo: (f"pseudo-label {names.metric(spec.primary_metric)}", _mean(3)),
    }
    lines = {
        generation: {name: _spread(runs, generation, name) for name in columns}
        for generation in sorted({generation for run in runs for generation in run.labelings})
    }
    known = [name for name in columns if any(line[name] for line in lines.values())]
    if not known:
        return None
    rows = [
        (_labeling(runs, generation), *(columns[name][1](line[name]) for name in known))
        for generation, line in lines.items()
    ]
    head = ("for generation", *(columns[name][0] for name in known))
    return Table(head, tuple(rows), _caption(spec, known, len(runs)))


def _spread(runs: Sequence[Run], generation: int, name: str) -> Spread | None:
    return scores.spread(run.labeling(generation, name) for run in runs)


def _labeling(runs: Sequence[Run], generation: int) -> str:
    """Title of a line, with a sign where a warning stands above."""
    wrong = any(_nothing_kept(run, generation) or _collapsed(run, generation) for run in runs)
    nets = _start(runs) if generation == 0 else f"gen. {generation - 1}"
    return f"{generation}, by {nets}{' ⚠' if wrong else ''}"


def _caption(spec: DatasetSpec, known: Sequence[str], runs: int) -> str:
    caption = "Pseudo-labels by the generation that learns from them and the nets that made them"
    caption += f", mean over {runs} runs (± standard deviation)." if runs > 1 else "."
    if "pseudo_foreground" in known:
        caption += " Foreground: share of pixels that are not background; the two should be alike."
    if f"pseudo_{spec.primary_metric}" in known:
        caption += (
            f" Their {names.metric(spec.primary_metric)} counts only the pixels left after blocking; the "
            "truth is "
            "used for nothing else."
        )
    return caption


def _nothing_kept(run: Run, generation: int) -> bool:
    return run.labeling(generation, "kept_share") == 0


def _collapsed(run: Run, generation: int) -> bool:
    # With nothing kept there is no class at all, which has a warning of its own.
    return run.labeling(generation, "collapsed") == 1 and not _nothing_kept(run, generation)


def warnings(runs: Sequence[Run]) -> list[str]:
    """A line per method and seeds whose pseudo-labels cannot teach anything; runs of one dataset."""
    lines = []
    for method in dict.fromkeys(run.method for run in runs):
        ours = [run for run in runs if run.method == method]
        for found, generations in _together(ours, _nothing_kept):
            learned = "the generation learned" if len(generations) == 1 else "these generations learned"
            lines.append(
                f"Nothing kept: {_where(method, generations, found)}: not one pseudo-labeled pair was kept, "
                f"so that {learned} from the labeled set alone."
            )
        for found, generations in _together(ours, _collapsed):
            alone = len(generations) == 1
            which, it = ("this generation", "it") if alone else ("these generations", "them")
            lines.append(
                f"Pseudo-labels collapsed: {_where(method, generations, found)}: the kept ones have "
                f"little or nothing but one class{_foregrounds(found, generations[0])}. The figures of "
                f"{which} and of those after {it} say nothing about the method."
            )
    return lines


def _together(
    runs: Sequence[Run], wrong: Callable[[Run, int], bool]
) -> list[tuple[tuple[Run, ...], list[int]]]:
    """Generations in which the same runs are wrong, each with these runs."""
    found: dict[tuple[int, ...], list[int]] = {}
    for generation in sorted({generation for run in runs for generation in run.labelings}):
        if places := tuple(i for i, run in enumerate(runs) if wrong(run, generation)):
            found.setdefault(places, []).append(generation)
    return [(tuple(runs[i] for i in places), generations) for places, generations in found.items()]


def _where(method: str, generations: Sequence[int], runs: Sequence[Run]) -> str:
    counted = ("generation " if len(generations) == 1 else "generations ") + ", ".join(map(str, generations))
    return f"{names.method(method)}, {counted}, {names.seeds(run.seed for run in runs)}"


def _foregrounds(runs: Sequence[Run], generation: int) -> str:
    ours, theirs = (_spread(runs, generation, name) for name in ("pseudo_foreground", "labeled_foreground"))
    if ours is None or theirs is None:
        return ""
    return f" (foreground {100 * ours.mean:.1f} %, in the labeled set {100 * theirs.mean:.1f} %)"
