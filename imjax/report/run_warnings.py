"""What a reader must know before trusting or comparing results."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from imjax.config.convert import flatten
from imjax.data.spec import DatasetSpec
from imjax.evaluation import image_counts
from imjax.report import names
from imjax.report.aggregate import VARYING_KEYS, Entry, group_by_entry, group_by_method
from imjax.report.load import RunRecord

MIN_EPOCHS = 10
"""Of fewer epochs the last is no small part."""
LAST_EPOCHS = 0.9
"""A best epoch after this share of them may mean that more would have been better."""

MIN_VAL_IMAGES = 5
"""Of fewer, which net and which epoch is best on them is a matter of chance."""
MIN_TEST_IMAGES = 10
"""Below this number the page says how few test images there are."""


def warn_ranked_on_test(runs: Sequence[RunRecord]) -> list[str]:
    """A line on runs whose candidates were selected on the split that they are measured on."""
    affected = [run for run in runs if run.select_on_test]
    if not affected:
        return []
    where = "; ".join(
        f"{names.method_title(method)}, {names.format_seeds(run.seed for run in group)}"
        for method, group in group_by_method(affected).items()
    )
    where = "every run here" if len(affected) == len(runs) else where
    return [
        f"Candidates were ranked on TEST: for replication only. select_on_test is true in {where}: such "
        "results are too good and compare only with results selected the same way."
    ]


def warn_few_val_images(runs: Sequence[RunRecord]) -> list[str]:
    """A line where nets and epochs were chosen on a few images only."""
    counts = [
        run.held_out.get("fewest_val_images", run.record.get("counts", {}).get("val", MIN_VAL_IMAGES))
        for run in runs
        if not run.select_on_test
    ]
    if (fewest := min(counts, default=MIN_VAL_IMAGES)) >= MIN_VAL_IMAGES:
        return []
    where = f"{fewest} val image" + "s" * (fewest != 1)
    return [
        f"Nets and epochs were chosen on {where}: too few to tell which is best, so that the choice is "
        "largely chance. Trust the mean over candidates more than the best one; more masks, or a larger "
        "data.val_fraction, help."
    ]


def warn_final_nets(runs: Sequence[RunRecord]) -> list[str]:
    """A line on nets that were trained on all images with labels."""
    if not any(run.held_out for run in runs):
        return []
    return [
        "The nets of this run are trained on all images with labels, and their epochs are chosen on these. "
        "Figures of val and test are therefore means over the runs of the folds, whose test images their "
        "nets never saw; learning curves and images of the run itself show images that its nets learned from."
    ]


def warn_dropped_candidates(runs: Sequence[RunRecord]) -> list[str]:
    """A line per run with candidates that training dropped."""
    lines = []
    for run in runs:
        counts = {stage.name: len(stage.training.get("dropped", [])) for stage in run.stages}
        where = ", ".join(f"{count} in {names.stage_title(name)}" for name, count in counts.items() if count)
        if where:
            lines.append(
                f"Candidates dropped: {names.method_title(run.method)}, seed {run.seed}: {where}, because "
                "their loss was not finite (on_nan is drop). They are ranked last and no ensemble used them."
            )
    return lines


def warn_failing_nets(entries: Sequence[Entry], useless: bool) -> list[str]:
    """A line per method, generation and seed whose net predicts nothing, or one class, on some test images.

    Args:
        entries: with results.
        useless: only nets that do so on all images with an object, or only others.
    """
    lines = []
    for entry in entries:
        for seed, counts in entry.count_images().items():
            failures = image_counts.describe_failures(counts)
            if failures and image_counts.is_useless(counts) == useless:
                title = names.entry_title(entry.method, entry.generation)
                lines.append(f"{title}, seed {seed}: {failures} of the test set.")
    return lines


def note_empty_images(entries: Sequence[Entry], spec: DatasetSpec) -> list[str]:
    """A line on the number of test images without an object, and what they count."""
    nets = [net for entry in entries for net in entry.count_images().values()]
    texts = dict.fromkeys(image_counts.describe_empty_images(spec, net) for net in nets)
    return [f"Test set: {text}." for text in texts if text]


def warn_leaking_splits(runs: Sequence[RunRecord]) -> list[str]:
    """A line for each split that has copies of training scenes among its test images (methods.md 2.1)."""
    counts = {
        (run.config["data"].get("split"), leaked, run.record.get("counts", {}).get("test", 0)): None
        for run in runs
        if (leaked := run.record.get("seen", 0))
    }
    return [
        f"Split {split!r}: {leaked} of {total} test images have a copy of their scene in training or val; "
        "test results are too good."
        for split, leaked, total in counts
    ]


def warn_copies(runs: Sequence[RunRecord]) -> list[str]:
    """A line for each split and data that has exact copies of images on both of its sides."""
    lines: dict[str, None] = {}
    for run in runs:
        copies, counts = run.record.get("copies", {}), run.record.get("counts", {})
        for side, count in copies.items():
            if count:
                others = "training or val" if side == "test" else "training"
                share = (
                    f"{count} of {counts.get(side, count)} {side} images are exact copies of {others} images"
                )
                lines[f"{share}; {side} results are too good."] = None
    return list(lines)


def warn_conflicting_results(runs: Sequence[RunRecord]) -> list[str]:
    """A line per method, generation and seed for which two runs have different results."""
    first: dict[tuple[str, int | None, int], tuple[pd.DataFrame, RunRecord]] = {}
    lines = []
    for run in runs:
        for key, group in group_by_entry(run.test_results):
            rows = group.reset_index(drop=True)
            shown_rows, shown_run = first.setdefault((*key, run.seed), (rows, run))
            if not shown_rows.equals(rows):
                lines.append(
                    f"{names.entry_title(*key)} with seed {run.seed} is in {shown_run.workdir} and, with "
                    f"other results, in {run.workdir}: the first is shown."
                )
    return lines


def warn_differing_configs(runs: Sequence[RunRecord]) -> list[str]:
    """A line on configuration keys that differ, but for those that a run's name and seed show."""
    flats = [flatten(run.config) for run in runs]
    keys = sorted(set().union(*flats) - VARYING_KEYS - set().union(*(run.variant_keys for run in runs)))
    values = {key: dict.fromkeys(str(flat.get(key, "absent")) for flat in flats) for key in keys}
    differing = [f"{key} ({' / '.join(texts)})" for key, texts in values.items() if len(texts) > 1]
    return [f"The runs differ in more than method and seed: {', '.join(differing)}."] if differing else []


def warn_unfinished(runs: Sequence[RunRecord]) -> list[str]:
    """A line for each run that is not at its end."""
    lines = []
    for run in runs:
        title, done = names.run_title(run.method, run.spec.title, run.seed), len(run.generations)
        labels = any(stage.name.startswith("label_g") or stage.name == "pairs" for stage in run.stages)
        if labels or done:
            if done < (total := run.config.get("generations", 0)):
                lines.append(f"{title}: {done} of {total} generations are finished.")
        elif run.method not in set(run.results["method"]):
            lines.append(f"{title}: not finished; the page shows what there is so far.")
    return lines


def note_short_training(runs: Sequence[RunRecord]) -> list[str]:
    """A line on stages whose first candidate was best on val among the last tenth of its epochs."""
    titles = {
        names.stage_title(stage.name): None
        for run in runs
        for stage in run.stages
        if (training := stage.training).get("epochs", 0) >= MIN_EPOCHS
        and training["epoch"][training["ranked"][0]] > LAST_EPOCHS * training["epochs"]
    }
    if not titles:
        return []
    return [
        f"Best on val at the very end of training: {', '.join(titles)}. More steps may give better nets. "
        "Where the learning rate falls to 0, the last epochs are usually the best, and only a longer run can "
        "tell."
    ]


def note_small_samples(entries: Sequence[Entry], runs: Sequence[RunRecord]) -> list[str]:
    """A line where there is one seed per method, and where there are few test images."""
    lines = []
    if len({entry.method for entry in entries}) > 1 and all(entry.num_seeds == 1 for entry in entries):
        lines.append(
            "One seed each: the variation from seed to seed is unknown, and small differences do not rank "
            "the methods."
        )
    counts = [run.record.get("counts", {}).get("test", MIN_TEST_IMAGES) for run in runs]
    if (fewest := min(counts, default=MIN_TEST_IMAGES)) < MIN_TEST_IMAGES:
        images = f"{fewest} image" + "s" * (fewest != 1)
        lines.append(f"The test set has {images}: a metric can change a lot with any of them.")
    return lines
