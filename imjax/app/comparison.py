"""Two runs side by side: the test figures of the candidate that each would be reported by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from imjax.data import sample_record
from imjax.errors import UserError
from imjax.evaluation.image_counts import COUNTS
from imjax.report.load import RunRecord, read_run, to_generation
from imjax.report.names import DESCENDING, entry_title, metric_title


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of two runs."""

    title: str
    first: float | None
    second: float | None
    lower_is_better: bool
    primary: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two runs have reached."""

    first: str
    """Method and generation of the first run's result, as the report names them."""
    second: str
    rows: tuple[MetricRow, ...]
    notes: tuple[str, ...]
    """What to mind."""


def compare_runs(first: Path, second: Path) -> Comparison:
    """Test metrics of two finished runs.

    Raises:
        UserError: a folder is none of a finished run, or is damaged.
    """
    runs = read_run(first), read_run(second)
    titles, values = zip(*(_read_result(run) for run in runs), strict=True)
    primary = runs[0].spec.primary_metric
    keys = sorted({*values[0], *values[1]}, key=lambda key: (key[0] != primary, key[1] != "", key))
    rows = tuple(
        MetricRow(
            metric_title(metric) + (f" · {class_name}" if class_name else ""),
            values[0].get((metric, class_name)), values[1].get((metric, class_name)),
            metric in DESCENDING, metric == primary and not class_name,
        )
        for metric, class_name in keys
    )  # fmt: skip
    notes = _notes(runs, [_read_test_images(folder) for folder in (first, second)])
    return Comparison(titles[0], titles[1], rows, notes)


def read_headline(workdir: Path) -> tuple[str, float] | None:
    """Title and value of a run's primary metric on the test images; None where it has none."""
    try:
        run = read_run(workdir)
    except UserError:
        return None
    metric = run.spec.primary_metric
    value = _read_result(run)[1].get((metric, ""))
    return None if value is None else (metric_title(metric), value)


def _read_result(run: RunRecord) -> tuple[str, dict[tuple[str, str], float]]:
    """Title, and (metric, class) → value, of the last generation of the run's method."""
    rows = run.test_results
    rows = rows[(rows["rank"] == 1) & ~rows["metric"].isin(COUNTS)]
    if run.spec.reserved:
        # No pixel of the truth is of the class that stands for disagreement.
        rows = rows[rows["class_name"] != run.spec.classes[0]]
    own = rows[rows["method"] == run.method]
    rows = own if len(own) else rows
    if not len(rows):
        return "no results yet", {}
    last = rows.iloc[-1]
    generation = to_generation(last["generation"])
    same = rows["generation"].isna() if generation is None else rows["generation"] == generation
    rows = rows[(rows["method"] == last["method"]) & same]
    values = {
        (row.metric, row.class_name): float(row.value)
        for row in rows.itertuples()
        if math.isfinite(row.value)
    }
    return entry_title(str(last["method"]), generation), values


def _read_test_images(workdir: Path) -> set[tuple[str, str, str]]:
    """Name, image and truth of each test image, the latter as hashes."""
    records = sample_record.read_records(workdir).items()
    return {(name, each["image"], each["truth"]) for name, each in records if each["split"] == "test"}


def _notes(runs: Sequence[RunRecord], tests: Sequence[set[tuple[str, str, str]]]) -> tuple[str, ...]:
    counts = [run.record.get("counts", {}) for run in runs]
    notes = []
    if tests[0] != tests[1]:
        labeled = " and ".join(str(count.get("labeled", "?")) for count in counts)
        notes.append(
            f"The test images of these runs are not the same ({labeled} images were labeled), so the figures "
            "cannot be compared. They stay the same where one run starts from the other, or where splits.csv "
            "names them."
        )
    few = min(map(len, tests))
    if few < 20:
        notes.append(f"Only {few} test images: small differences mean little.")
    return tuple(notes)
