"""Ablations: runs of one method with different settings on one page."""

import json

import pytest
from pages import page, row, svg_of

from imjax.report import aggregate, plots
from imjax.report.aggregate import disambiguate_runs
from imjax.report.load import read_run


@pytest.fixture
def ablation(tmp_path, make_run):
    """IM++ with 2 and 3 members, two seeds each, on the same LDT nets."""
    return [
        make_run(
            tmp_path / f"n{n}s{seed}",
            {("ldt", None): [0.5 + seed / 10], ("im_pp", 0): [0.5 + n / 20 + seed / 10]},
            seed=seed, generations=1, ensemble={"members": n},
        )
        for n in (2, 3)
        for seed in (0, 1)
    ]  # fmt: skip


def test_settings_are_in_the_names_and_the_shared_baseline_is_one(ablation, tmp_path):
    text, parsed = page(ablation, tmp_path / "report.html")
    # Seeds 0 and 1 of n = 2: 0.60 and 0.70; of n = 3: 0.65 and 0.75; of LDT 0.50 and 0.60.
    assert row(parsed, "IM++ (members 2), gen. 0")[1] == "0.650 ± 0.071 (2)"
    assert row(parsed, "IM++ (members 3), gen. 0")[1] == "0.700 ± 0.071 (2)"
    assert [r[1] for r in parsed.rows if r[0] == "LDT" and "±" in r[1]] == ["0.550 ± 0.071 (2)"]
    assert row(parsed, "LDT → IM++ (members 3), gen. 0")[1] == "+0.150 ± 0.000"
    assert "differ in more than method and seed" not in text and "the first is shown" not in text


def test_baselines_that_differ_are_renamed_too(tmp_path, make_run):
    folders = [
        make_run(
            tmp_path / str(share),
            {("ldt", None): [share], ("im_pp", 0): [2 * share]},
            generations=1, labels={"label_fraction": share},
        )
        for share in (0.1, 0.3)
    ]  # fmt: skip
    folders.append(make_run(tmp_path / "fdt", {("fdt", None): [0.9]}, method="fdt"))
    runs = disambiguate_runs([read_run(folder) for folder in folders])
    assert [run.method for run in runs] == [
        "im_pp (label_fraction 0.1)",
        "im_pp (label_fraction 0.3)",
        "fdt",
    ]
    assert runs[0].baseline == "ldt (label_fraction 0.1)"
    gap = aggregate.compute_gap(runs, runs[1].method, 0, runs[1].baseline, "miou")
    assert gap.mean == pytest.approx(0.3)


def test_a_chart_draws_every_setting_in_its_own_way(ablation):
    runs = disambiguate_runs([read_run(folder) for folder in ablation])
    chart = plots.plot_generations(aggregate.collect_results(runs, {}))
    assert "members 2" in svg_of(chart.src) and "members 3" in svg_of(chart.src)
    assert len(set(plots.OTHER_STYLES)) == 12


def test_one_setting_changes_no_name(tmp_path, make_run):
    folders = [make_run(tmp_path / str(s), {("im_pp", 0): [0.5]}, seed=s) for s in (0, 1)]
    assert {run.method for run in disambiguate_runs([read_run(folder) for folder in folders])} == {"im_pp"}


def on_data(folder, digest, where=""):
    """The run, as if it were on packed data with this hash from that folder."""
    record = json.loads((folder / "config.json").read_text())
    record["data"], record["config"]["data"]["dir"] = digest, where
    (folder / "config.json").write_text(json.dumps(record))
    return folder


def entry_names(folders):
    results = aggregate.collect_results(disambiguate_runs([read_run(folder) for folder in folders]), {})
    return {entry.method: entry.num_seeds for entry in results.entries}


def test_runs_on_other_data_are_no_seeds_of_one(tmp_path, make_run):
    scores = {("ldt", None): [0.5]}
    made = [make_run(tmp_path / str(s) / "run", scores, method="ldt", seed=s) for s in (0, 1, 2)]
    # The same last name, as of two folders called `cells`; the third is of the first's kind.
    digests = ("a" * 64, "b" * 64, "a" * 64)
    for folder, digest, parent in zip(made, digests, "xyx", strict=True):
        on_data(folder, digest, f"/{parent}/cells")
    assert entry_names(made) == {"ldt (data /x/cells)": 2, "ldt (data /y/cells)": 1}
    # One folder whose files changed.
    for folder, digest in zip(made, digests, strict=True):
        on_data(folder, digest, "/x/cells")
    assert entry_names(made) == {"ldt (data aaaaaaaa)": 2, "ldt (data bbbbbbbb)": 1}
    # Elsewhere, but the same.
    for folder, parent in zip(made, "xyz", strict=True):
        on_data(folder, "a" * 64, f"/{parent}/cells")
    assert entry_names(made) == {"ldt": 3}


def test_seeds_of_a_baseline_agree_in_what_it_depends_on(tmp_path, make_run):
    # Two methods with a run each: their LDT nets have other seeds and another number of epochs.
    made = [
        make_run(tmp_path / "im", {("ldt", None): [0.5], ("im", 0): [0.6]}, method="im", seed=0,
                 generations=1, train={"epochs": 10}),
        make_run(tmp_path / "im_p", {("ldt", None): [0.7], ("im_p", 0): [0.8]}, method="im_p", seed=1,
                 generations=1, train={"epochs": 20}),
    ]  # fmt: skip
    expected = {"ldt (epochs 10)": 1, "ldt (epochs 20)": 1, "im": 1, "im_p": 1}
    assert entry_names(made) == expected
    # What only the method reads keeps them together.
    made = [
        make_run(tmp_path / f"n{seed}", {("ldt", None): [0.5], (method, 0): [0.6]}, method=method, seed=seed,
                 generations=1, ensemble={"members": 2 + seed})
        for seed, method in enumerate(("im", "im_p"))
    ]  # fmt: skip
    assert entry_names(made) == {"ldt": 2, "im": 1, "im_p": 1}


def test_an_ensemble_is_told_apart_as_its_method(tmp_path, make_run):
    made = [
        make_run(tmp_path / str(seed), {("cps", None): [0.5], ("cps_ensemble", None): [0.6]}, method="cps",
                 seed=seed, joint={"confidence_threshold": seed / 2})
        for seed in (0, 1)
    ]  # fmt: skip
    values = ("0.0", "0.5")
    methods = ("cps", "cps_ensemble")
    assert entry_names(made) == {f"{m} (confidence_threshold {v})": 1 for m in methods for v in values}
