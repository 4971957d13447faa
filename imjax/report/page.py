"""The page: runs → what the template shows → one html file."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import jinja2
from tqdm import tqdm

from imjax.data.spec import DatasetSpec
from imjax.errors import UserError
from imjax.report import (
    charts,
    curves,
    differences,
    dots,
    headline,
    load,
    names,
    pseudo_labels,
    scores,
    shares,
    tables,
    times,
)
from imjax.report import images as pictures
from imjax.report.canvas import Chart
from imjax.report.images import Strip
from imjax.report.load import Run
from imjax.report.scores import Entry
from imjax.report.tables import Table
from imjax.report.variants import told_apart

IMAGES = 4
"""Per run in the panels; half as many on a page with the panels of several."""


@dataclasses.dataclass(frozen=True)
class MethodMasks:
    """Inconsistency masks and pseudo-labels of one method."""

    title: str
    labels: Table | None
    masks: Table | None
    chart: Chart | None
    """Of the masks, by split."""


@dataclasses.dataclass(frozen=True)
class DatasetPart:
    """What the page says of all runs of one dataset together."""

    title: str
    alarms: tuple[str, ...]
    """What makes figures worthless, above everything else."""
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    cautions: tuple[str, ...]
    results: Table | None
    gaps: Table | None
    curve: Chart | None
    caption: str
    """Of `curve`."""
    shares: Chart | None
    masks: tuple[MethodMasks, ...]
    classes: Table | None
    legend: tuple[tuple[str, str], ...]
    """(CSS color, class)."""
    together: tuple[Strip, ...]
    """The same images by every method."""
    times: Table | None
    differences: Table | None


@dataclasses.dataclass(frozen=True)
class RunPart:
    """What the page says of one run."""

    title: str
    learning: tuple[Chart, ...]
    shown: bool
    """Whether its images and learning curves are on the page."""
    labeling: tuple[Strip, ...]
    training: tuple[Strip, ...]
    looks: tuple[Strip, ...]
    legend: tuple[tuple[str, str], ...]
    command: str
    """That made it, a flag per line."""
    stages: Table
    facts: tuple[tuple[str, str], ...]
    """(what, value)."""
    config: str


def write_report(workdirs: Sequence[Path], path: Path) -> None:
    """Write one self-contained html file on the runs in `workdirs`.

    Args:
        workdirs: folders of runs, finished or not; several datasets and methods may be mixed.
        path: the file, replaced as a whole; its folder is made.

    Raises:
        UserError: a folder is no run's, or the file cannot be written.
    """
    text = render([load.read(workdir) for workdir in workdirs])
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(found: Sequence[Run]) -> str:
    """The html text of the page on these runs."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(found, key=lambda run: names.position(run.method)):
        groups.setdefault(run.spec.name, []).append(run)
    groups = {name: told_apart(group) for name, group in groups.items()}
    found = sorted((run for group in groups.values() for run in group), key=_place)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    methods = list(dict.fromkeys(names.method(run.method) for run in found))
    which = ", ".join(methods) if len(methods) <= 2 * headline.FEW else f"{len(methods)} methods"
    shown = _shown(found)
    images = IMAGES if len(shown) == 1 else IMAGES // 2
    # None: only on a terminal.
    waiting = tqdm(found, "report", unit="run", leave=False, disable=None if len(found) > 2 else True)
    return environment.get_template("report.html.jinja").render(
        title=f"{which} on {', '.join(group[0].spec.title for group in groups.values())}",
        datasets=[_dataset(group) for group in groups.values()],
        runs=[_run(run, _named(run, found), images if run in shown else 0) for run in waiting],
        folded=len(found) > headline.FEW,
    )


def _named(run: Run, found: Sequence[Run]) -> str:
    """Title of a run on the page, with its folder where that alone tells it from another."""
    alike = [other for other in found if headline.title(other) == headline.title(run)]
    return headline.title(run) + (f" ({run.workdir})" if len(alike) > 1 else "")


def _place(run: Run) -> tuple[int, str]:
    return names.position(run.method), run.method


def _shown(found: Sequence[Run]) -> list[Run]:
    """Of every dataset and method the run with the lowest seed: more images would not tell more."""
    first: dict[tuple[str, str], Run] = {}
    for run in sorted(found, key=lambda run: run.seed):
        first.setdefault((run.spec.name, run.method), run)
    return list(first.values())


def _dataset(group: Sequence[Run]) -> DatasetPart:
    spec, published = group[0].spec, scores.published(group)
    found = scores.entries(group)
    counts = sorted({str(run.config.get("top", 1)) for run in group}, key=int)
    top = "/".join(counts)
    by_seed = sorted(group, key=lambda run: run.seed)
    rows = _in_rows(found)
    draw, caption = (dots.by_method, dots.CAPTION) if rows else (curves.over_generations, curves.CAPTION)
    return DatasetPart(
        title=spec.title,
        alarms=tuple(scores.ranked_on_test(group) + scores.dropped(group) + pseudo_labels.warnings(group)),
        sentences=tuple(headline.sentences(spec, found, group, published, top)),
        notes=tuple(headline.notes(found, group)),
        cautions=tuple(headline.unfinished(group) + scores.cautions(group)),
        results=tables.results(spec, found, published, top) if found else None,
        gaps=tables.gaps(spec, found, group, published),
        curve=draw(spec, found, published) if found else None,
        caption=caption,
        shares=shares.over_generations(spec, group),
        masks=tuple(_masks(spec, group)),
        classes=tables.classes(spec, found),
        legend=_legend(spec),
        # One run's own strips show as much.
        together=tuple(pictures.side_by_side(by_seed, IMAGES)) if len(group) > 1 else (),
        times=times.methods(group) if len(group) > 1 else None,
        differences=differences.table(group),
    )


def _in_rows(found: Sequence[Entry]) -> bool:
    """Whether the figure has a row per method, and not generations on the x axis."""
    # LDT, ALDT and FDT alone are the lines of the study's figure.
    joint = any(entry.method not in curves.LOOKS for entry in found)
    return joint and all(entry.generation is None for entry in found)


def _masks(spec: DatasetSpec, group: Sequence[Run]) -> list[MethodMasks]:
    methods: dict[str, list[Run]] = {}
    for run in group:
        methods.setdefault(run.method, []).append(run)
    parts = []
    for method, members in methods.items():
        title = names.method(method) + (f", mean over {len(members)} runs" if len(members) > 1 else "")
        labels, masks = pseudo_labels.label_table(spec, members), pseudo_labels.masks(members)
        if labels or masks:
            table = pseudo_labels.mask_table(masks) if masks else None
            chart = charts.mask_sizes(title, masks) if masks else None
            parts.append(MethodMasks(title, labels, table, chart))
    return parts


def _run(run: Run, title: str, images: int) -> RunPart:
    labeling, training = pictures.strips(run, images) if images else ([], [])
    return RunPart(
        title=title,
        learning=tuple(charts.learning(run)) if images else (),
        shown=images > 0,
        labeling=tuple(labeling),
        training=tuple(training),
        looks=tuple(pictures.looks(run, images)) if images else (),
        legend=_legend(run.spec),
        command=_command(run.record.get("command", [])),
        stages=times.stages(run),
        facts=tuple(_facts(run)),
        config=json.dumps(run.config, indent=1),
    )


def _legend(spec: DatasetSpec) -> tuple[tuple[str, str], ...]:
    entries = tuple((tables.css(rgb), name) for name, rgb in zip(spec.classes, spec.palette, strict=True))
    return entries if spec.kind == "multiclass" else (*entries, ("#000000", "background"))


def _command(words: Sequence[str]) -> str:
    """As a shell takes it, with every flag on a line of its own."""
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return " \\\n  ".join([shlex.join(words[:first]), *(shlex.quote(word) for word in words[first:])])


def _facts(run: Run) -> list[tuple[str, str]]:
    record = run.record
    data = run.config["data"]
    counts = ", ".join(f"{count:,} {split}" for split, count in record.get("counts", {}).items())
    return [
        ("folder", str(run.workdir)),
        ("images", f"{counts or 'not recorded'}, {data['width']} × {data['height']} (w × h)"),
        ("split", data.get("split", "not recorded")),
        ("configuration", record.get("hash") or "not recorded"),
        ("data", record.get("data") or "not recorded"),
        ("device", record.get("device") or "not recorded"),
        ("commit", record.get("commit") or "not recorded"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]
