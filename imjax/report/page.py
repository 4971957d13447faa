"""The page: runs → what the template shows → one HTML file."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error
from imjax.log import track
from imjax.report import (
    aggregate,
    differences,
    glossary,
    head,
    held_out,
    images,
    names,
    plots,
    pseudo_labels,
    run_warnings,
    summary,
    tables,
    timing,
    worst_images,
)
from imjax.report.load import RunRecord, read_run

MAX_IMAGES = 4
"""Per run in the panels; half as many on a page with the panels of several."""


def write_report(workdirs: Sequence[Path], path: Path) -> None:
    """Write one self-contained HTML file on the runs in `workdirs`.

    Args:
        workdirs: folders of runs, finished or not; several datasets and methods may be mixed.
        path: the file, replaced as a whole; its folder is made.

    Raises:
        UserError: a folder is no run's, or the file cannot be written.
    """
    text = render_page([read_run(workdir) for workdir in workdirs])
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise file_error(
            path, f"the report cannot be written: {error.strerror}", ErrorCode.UNWRITABLE
        ) from error


def render_page(runs: Sequence[RunRecord]) -> str:
    """The HTML text of the page on these runs."""
    groups = aggregate.group_by_dataset(runs)
    runs = [run for group in groups.values() for run in group]
    runs.sort(key=lambda run: (names.method_order(run.method), run.method))
    methods = list(dict.fromkeys(names.method_title(run.method) for run in runs))
    subject = ", ".join(methods) if len(methods) <= 2 * summary.FEW else f"{len(methods)} methods"
    illustrated = aggregate.select_illustrated(runs)
    num_images = MAX_IMAGES if len(illustrated) == 1 else MAX_IMAGES // 2
    # A bar for one or two runs would be gone before it is seen.
    progress = track(runs, "report") if len(runs) > 2 else runs
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        title=f"{subject} on {', '.join(group[0].spec.title for group in groups.values())}",
        datasets=[_describe_dataset(group) for group in groups.values()],
        runs=[_describe_run(run, runs, num_images if run in illustrated else 0) for run in progress],
        folded=len(runs) > summary.FEW,
        made=head.describe_making(runs),
        next_steps=head.suggest_next_steps(runs, bool(run_warnings.warn_unfinished(runs))),
        headings=[],
        list_terms=glossary.list_terms,
    )


def _describe_dataset(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """What the page shows of all runs of one dataset together."""
    spec, results = runs[0].spec, aggregate.collect_results(runs)
    entries = results.entries
    # Without generations all would be horizontal lines.
    in_rows = all(entry.generation is None for entry in entries)
    plot = plots.plot_methods if in_rows else plots.plot_generations
    caption = plots.caption_methods if in_rows else plots.caption_generations
    return {
        "title": spec.title,
        "alarms": head.warn_smoke_runs(runs)
        + run_warnings.warn_ranked_on_test(runs)
        + run_warnings.warn_dropped_candidates(runs)
        + run_warnings.warn_failing_nets(entries, useless=True)
        + pseudo_labels.warn_useless_labels(runs),
        "sentences": summary.write_sentences(results),
        "notes": run_warnings.note_empty_images(entries, spec)
        + run_warnings.note_small_samples(entries, runs),
        "cautions": run_warnings.warn_unfinished(runs)
        + run_warnings.warn_final_nets(runs)
        + run_warnings.warn_few_val_images(runs)
        + run_warnings.warn_failing_nets(entries, useless=False)
        + run_warnings.note_short_training(runs)
        + run_warnings.warn_leaking_splits(runs)
        + run_warnings.warn_copies(runs)
        + run_warnings.warn_conflicting_results(runs)
        + run_warnings.warn_differing_configs(runs),
        "results": tables.tabulate_results(results) if entries else None,
        "held_out": held_out.describe_held_out(runs),
        "gaps": tables.tabulate_gaps(results),
        "chart": plot(results) if entries else None,
        "chart_caption": caption(results),
        "label_chart": plots.plot_pseudo_labels(spec, runs),
        "labels": _describe_pseudo_labels(spec, runs),
        "classes": tables.tabulate_classes(results),
        "legend": _list_colors(spec),
        # One run's own strips show as much.
        "comparison": images.compare_methods(runs, MAX_IMAGES) if len(runs) > 1 else [],
        "timing": timing.tabulate_methods(runs) if len(runs) > 1 else None,
        "differences": differences.tabulate_differences(runs),
    }


def _describe_pseudo_labels(spec: DatasetSpec, runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Inconsistency masks and pseudo-labels, one part per method that has any."""
    parts = []
    for method, group in aggregate.group_by_method(runs).items():
        title = names.method_title(method) + (f", mean over {len(group)} runs" if len(group) > 1 else "")
        labels, sizes = pseudo_labels.tabulate_labels(spec, group), pseudo_labels.measure_masks(group)
        if labels or sizes:
            masks = pseudo_labels.tabulate_masks(sizes) if sizes else None
            chart = plots.plot_mask_sizes(title, sizes) if sizes else None
            parts.append({"title": title, "labels": labels, "masks": masks, "chart": chart})
    return parts


def _describe_run(run: RunRecord, runs: Sequence[RunRecord], num_images: int) -> dict[str, Any]:
    """What the page shows of one run; without images and learning curves where `num_images` is 0."""
    titles = [names.run_title(peer.method, peer.spec.title, peer.seed) for peer in runs]
    title = names.run_title(run.method, run.spec.title, run.seed)
    labeling, training = images.build_stage_strips(run, num_images) if num_images else ([], [])
    loss_strips = images.build_loss_strips(run, num_images) if num_images else []
    return {
        # The folder, where it alone distinguishes two runs.
        "title": f"{title} ({run.workdir})" if titles.count(title) > 1 else title,
        "illustrated": num_images > 0,
        "worst": worst_images.describe_worst_images(run) if num_images else {},
        "labeling": labeling,
        "has_final": any("final" in picture.title for strip in labeling for picture in strip.groups[0]),
        "training": training,
        "loss_visuals": loss_strips,
        "loss_caption": images.describe_loss_strips(loss_strips),
        "learning_curves": plots.plot_learning_curves(run) if num_images else [],
        "legend": _list_colors(run.spec),
        "command": _format_command(run.record.get("command", [])),
        "metadata": _list_metadata(run),
        "stages": timing.tabulate_stages(run),
        "config": json.dumps(run.config, indent=1),
    }


def _list_colors(spec: DatasetSpec) -> list[tuple[str, str]]:
    """(CSS color, class) for the legend of the panels."""
    colors = [(tables.format_color(rgb), name) for name, rgb in zip(spec.classes, spec.palette, strict=True)]
    return colors if spec.kind == "multiclass" else [*colors, ("#000000", "background")]


def _format_command(words: Sequence[str]) -> str:
    """The command for a shell, with every flag on a line of its own."""
    first = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    return " \\\n  ".join([shlex.join(words[:first]), *(shlex.quote(word) for word in words[first:])])


def _describe_network(config: Mapping[str, Any]) -> str:
    """Backbone, first weights and recipe, as far as they are recorded."""
    model = config.get("model", {})
    start = {"none": "random weights", "imagenet": "encoder from ImageNet"}
    weights = model.get("weights", "none")
    parts = [model.get("backbone", "not recorded"), start.get(weights, f"weights of {weights}")]
    return ", ".join([*parts, f"{config.get('recipe', 'published')} recipe"])


def _list_metadata(run: RunRecord) -> list[tuple[str, str]]:
    """(title, value) of what is recorded of a run."""
    record, data = run.record, run.config["data"]
    counts = ", ".join(f"{count:,} {split}" for split, count in record.get("counts", {}).items())
    recorded = {name: record.get(name) or "not recorded" for name in ("data", "device", "commit")}
    return [
        ("folder", str(run.workdir)),
        ("images", f"{counts or 'not recorded'}, {data['width']} × {data['height']} (w × h)"),
        ("split", data.get("split", "not recorded")),
        ("network", _describe_network(run.config)),
        ("configuration", record.get("hash") or "not recorded"),
        *recorded.items(),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())),
    ]
