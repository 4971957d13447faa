"""Test results of several runs as one table, with mean and standard deviation over seeds."""

from __future__ import annotations

import csv
import dataclasses
import functools
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

import pandas as pd

from imjax.config.convert import flatten
from imjax.config.schema import PLACES
from imjax.data.spec import DatasetSpec
from imjax.evaluation.image_counts import COUNTS
from imjax.evaluation.result_names import ENSEMBLE, split_ensembles
from imjax.report import names
from imjax.report.load import RunRecord, to_generation

# select_on_test has a warning of its own. The pixel weighting is part of a run's method name.
VARYING_KEYS = PLACES | {"method", "seed", "baselines", "select_on_test", "joint.pixel_weighting"}
"""Configuration keys in which runs that are shown together may differ without a caution."""

SEED_KEYS = (VARYING_KEYS - {"select_on_test"}) | {"generations", "report_top_k"}
"""Keys in which the seeds of one entry may differ. How many generations there are and how many candidates are
averaged changes no candidate, and `Entry.top_mean` is of one number only."""

METHOD_KEYS = (
    "augment.", "consistency.", "ensemble.", "evalnet.", "joint.", "mask.", "model.width_per_generation",
    "num_nets",
)  # fmt: skip
"""Beginnings of keys on which a baseline's nets do not depend."""

DATA = "data"
"""Stands among the keys for the hash of the packed data."""

SHARE_KEYS = {"data.label_fraction", "train.steps_per_epoch"}
"""Keys in which runs at several shares of labels differ, as published (methods.md 2.1)."""

FEWER_LABELS = {"fdt": "ldt", "aldt": "ldt"}
"""Methods without pseudo-labels → their baseline with fewer or plain labels."""

Published = dict[tuple[str, str, int | None, str], float]
"""(dataset, method, generation, metric) → test value in the paper."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean over seeds; `sd` with n − 1, None for one seed."""

    mean: float
    sd: float | None
    n: int


def summarize_seeds(values: Iterable[float | None]) -> Spread | None:
    """Mean and standard deviation of the known values; None if there are none."""
    known = [float(value) for value in values if value is not None and not pd.isna(value)]
    if not known:
        return None
    # statistics, not pandas: its sums are exact, so that equal results in another order of runs stay equal.
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """Test results of one method at one generation (None: the method has none)."""

    method: str
    generation: int | None
    results: pd.DataFrame
    """Columns of `RunRecord.results`, and of each row `run` (a number), `report_top_k`, `select_on_test`."""
    ensemble: pd.DataFrame | None = None
    """Such rows of the best candidates together, of generational methods that have several."""

    @property
    def num_seeds(self) -> int:
        """Number of seeds with results."""
        return self.results["seed"].nunique()

    @property
    def ranked_on_test(self) -> bool:
        """Whether the candidates of any seed were ranked on the test split."""
        return bool(self.results["select_on_test"].any())

    def best(self, metric: str, class_name: str = "") -> Spread | None:
        """Value of the candidate ranked first: on val, unless `ranked_on_test`."""
        return self._best.get((metric, class_name))

    @functools.cached_property
    def _best(self) -> dict[tuple[str, str], Spread | None]:
        first = self.results[self.results["rank"] == 1]
        return {key: summarize_seeds(values) for key, values in first.groupby(["metric", "class_name"]).value}

    def count_images(self) -> dict[int, dict[tuple[str, str], float]]:
        """Seed → `image_counts.COUNTS` of the candidate ranked first, by metric and class name."""
        rows = self.results[(self.results["rank"] == 1) & self.results["metric"].isin(COUNTS)]
        counts: dict[int, dict[tuple[str, str], float]] = {}
        for row in rows.itertuples():
            counts.setdefault(int(row.seed), {})[row.metric, row.class_name] = row.value
        return counts

    def top_mean(self, metric: str) -> Spread | None:
        """Mean value of the `config.report_top_k` candidates ranked first; None where runs differ in it."""
        rows = self._select_means(metric)
        if rows["report_top_k"].nunique() > 1:
            return None
        rows = rows[rows["rank"] <= rows["report_top_k"]]
        # A candidate without a value would make the mean one of fewer than it says: fmean then gives NaN.
        return summarize_seeds(
            statistics.fmean(values) for _, values in rows.groupby("seed", sort=False).value
        )

    def together(self, metric: str) -> Spread | None:
        """Value of the mean probability of the best candidates; None without such rows."""
        if self.ensemble is None:
            return None
        rows = self.ensemble[(self.ensemble["metric"] == metric) & (self.ensemble["class_name"] == "")]
        return summarize_seeds(rows["value"])

    @property
    def top_count(self) -> int:
        """Number of candidates that `top_mean` is of: no more than there are."""
        return min(int(self.results["report_top_k"].max()), int(self.results["rank"].max()))

    def candidates(self, metric: str) -> list[float]:
        """Values of all candidates of all seeds."""
        return self._select_means(metric)["value"].dropna().tolist()

    def _select_means(self, metric: str) -> pd.DataFrame:
        return self.results[(self.results["metric"] == metric) & (self.results["class_name"] == "")]


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetResults:
    """Test results of all runs of one dataset."""

    runs: Sequence[RunRecord]
    entries: tuple[Entry, ...]
    """In the order of the page."""
    published: Published

    @property
    def spec(self) -> DatasetSpec:
        """Spec of the dataset."""
        return self.runs[0].spec

    @property
    def metric(self) -> str:
        """The dataset's primary metric."""
        return self.spec.primary_metric

    @property
    def metric_title(self) -> str:
        """Title of the primary metric."""
        return names.metric_title(self.metric)

    @property
    def metrics(self) -> list[str]:
        """Metrics that have a mean over classes and are no numbers of images, the primary one first."""
        means = (
            entry.results[entry.results["class_name"] == ""]["metric"].unique() for entry in self.entries
        )
        metrics = dict.fromkeys(name for name in itertools.chain.from_iterable(means) if name not in COUNTS)
        return sorted(metrics, key=lambda metric: metric != self.metric)

    @property
    def report_top_k(self) -> str:
        """How many candidates `Entry.top_mean` averages: `2`, or `2/3` where entries differ in it."""
        return "/".join(map(str, sorted({entry.top_count for entry in self.entries})))

    def training_extents(self, entry: Entry) -> list[tuple[int, int]]:
        """Optimizer steps and images seen of each net of an entry, sorted; several where runs differ."""
        extents: set[tuple[int, int]] = set()
        for run in self.runs:
            extents |= run.training_extents(entry.method, entry.generation)
        return sorted(extents)

    def published_value(self, method: str, generation: int | None, metric: str | None = None) -> float | None:
        """Test value in the paper; without `metric` that of the primary metric."""
        return self.published.get((self.spec.name, method, generation, metric or self.metric))

    def gap(self, method: str, generation: int | None, reference: str) -> Spread | None:
        """`compute_gap` of the primary metric."""
        return compute_gap(self.runs, method, generation, reference, self.metric)


def _concat_results(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Test results of the runs, with each seed of a method and generation once, and columns of their runs."""
    tables = [
        run.test_results.assign(
            run=i, report_top_k=run.config.get("report_top_k", 1), select_on_test=run.select_on_test
        )
        for i, run in enumerate(runs)
    ]
    results = pd.concat(tables, ignore_index=True)
    first_run = results.groupby(["method", "generation", "seed"], dropna=False)["run"].transform("min")
    return results[results["run"] == first_run]


def collect_results(runs: Sequence[RunRecord], published: Published | None = None) -> DatasetResults:
    """Results of one dataset's runs.

    Args:
        runs: of one dataset.
        published: values to show next to them; by default those of `read_published`.
    """
    own, ensembles = split_ensembles(dict(group_by_entry(_concat_results(runs))), names.find_single)
    entries = [Entry(*key, rows, ensembles.get(key)) for key, rows in own.items()]
    appearance = list(dict.fromkeys(entry.method for entry in entries))

    def position(entry: Entry) -> tuple[int, int, int]:
        generation = -1 if entry.generation is None else entry.generation
        return names.method_order(entry.method), appearance.index(entry.method), generation

    published = read_published(runs) if published is None else published
    return DatasetResults(runs, tuple(sorted(entries, key=position)), published)


def group_by_entry(results: pd.DataFrame) -> Iterator[tuple[tuple[str, int | None], pd.DataFrame]]:
    """((method, generation), its rows) in the order of the rows."""
    for (method, generation), rows in results.groupby(["method", "generation"], dropna=False, sort=False):
        yield (method, to_generation(generation)), rows


def group_by_dataset(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Dataset → its runs in the order of their methods on the page, see `disambiguate_runs`."""
    groups: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: names.method_order(run.method)):
        groups.setdefault(run.spec.name, []).append(run)
    return {name: disambiguate_runs(group) for name, group in groups.items()}


def group_by_method(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Method → its runs, in the order of the runs."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.method, []).append(run)
    return groups


def select_illustrated(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The run with the lowest seed of every dataset and method: more images would show nothing more."""
    first: dict[tuple[str, str], RunRecord] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        first.setdefault((run.spec.name, run.method), run)
    return list(first.values())


def find_baselines(runs: Sequence[RunRecord], method: str) -> list[str]:
    """Baselines of a method: those of its runs, or LDT for ALDT and FDT; empty for LDT itself."""
    baselines = dict.fromkeys(run.baseline for run in runs if run.method == method and run.baseline != method)
    base = names.base_name(method)
    if not baselines and base in FEWER_LABELS:
        baselines = {FEWER_LABELS[base]: None}
    # A variant is compared with the baseline of the same settings, if there is one.
    measured = {name for run in runs for name in run.results["method"]}
    variants = {name: name + method.removeprefix(base) for name in baselines}
    return [variant if variant in measured else name for name, variant in variants.items()]


def compute_gap(
    runs: Sequence[RunRecord], method: str, generation: int | None, reference: str, metric: str
) -> Spread | None:
    """Test value of a method minus that of a reference method without generations, seed by seed.

    What a seed does to both values cancels in their difference, so that the standard deviation is that of the
    gap. None where no seed has both values.
    """
    key, reference_key = (method, generation, metric), (reference, None, metric)
    differences: dict[int, float] = {}
    for run in runs:
        if run.seed in differences or key not in run.best_test_values:
            continue
        # The same run's reference first: the same seed on another machine may give other values.
        for partner in (run, *runs):
            if partner.seed == run.seed and reference_key in partner.best_test_values:
                differences[run.seed] = run.best_test_values[key] - partner.best_test_values[reference_key]
                break
    return summarize_seeds(differences.values())


def read_published(runs: Sequence[RunRecord] = ()) -> Published:
    """The published test values.

    Args:
        runs: whose results are shown. A value is left out beside runs with another share of labels; where
            runs of one method differ in the share, each has the value of its own (`disambiguate_runs`).
    """
    text = resources.files("imjax.report").joinpath("published.csv").read_text(encoding="utf-8")
    published = {}
    for line in csv.DictReader(text.splitlines()):
        generation = int(line["generation"]) if line["generation"] else None
        # Without a share in the table all labels were used.
        share = float(line["labels"]) if line["labels"] else None
        for name in _names_at_share(line["method"], share, runs):
            published[line["dataset"], name, generation, line["metric"]] = float(line["value"])
    return published


def _names_at_share(method: str, share: float | None, runs: Sequence[RunRecord]) -> set[str]:
    """Names under which the runs show a method that all of them gave this share of labels."""
    names_of = {run: run.variant_names.get(method, method) for run in runs}
    # A method that no run has may be named beside all of them.
    having = [run for run, name in names_of.items() if name in set(run.results["method"])] or list(runs)
    other = {
        names_of[run]
        for run in having
        if share is not None and not math.isclose(run.config["data"]["label_fraction"], share)
    }
    # A variant in anything else is not what was published.
    varied = {
        names_of[run] for run in having if names_of[run] != method and not run.variant_keys <= SHARE_KEYS
    }
    return (set(names_of[run] for run in having) or {method}) - other - varied


def disambiguate_runs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs of one dataset, with the differing settings added to the method's name: `im (members 3)`.

    Results of one method are pooled as seeds only if their runs have the same data and agree in every key
    that the nets depend on, but the seed. A baseline's are also kept apart where a seed that both runs have
    gave other results; where it gave the same, as LDT does for every size of ensemble, they are one.
    """
    keys = {method: _find_differing_keys(group) for method, group in group_by_method(runs).items()}
    settings = {run: _format_settings(run, keys[run.method], runs) for run in runs}
    variants: dict[RunRecord, dict[str, str]] = {run: {} for run in runs}
    variant_keys = {run: set(keys[run.method]) for run in runs}
    for method in dict.fromkeys(name for run in runs for name in run.results["method"]):
        having = [run for run in runs if method in set(run.results["method"])]
        depends = [key for key in _find_differing_keys(having) if not key.startswith(METHOD_KEYS)]
        texts = {run: _format_settings(run, depends, runs) for run in having}
        is_other = _results_differ(texts, method) is not False
        for run in having:
            if method in (run.method, run.method + ENSEMBLE):
                text = settings[run]
            elif depends and is_other:
                text = texts[run]
                variant_keys[run] |= set(depends)
            else:
                text = settings[run] if _results_differ(settings, method) else ""
            if text:
                variants[run][method] = names.variant_name(method, text)
    return [
        dataclasses.replace(
            run,
            results=run.results.assign(method=run.results["method"].replace(variants[run])),
            variant_names=variants[run] | _name_unmeasured(run, settings[run]),
            variant_keys=frozenset(variant_keys[run]),
        )
        for run in runs
    ]


def _name_unmeasured(run: RunRecord, text: str) -> dict[str, str]:
    """The run's own method, which may have no results yet."""
    return {run.method: names.variant_name(run.method, text)} if text else {}


def _find_differing_keys(runs: Sequence[RunRecord]) -> list[str]:
    flats = [_flatten_settings(run) for run in runs]
    keys = sorted(set().union(*flats) - SEED_KEYS)
    return [key for key in keys if len({str(flat.get(key)) for flat in flats}) > 1]


def _flatten_settings(run: RunRecord) -> dict[str, Any]:
    """Keys of the configuration, and the hash of the data; a missing `select_on_test` is False."""
    return {"select_on_test": False} | flatten(run.config) | {DATA: run.record.get("data", "")}


def _format_settings(run: RunRecord, keys: Sequence[str], runs: Sequence[RunRecord]) -> str:
    flat = _flatten_settings(run)
    # Where keys of the data differ, their hash says nothing more.
    shown = [key for key in keys if key != DATA or not any(key.startswith("data.") for key in keys)]
    parts = (f"{key.split('.')[-1]} {flat.get(key, 'absent')}" for key in shown if key != DATA)
    return ", ".join([*parts, *([_name_data(run, runs)] if DATA in shown else [])])


def _name_data(run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """The data's folder, or its hash where others of that folder have other data."""
    folder, digest = run.config["data"].get("dir", ""), run.record.get("data", "")
    same = {other.record.get("data", "") for other in runs if other.config["data"].get("dir", "") == folder}
    return f"data {folder}" if folder and len(same) == 1 else f"data {digest[:8] or 'not recorded'}"


def _results_differ(settings: dict[RunRecord, str], method: str) -> bool | None:
    """Whether runs with different settings have different results of a method; None if no seed is in two."""
    first: dict[int, tuple[str, pd.DataFrame]] = {}
    compared = False
    for run, text in settings.items():
        rows = run.results[run.results["method"] == method].reset_index(drop=True)
        if not len(rows):
            continue
        other, shown = first.setdefault(run.seed, (text, rows))
        if other != text:
            compared = True
            if not shown.equals(rows):
                return True
    return False if compared else None
