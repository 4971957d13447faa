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
from imjax.report import charts, curves, dots, names, pictures, pseudo, runs, scores, tables
from imjax.report.canvas import Chart
from imjax.report.pictures import Strip
from imjax.report.runs import Run
from imjax.report.scores import Entry, Published
from imjax.report.tables import Table
from imjax.report.variants import told_apart

IMAGES = 4
"""Per run in the panels; half as many on a page with the panels of several."""
FEW = 2
"""Methods whose figures can be told in sentences, and runs whose details can all lie open."""


@dataclasses.dataclass(frozen=True)
class MethodMasks:
    """Inconsistency masks and pseudo-labels of one method."""

    title: str
    labels: Table | None
    masks: Table | None
    chart: Chart | None


@dataclasses.dataclass(frozen=True)
class DatasetPart:
    """What the page says of all runs of one dataset together."""

    title: str
    alarms: tuple[str, ...]
    """What makes figures worthless, above everything else."""
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]
    results: Table | None
    gaps: Table | None
    curve: Chart | None
    masks: tuple[MethodMasks, ...]
    classes: Table | None


@dataclasses.dataclass(frozen=True)
class RunPart:
    """What the page says of one run."""

    title: str
    learning: tuple[Chart, ...]
    shown: bool
    """Whether its images and learning curves are on the page."""
    labelling: tuple[Strip, ...]
    training: tuple[Strip, ...]
    looks: tuple[Strip, ...]
    legend: tuple[tuple[str, str], ...]
    """(CSS colour, class)."""
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
    text = render([runs.read(workdir) for workdir in workdirs])
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written: {error.strerror}") from error


def render(found: Sequence[Run]) -> str:
    """The html text of the page on these runs."""
    published = scores.published()
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
    which = ", ".join(methods) if len(methods) <= 2 * FEW else f"{len(methods)} methods"
    shown = _shown(found)
    images = IMAGES if len(shown) == 1 else IMAGES // 2
    # None: only on a terminal.
    waiting = tqdm(found, "report", unit="run", leave=False, disable=None if len(found) > 2 else True)
    return environment.get_template("report.html.jinja").render(
        title=f"{which} on {', '.join(group[0].spec.title for group in groups.values())}",
        datasets=[_dataset(group, published) for group in groups.values()],
        runs=[_run(run, len(found) > 1, images if run in shown else 0) for run in waiting],
        folded=len(found) > FEW,
    )


def _place(run: Run) -> tuple[int, str]:
    return names.position(run.method), run.method


def _shown(found: Sequence[Run]) -> list[Run]:
    """Of every dataset and method the run with the lowest seed: more images would not tell more."""
    first: dict[tuple[str, str], Run] = {}
    for run in sorted(found, key=lambda run: run.seed):
        first.setdefault((run.spec.name, run.method), run)
    return list(first.values())


def _dataset(group: Sequence[Run], published: Published) -> DatasetPart:
    spec = group[0].spec
    found = scores.entries(group)
    counts = sorted({str(run.config.get("top", 1)) for run in group}, key=int)
    top = "/".join(counts)
    return DatasetPart(
        title=spec.title,
        alarms=tuple(scores.ranked_on_test(group) + pseudo.warnings(group)),
        sentences=tuple(_sentences(spec, found, group, published, top)),
        cautions=tuple(_unfinished(group) + scores.cautions(group)),
        results=tables.results(spec, found, published, top) if found else None,
        gaps=tables.gaps(spec, found, group, published),
        curve=_figure(spec, found, published) if found else None,
        masks=tuple(_masks(spec, group)),
        classes=tables.classes(spec, found),
    )


def _figure(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> Chart:
    """Generations on the x axis where a method has any, else a row per method."""
    # LDT, ALDT and FDT alone are the lines of the study's figure.
    joint = any(entry.method not in curves.LOOKS for entry in found)
    if joint and all(entry.generation is None for entry in found):
        return dots.by_method(spec, found, published)
    return curves.over_generations(spec, found, published)


def _sentences(
    spec: DatasetSpec, found: Sequence[Entry], group: Sequence[Run], published: Published, top: str
) -> list[str]:
    """The headline figure of every method in words; of many methods, that of the best."""
    known = [entry for entry in found if entry.best(spec.headline)]
    last = {entry.method: entry for entry in known}
    plain = [entry for entry in last.values() if entry.generation is None]
    grown = [entry for entry in last.values() if entry.generation is not None]
    if not grown:
        lines = [f"{_reached(spec, entry, published, top)}." for entry in plain]
        return lines or [f"No test {names.metric(spec.headline)} yet."]
    if len(grown) <= FEW:
        return [_grown(spec, entry, plain, group, published, top) for entry in grown]
    choose = min if spec.headline in names.DESCENDING else max
    fair = [
        entry for entry in grown if not entry.on_test and names.base(entry.method) not in names.ORACLES
    ] or grown
    best = choose(fair, key=lambda entry: entry.best(spec.headline).mean)
    return [f"Best of {len(fair)} methods: {_grown(spec, best, plain, group, published, top)}"]


def _grown(
    spec: DatasetSpec,
    entry: Entry,
    plain: Sequence[Entry],
    group: Sequence[Run],
    published: Published,
    top: str,
) -> str:
    """A method's last generation beside the methods without generations."""
    parts = [f"{_reached(spec, entry, published, top)} after generation {entry.generation}"]
    starts = scores.origins(group, entry.method)
    for other in plain:
        gap = scores.gap(group, entry.method, entry.generation, other.method, spec.headline)
        if gap:
            name = names.method(other.method) + (", its start" if starts == [other.method] else "")
            theirs = tables.figure(other.best(spec.headline).mean, 3)
            parts.append(f"{tables.signed(gap.mean)} against {name} ({theirs})")
    return "; ".join(parts) + "."


def _reached(spec: DatasetSpec, entry: Entry, published: Published, top: str) -> str:
    paper = published.get((spec.name, entry.method, entry.generation, spec.headline))
    best = entry.best(spec.headline)
    seeds = f" over {best.n} seeds" if best and best.n > 1 else ""
    known = f"; published {paper:.3f}" if paper is not None else ""
    return (
        f"{names.method(entry.method)} reaches a test {names.metric(spec.headline)} of "
        f"{tables.brief(best)}{seeds} "
        f"(mean of the best {top} candidates {tables.brief(entry.top(spec.headline))}{known})"
    )


def _unfinished(group: Sequence[Run]) -> list[str]:
    lines = []
    for run in group:
        if (
            any(stage.name.startswith("label_g") or stage.name == "pairs" for stage in run.stages)
            or run.generations
        ):
            if len(run.generations) < (total := run.config.get("generations", 0)):
                lines.append(f"{_title(run)}: {len(run.generations)} of {total} generations are finished.")
        elif not any(row.method == run.method for row in run.rows):
            lines.append(f"{_title(run)}: not finished; shown is what there is so far.")
    return lines


def _masks(spec: DatasetSpec, group: Sequence[Run]) -> list[MethodMasks]:
    methods: dict[str, list[Run]] = {}
    for run in group:
        methods.setdefault(run.method, []).append(run)
    parts = []
    for method, members in methods.items():
        title = names.method(method) + (f", mean over {len(members)} runs" if len(members) > 1 else "")
        labels, masks = pseudo.label_table(spec, members), pseudo.masks(members)
        if labels or masks:
            table = pseudo.mask_table(masks) if masks else None
            chart = charts.mask_sizes(title, masks) if masks else None
            parts.append(MethodMasks(title, labels, table, chart))
    return parts


def _title(run: Run) -> str:
    return f"{names.method(run.method)} on {run.spec.title}, seed {run.seed}"


def _run(run: Run, several: bool, images: int) -> RunPart:
    labelling, training = pictures.strips(run, images) if images else ([], [])
    return RunPart(
        title=_title(run) + (f" ({run.workdir})" if several else ""),
        learning=tuple(charts.learning(run)) if images else (),
        shown=images > 0,
        labelling=tuple(labelling),
        training=tuple(training),
        looks=tuple(pictures.looks(run, images)) if images else (),
        legend=tuple(_legend(run.spec)),
        stages=tables.stages(run),
        facts=tuple(_facts(run)),
        config=json.dumps(run.config, indent=1),
    )


def _legend(spec: DatasetSpec) -> list[tuple[str, str]]:
    entries = [(tables.css(rgb), name) for name, rgb in zip(spec.classes, spec.palette, strict=True)]
    return entries if spec.kind == "multiclass" else [*entries, ("#000000", "background")]


def _facts(run: Run) -> list[tuple[str, str]]:
    record = run.record
    data = run.config["data"]
    counts = ", ".join(f"{count:,} {split}" for split, count in record.get("counts", {}).items())
    return [
        ("command", shlex.join(record.get("command", [])) or "not recorded"),
        ("folder", str(run.workdir)),
        ("images", f"{counts or 'not recorded'}, {data['width']} × {data['height']} (w × h)"),
        ("configuration", record.get("hash") or "not recorded"),
        ("data", record.get("data") or "not recorded"),
        ("device", record.get("device") or "not recorded"),
        ("commit", record.get("commit") or "not recorded"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]
