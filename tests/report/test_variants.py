"""Ablations: runs of one method with different settings on one page."""

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
