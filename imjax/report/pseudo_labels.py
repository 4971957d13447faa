"""Inconsistency masks and pseudo-labels of a method: tables, and warnings when they are useless."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import names
from imjax.report.aggregate import Spread, group_by_method, summarize_seeds
from imjax.report.load import RunRecord
from imjax.report.tables import NONE, Table, format_metric

SPLITS = ("unlabeled", "val", "test")


@dataclasses.dataclass(frozen=True)
class MaskSizes:
    """Inconsistency masks of the nets of one generation or of the baseline, means over seeds."""

    title: str
    labels: int | None
    """Generation that these nets label; the paper counts masks by it. None: they label nothing."""
    pixels: dict[str, Spread | None]
    """Mean size by split."""
    shares: dict[str, Spread | None]
    """The same as a share of the image."""


def measure_masks(runs: Sequence[RunRecord]) -> tuple[MaskSizes, ...]:
    """Sizes of the inconsistency masks in the runs of one dataset and method, by the nets that made them."""
    generations = sorted({generation for run in runs for generation in run.generations})
    nets = [None, *generations] if any(run.labeled_generations for run in runs) else generations
    sizes = [_measure_masks(runs, generation) for generation in nets]
    return tuple(sizes) if any(any(size.pixels.values()) for size in sizes) else ()


def _measure_masks(runs: Sequence[RunRecord], generation: int | None) -> MaskSizes:
    """Sizes for the nets of a generation; None for those of the baseline."""
    labeled = 0 if generation is None else generation + 1
    label_stage = f"label_g{labeled}"

    def read_pixels(run: RunRecord, split: str) -> float | None:
        nets = names.base_name(run.baseline) if generation is None else f"g{generation}"
        stage = label_stage if split == "unlabeled" else f"train_{nets}"
        return run.last_value(stage, split, "inconsistent_pixels")

    values = {split: [(read_pixels(run, split), _mask_area(run)) for run in runs] for split in SPLITS}
    return MaskSizes(
        title=_baseline_titles(runs) if generation is None else f"generation {generation}",
        labels=labeled if any(labeled in run.labeled_generations for run in runs) else None,
        pixels={split: summarize_seeds(pixels for pixels, _ in pairs) for split, pairs in values.items()},
        shares={
            split: summarize_seeds(pixels / area for pixels, area in pairs if pixels is not None)
            for split, pairs in values.items()
        },
    )


def inconsistent_share(run: RunRecord, generation: int) -> float | None:
    """Mean share of the image that the masks of a generation's labeling cover, 0..1."""
    if (share := run.label_metric(generation, "inconsistent_share")) is not None:
        return share
    pixels = run.label_metric(generation, "inconsistent_pixels")
    return None if pixels is None else pixels / _mask_area(run)


def _baseline_titles(runs: Sequence[RunRecord]) -> str:
    titles = dict.fromkeys(names.method_title(run.baseline) for run in runs if run.baseline)
    return " / ".join(titles) or "baseline"


def _mask_area(run: RunRecord) -> int:
    """Mask pixels per image; a multilabel size adds up the masks of all channels."""
    data = run.config["data"]
    return data["height"] * data["width"] * (run.spec.outputs if run.spec.kind == "multilabel" else 1)


def tabulate_masks(sizes: Sequence[MaskSizes]) -> Table:
    """`measure_masks` as a table."""
    rows = [
        (
            s.title,
            NONE if s.labels is None else str(s.labels),
            *(_format_size(s.pixels[split], s.shares[split]) for split in SPLITS),
        )
        for s in sizes
    ]
    caption = (
        "Inconsistency masks (IM) by the nets that made them: mean size, pixels and share of the image. The "
        "paper's figures of a generation are those of the nets that label it (second column)."
    )
    return Table(("nets", "label generation", *(f"IM, {split}" for split in SPLITS)), tuple(rows), caption)


def _format_size(pixels: Spread | None, share: Spread | None) -> str:
    if pixels is None or share is None:
        return NONE
    return f"{pixels.mean:,.0f} ({100 * share.mean:.1f} %)"


def _format_percent(value: Spread | None) -> str:
    if value is None:
        return NONE
    sd = "" if value.sd is None else f" ± {100 * value.sd:.1f}"
    return f"{100 * value.mean:.1f}{sd} %"


def tabulate_labels(spec: DatasetSpec, runs: Sequence[RunRecord]) -> Table | None:
    """Statistics of the pseudo-labels of one method, one line per generation; None where there are none.

    Args:
        spec: of the dataset.
        runs: of one dataset and method.
    """
    quality = f"pseudo_{spec.primary_metric}"
    titles = {
        "kept_share": "pairs kept",
        "inconsistent_share": "IM, share of the image",
        "pseudo_foreground": "foreground, pseudo-labels",
        "labeled_foreground": "foreground, labeled set",
        "copies": "copies per pair",
        "score": "EvalNet score",
        quality: f"pseudo-label {names.metric_title(spec.primary_metric)}",
    }
    digits = {"copies": 2, "score": 3, quality: 3}
    generations = sorted({generation for run in runs for generation in run.labeled_generations})
    spreads = {(g, name): _summarize(runs, g, name) for g in generations for name in titles}
    known = [name for name in titles if any(spreads[g, name] for g in generations)]
    if not known:
        return None

    def format_cell(generation: int, name: str) -> str:
        spread = spreads[generation, name]
        return (
            format_metric(spread and spread.mean, digits[name]) if name in digits else _format_percent(spread)
        )

    rows = [(_title_generation(runs, g), *(format_cell(g, name) for name in known)) for g in generations]
    head = ("for generation", *(titles[name] for name in known))
    return Table(head, tuple(rows), _caption_labels(spec, known, len(runs)))


def _summarize(runs: Sequence[RunRecord], generation: int, name: str) -> Spread | None:
    return summarize_seeds(run.label_metric(generation, name) for run in runs)


def _title_generation(runs: Sequence[RunRecord], generation: int) -> str:
    """Title of a row, with a sign where the page has a warning."""
    bad = any(_nothing_kept(run, generation) or _collapsed(run, generation) for run in runs)
    nets = _baseline_titles(runs) if generation == 0 else f"gen. {generation - 1}"
    return f"{generation}, by {nets}{' ⚠' if bad else ''}"


def _caption_labels(spec: DatasetSpec, known: Sequence[str], num_runs: int) -> str:
    caption = "Pseudo-labels by the generation that learns from them and the nets that made them"
    caption += f", mean over {num_runs} runs (± standard deviation)." if num_runs > 1 else "."
    if "pseudo_foreground" in known:
        caption += " Foreground: share of pixels that are not background; the two should be similar."
    if f"pseudo_{spec.primary_metric}" in known:
        caption += (
            f" Their {names.metric_title(spec.primary_metric)} counts only the pixels left after blocking; "
            "the ground truth is used for nothing else."
        )
    return caption


def _nothing_kept(run: RunRecord, generation: int) -> bool:
    return run.label_metric(generation, "kept_share") == 0


def _collapsed(run: RunRecord, generation: int) -> bool:
    # With nothing kept there is no class at all, which has a warning of its own.
    return run.label_metric(generation, "collapsed") == 1 and not _nothing_kept(run, generation)


def warn_useless_labels(runs: Sequence[RunRecord]) -> list[str]:
    """A line per method and seeds whose pseudo-labels cannot teach anything; runs of one dataset."""
    lines = []
    for method, group in group_by_method(runs).items():
        for affected, generations in _group_generations(group, _nothing_kept):
            learned = "the generation learned" if len(generations) == 1 else "these generations learned"
            lines.append(
                f"Nothing kept: {_describe_place(method, generations, affected)}: no pseudo-labeled pair was "
                f"kept, so {learned} from the labeled set alone."
            )
        for affected, generations in _group_generations(group, _collapsed):
            single = len(generations) == 1
            these, after = ("this generation", "it") if single else ("these generations", "them")
            lines.append(
                f"Pseudo-labels collapsed: {_describe_place(method, generations, affected)}: those kept have "
                f"little or nothing but one class{_describe_foreground(affected, generations[0])}. The "
                f"results of {these} and of those after {after} say nothing about the method."
            )
    return lines


def _group_generations(
    runs: Sequence[RunRecord], has_fault: Callable[[RunRecord, int], bool]
) -> list[tuple[tuple[RunRecord, ...], list[int]]]:
    """Runs that share a fault, with the generations in which exactly these have it."""
    groups: dict[tuple[RunRecord, ...], list[int]] = {}
    for generation in sorted({generation for run in runs for generation in run.labeled_generations}):
        if affected := tuple(run for run in runs if has_fault(run, generation)):
            groups.setdefault(affected, []).append(generation)
    return list(groups.items())


def _describe_place(method: str, generations: Sequence[int], runs: Sequence[RunRecord]) -> str:
    numbers = ("generation " if len(generations) == 1 else "generations ") + ", ".join(map(str, generations))
    return f"{names.method_title(method)}, {numbers}, {names.format_seeds(run.seed for run in runs)}"


def _describe_foreground(runs: Sequence[RunRecord], generation: int) -> str:
    pseudo, labeled = (_summarize(runs, generation, f"{kind}_foreground") for kind in ("pseudo", "labeled"))
    if pseudo is None or labeled is None:
        return ""
    return f" (foreground {100 * pseudo.mean:.1f} %, in the labeled set {100 * labeled.mean:.1f} %)"
