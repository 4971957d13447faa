"""Tables of the page as text. Pure: values in, cells out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import names, scores
from imjax.report.runs import Run, Stage
from imjax.report.scores import Entry, Published, Spread

NONE = "–"


@dataclasses.dataclass(frozen=True)
class Table:
    """The first cell of a row is its title; `best` are (row, column) cells to emphasise."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    best: frozenset[tuple[int, int]] = frozenset()
    colours: tuple[str, ...] = ()
    """CSS colour of each row, if any."""


def figure(value: Spread | float | None, digits: int = 4) -> str:
    """`0.5300`, or `0.530 ± 0.030 (3)` for several seeds: one digit less, and their number."""
    if value is None:
        return NONE
    if not isinstance(value, Spread):
        return f"{value:.{digits}f}"
    if value.sd is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits - 1}f} ± {value.sd:.{digits - 1}f} ({value.n})"


def brief(value: Spread | None) -> str:
    """`figure` for a sentence, without the number of seeds."""
    return figure(value).split(" (")[0]


def signed(value: float | None, digits: int = 3) -> str:
    """`+0.012` or `−0.012`, with a minus sign as wide as the plus."""
    if value is None:
        return NONE
    # No sign of nothing: −0.0002 would read −0.000.
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def published_metric(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> str | None:
    """The metric for which there are published values of these entries, the headline first."""
    for metric in scores.metrics(found, spec.headline):
        if any((spec.name, e.method, e.generation, metric) in published for e in found):
            return metric
    return None


def results(spec: DatasetSpec, found: Sequence[Entry], published: Published, top: str) -> Table:
    """Test figures, one line per method and generation.

    Args:
        spec: of the dataset.
        found: its entries.
        published: figures of the paper.
        top: how many candidates the mean column takes, as text.
    """
    metrics = scores.metrics(found, spec.headline)
    paper = published_metric(spec, found, published)
    head = [names.metric(metric) for metric in metrics]
    head.insert(1, f"{names.metric(spec.headline)}, mean of best {top}")
    if paper:
        head[2:2] = [f"published {names.metric(paper)}", "ours − published"]
    rows = []
    for entry in found:
        cells = [figure(entry.best(metric)) for metric in metrics]
        cells.insert(1, figure(entry.top(spec.headline)))
        if paper:
            cells[2:2] = _beside(
                entry.best(paper), published.get((spec.name, entry.method, entry.generation, paper))
            )
        rows.append((names.entry(entry.method, entry.generation), *cells))
    several = (
        " Mean ± standard deviation over seeds (number of seeds)."
        if any(len(e.seeds) > 1 for e in found)
        else ""
    )
    caption = (
        "Test split. Each figure is that of the candidate that is best on val; beside the "
        f"{names.metric(spec.headline)} is its mean over the best {top} candidates. "
        f"{_better(metrics)}{several}"
    ) + (" Published values are means of 3 runs." if paper else "")
    best = _best([[entry.best(metric) for entry in found] for metric in metrics[:1]], metrics[:1], offset=1)
    return Table(("method", *head), tuple(rows), caption, best)


def _beside(ours: Spread | None, theirs: float | None) -> list[str]:
    if theirs is None:
        return [NONE, NONE]
    return [f"{theirs:.3f}", signed(ours.mean - theirs if ours else None)]


def _better(metrics: Sequence[str]) -> str:
    less = [names.metric(metric) for metric in metrics if metric in names.DESCENDING]
    return "Higher is better" + (f", but less is for {', '.join(less)}." if less else ".")


def _best(
    columns: Sequence[Sequence[Spread | None]], metrics: Sequence[str], offset: int
) -> frozenset[tuple[int, int]]:
    """(row, column) of the best value of each column that has at least two different ones."""
    cells = set()
    for number, (column, metric) in enumerate(zip(columns, metrics, strict=True)):
        known = [(value.mean, row) for row, value in enumerate(column) if value]
        # Where all are equal none is best.
        if len({mean for mean, _ in known}) > 1:
            choose = min if metric in names.DESCENDING else max
            target = choose(known)[0]
            cells |= {(row, number + offset) for mean, row in known if mean == target}
    return frozenset(cells)


def classes(spec: DatasetSpec, found: Sequence[Entry]) -> Table | None:
    """IoU of each class over all test images together; None where there are no figures per class."""
    rows, colours, best = [], [], set()
    for name, rgb in zip(spec.classes, spec.palette, strict=True):
        values = [entry.best("iou_dataset", name) for entry in found]
        if not any(values):
            continue
        known = [value.mean for value in values if value]
        if len(set(known)) > 1:
            best |= {
                (len(rows), i) for i, value in enumerate(values, 1) if value and value.mean == max(known)
            }
        rows.append((name, *(figure(Spread(v.mean, None, v.n) if v else None, 3) for v in values)))
        colours.append(css(rgb))
    if not rows:
        return None
    caption = (
        "IoU of each class over all test images together, of the candidate that is best on val"
        + (", mean over seeds" if any(len(entry.seeds) > 1 for entry in found) else "")
        + ". The best of a row is bold; – marks a class in neither truth nor prediction."
    )
    head = ("class", *(names.entry(entry.method, entry.generation) for entry in found))
    return Table(head, tuple(rows), caption, frozenset(best), tuple(colours))


def css(rgb: Sequence[int]) -> str:
    """RGB → a CSS colour."""
    return "#" + "".join(f"{value:02x}" for value in rgb)


@dataclasses.dataclass(frozen=True)
class Masks:
    """Inconsistency masks of one set of nets: of the start or of a generation, means over seeds."""

    nets: int | None
    """Generation; None for the start."""
    title: str
    pixels: dict[str, Spread | None]
    """Mean size by split."""
    shares: dict[str, Spread | None]
    """The same as a share of the image."""
    labels: dict[str, Spread | None]
    """What labelling with these nets gave: kept_share, copies, score, pseudo_*."""


def masks(runs: Sequence[Run]) -> tuple[Masks, ...]:
    """Inconsistency masks of the runs of one dataset and method, by the nets that made them."""
    done = sorted({generation for run in runs for generation in run.generations})
    labelled = {stage.name for run in runs for stage in run.stages if stage.name.startswith("label_g")}
    nets = [None] if labelled else []
    return tuple(_masks(runs, generation) for generation in [*nets, *done])


def _masks(runs: Sequence[Run], nets: int | None) -> Masks:
    label = f"label_g{0 if nets is None else nets + 1}"
    pseudo = f"pseudo_{runs[0].spec.headline}"

    def mean(split: str, name: str, share: bool = False) -> Spread | None:
        values = []
        for run in runs:
            trained = run.start if nets is None else f"g{nets}"
            value = run.last(label if split == "unlabelled" else f"train_{trained}", split, name)
            values.append(value / _area(run) if share and value is not None else value)
        return scores.spread(values)

    splits = ("unlabelled", "val", "test")
    starts = dict.fromkeys(names.method(run.start) for run in runs if run.start)
    return Masks(
        nets=nets,
        title=" / ".join(starts) or "start" if nets is None else f"generation {nets}",
        pixels={split: mean(split, "inconsistent_pixels") for split in splits},
        # A multilabel size adds up the channels' masks.
        shares={split: mean(split, "inconsistent_pixels", share=True) for split in splits},
        labels={name: mean("unlabelled", name) for name in ("kept_share", "copies", "score", pseudo)},
    )


def _area(run: Run) -> int:
    """Mask pixels per image, of all channels for multilabel."""
    data = run.config["data"]
    return data["height"] * data["width"] * (run.spec.outputs if run.spec.kind == "multilabel" else 1)


def mask_table(spec: DatasetSpec, found: Sequence[Masks]) -> Table:
    """`masks` as a table."""
    pseudo = f"pseudo_{spec.headline}"
    rows = []
    for masks in found:
        sizes = [_size(masks.pixels[split], masks.shares[split]) for split in ("unlabelled", "val", "test")]
        label = masks.labels
        rows.append(
            (
                masks.title,
                *sizes,
                _percent(label["kept_share"]),
                figure(_alone(label["copies"]), 2),
                figure(_alone(label["score"]), 3),
                figure(_alone(label[pseudo]), 3),
            )
        )
    head = (
        "nets", "IM, unlabelled", "IM, val", "IM, test", "pairs kept", "copies per pair", "EvalNet score",
        f"pseudo-label {names.metric(spec.headline)}",
    )  # fmt: skip
    caption = (
        "Inconsistency masks (IM) by the nets that made them: mean size in pixels and as share of the image. "
        "The columns on the right tell what these nets' pseudo-labels gave to the next generation; their "
        f"{names.metric(spec.headline)} counts only the pixels left after blocking, and the truth is used "
        "for nothing else."
    )
    return Table(head, tuple(rows), caption)


def _alone(value: Spread | None) -> float | None:
    return None if value is None else value.mean


def _percent(value: Spread | None) -> str:
    return NONE if value is None else f"{100 * value.mean:.1f} %"


def _size(pixels: Spread | None, share: Spread | None) -> str:
    return NONE if pixels is None else f"{pixels.mean:,.0f} ({_percent(share)})"


def stages(run: Run) -> Table:
    """What each finished stage made and how long it took."""
    rows = []
    for stage in run.stages:
        pairs = stage.facts.get("pairs")
        epochs = stage.fitted.get("epoch", [])
        rows.append(
            (
                names.stage(stage.name),
                NONE if pairs is None else f"{pairs:,}",
                duration(_seconds(stage)),
                " ".join(map(str, epochs)) or NONE,
            )
        )
    total = sum(_seconds(stage) or 0.0 for stage in run.stages)
    rows.append(("all stages", "", duration(float(total)), ""))
    caption = (
        "Finished stages in their order: training pairs, wall time, and the epoch kept of each candidate."
    )
    return Table(("stage", "pairs", "time", "epochs kept"), tuple(rows), caption)


def _seconds(stage: Stage) -> float | None:
    seconds = stage.facts.get("seconds")
    return None if seconds is None else float(seconds)


def duration(seconds: float | None) -> str:
    """`13.6 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
