"""Pages on several methods, seeds and datasets: means, gaps and warnings."""

from __future__ import annotations

import pytest
from pages import page, row, svg_of

from imjax.report import aggregate, names, plots, pseudo_labels, tables
from imjax.report.load import read_run

ISIC = {
    "name": "isic2018", "title": "ISIC 2018", "kind": "binary", "classes": ["lesion"],
    "palette": [[0, 0, 255]], "primary_metric": "iou", "selection_metric": "soft_iou",
}  # fmt: skip
LDT = (0.60, 0.66, 0.69)
"""Test IoU per seed of the best candidate of LDT."""
IM = {0: (0.66, 0.68, 0.70), 1: (0.70, 0.74, 0.72)}
"""Test IoU of IM per generation and seed."""


@pytest.fixture
def sweep(tmp_path, make_run):
    """Three seeds of IM with their LDT, and of FDT, on ISIC."""
    return [
        *(
            make_run(
                tmp_path / f"im{seed}",
                {("ldt", None): [LDT[seed]], ("im", 0): [IM[0][seed]], ("im", 1): [IM[1][seed]]},
                method="im", seed=seed, spec=ISIC,
            )
            for seed in range(3)
        ),
        *(
            make_run(tmp_path / f"fdt{seed}", {("fdt", None): [0.75]}, method="fdt", seed=seed, spec=ISIC)
            for seed in range(3)
        ),
    ]  # fmt: skip


def read(folders):
    return [read_run(folder) for folder in folders]


def test_mean_deviation_and_published(tmp_path, sweep):
    _, parsed = page(sweep, tmp_path / "report.html")
    # 0.70, 0.74, 0.72: mean 0.72, deviations −0.02, 0.02, 0, sd √(0.0008 / 2) = 0.02. Published: 0.710.
    cells = next(r for r in parsed.rows if r[0] == "IM, gen. 1" and len(r) > 2)
    assert cells[1] == "0.720 ± 0.020 (3)" and cells[3:5] == ["0.710", "+0.010"]
    # 0.60, 0.66, 0.69: mean 0.65, deviations −0.05, 0.01, 0.04, sd √(0.0042 / 2) = 0.0458. Published: 0.655.
    cells = row(parsed, "LDT")
    assert cells[1] == "0.650 ± 0.046 (3)" and cells[3:5] == ["0.655", "−0.005"]


def test_gaps_are_taken_seed_by_seed(tmp_path, sweep):
    text, parsed = page(sweep, tmp_path / "report.html")
    # After generation 0: 0.06, 0.02, 0.01, mean 0.03, sd √(0.0014 / 2) = 0.026.
    # After generation 1: 0.10, 0.08, 0.03, mean 0.07, sd √(0.0026 / 2) = 0.036.
    # Published: 0.710 − 0.655 = 0.055; ours is 0.07 − 0.055 = 0.015 more.
    last = ["+0.070 ± 0.036", "+0.055", "+0.015", "3", "+0.030 ± 0.026", "+0.070 ± 0.036"]
    assert row(parsed, "LDT → IM, gen. 1")[1:] == last
    # 0.15, 0.09, 0.06: mean 0.10, sd √(0.0042 / 2) = 0.046. Published: 0.745 − 0.655 = 0.090.
    assert row(parsed, "LDT → FDT")[1:] == ["+0.100 ± 0.046", "+0.090", "+0.010", "3", "–", "–"]
    assert "+0.070 against LDT, its baseline (0.650)" in text
    assert "−0.030 against FDT, all labels (0.750)" in text


def test_gaps_of_what_was_never_published(tmp_path, make_run):
    spec = ISIC | {"name": "mine"}
    scores = {("ldt", None): [0.6], ("im", 0): [0.7]}
    folder = make_run(tmp_path / "run", scores, method="im", spec=spec, generations=1)
    _, parsed = page([folder], tmp_path / "report.html")
    assert row(parsed, "baseline → method")[1:] == ["gap", "seeds", "gap, gen. 0"]
    assert row(parsed, "LDT → IM, gen. 0")[1:] == ["+0.100", "1", "+0.100"]


def test_a_gap_needs_a_common_seed(tmp_path, make_run):
    im = make_run(tmp_path / "im", {("im", 0): [0.7]}, method="im", seed=0, spec=ISIC, generations=1)
    ldt = [
        make_run(tmp_path / f"ldt{seed}", {("ldt", None): [value]}, method="ldt", seed=seed, spec=ISIC)
        for seed, value in ((0, 0.6), (1, 0.1))
    ]
    # Seed 1 of LDT has no IM, and would make the gap larger.
    gap = aggregate.compute_gap(read([im, *ldt]), "im", 0, "ldt", "iou")
    assert gap.mean == pytest.approx(0.1) and (gap.sd, gap.n) == (None, 1)
    assert aggregate.compute_gap(read([im, ldt[1]]), "im", 0, "ldt", "iou") is None
    # The baseline of the same run counts before another run's of that seed.
    own = make_run(
        tmp_path / "own", {("ldt", None): [0.5], ("im", 0): [0.7]}, method="im", spec=ISIC, generations=1
    )
    assert aggregate.compute_gap(read([ldt[0], own]), "im", 0, "ldt", "iou").mean == pytest.approx(0.2)


def test_methods_are_in_the_order_of_the_paper(tmp_path, make_run):
    made = [
        make_run(tmp_path / name, {(name, generation): [0.6]}, method=name, spec=ISIC, generations=1)
        for name, generation in (
            ("gt_im_pp", 0),
            ("im", 0),
            ("consistency", None),
            ("mine", 0),
            ("fdt", None),
        )
    ]
    entries = aggregate.collect_results(read(made)).entries
    assert [entry.method for entry in entries] == ["fdt", "consistency", "im", "gt_im_pp", "mine"]
    text, parsed = page(made, tmp_path / "report.html")
    assert row(parsed, "Consistency Loss") and row(parsed, "GT-IM++ (oracle), gen. 0")
    assert "5 methods on ISIC 2018" in text


def test_the_oracle_is_never_the_best(tmp_path, make_run):
    values = {"im": 0.6, "im_p": 0.7, "im_pp": 0.65, "gt_im_pp": 0.9}
    made = [
        make_run(tmp_path / name, {(name, 0): [value]}, method=name, spec=ISIC, generations=1)
        for name, value in values.items()
    ]
    text, _ = page(made, tmp_path / "report.html")
    assert "Best of 3 methods: IM+ reaches" in text


def test_lower_is_better_for_cell_counts(tmp_path, make_run):
    spec = ISIC | {"primary_metric": "mcce"}
    values = {"im": 3.0, "im_p": 2.0, "im_pp": 4.0}
    made = [
        make_run(tmp_path / name, {(name, 0): [value]}, method=name, spec=spec, generations=1)
        for name, value in values.items()
    ]
    text, _ = page(made, tmp_path / "report.html")
    assert "Best of 3 methods: IM+ reaches" in text
    table = tables.tabulate_results(aggregate.collect_results(read(made), {}))
    assert table.best == {(1, 1)} and "lower is for cell count error" in table.caption


def test_one_panel_per_dataset_and_a_line_per_method(tmp_path, sweep, make_run):
    suim = make_run(tmp_path / "suim", {("ldt", None): [0.3], ("im_pp", 0): [0.4]}, generations=1)
    _, parsed = page([*sweep, suim], tmp_path / "report.html")
    panels = [svg for svg in map(svg_of, parsed.addresses) if ">no gen.<" in svg]
    assert len(panels) == 2
    assert ">IM<" in panels[0] and ">FDT<" in panels[0] and ">IM++<" not in panels[0]
    assert ">IM++<" in panels[1] and ">hollow: published<" in panels[1]


def test_methods_are_drawn_differently_without_colors_too():
    styles = [(style.marker, str(style.dash)) for style in plots.LINE_STYLES.values()]
    assert len(set(styles)) == len(styles)
    # Joint methods have no curves.
    joint = {name for name in names.METHODS if name.startswith(tuple(names.JOINT_METHODS))}
    assert set(plots.LINE_STYLES) == set(names.METHODS) - joint


def test_joint_methods_are_rows_of_points(tmp_path, make_run):
    made = [
        make_run(tmp_path / name, {(name, None): [0.5, 0.4]}, method=name)
        for name in ("supervised", "cps", "cps_metassl")
    ]
    text, parsed = page(made, tmp_path / "report.html")
    panels = [svg for svg in map(svg_of, parsed.addresses) if ">CPS + MetaSSL<" in svg]
    assert len(panels) == 1 and ">no gen.<" not in panels[0]
    assert "CPS + MetaSSL" in text


LABELS = {
    "kept_share": 0.9, "inconsistent_share": 0.25, "pseudo_foreground": 0.18, "labeled_foreground": 0.2,
    "collapsed": 0.0, "pseudo_iou": 0.8,
}  # fmt: skip


def labeled(make_run, folder, seed=0, **changes):
    scores = {("ldt", None): [0.6], ("im", 0): [0.7]}
    labeling = {0: LABELS | changes}
    return make_run(folder, scores, method="im", seed=seed, spec=ISIC, generations=1, labeling=labeling)


def test_pseudo_label_statistics(tmp_path, make_run):
    made = [
        labeled(make_run, tmp_path / str(seed), seed, kept_share=kept)
        for seed, kept in enumerate((0.8, 0.9, 1.0))
    ]
    text, parsed = page(made, tmp_path / "report.html")
    table = parsed.rows[next(i for i, r in enumerate(parsed.rows) if r[0] == "for generation") :]
    head = ["pairs kept", "IM, share of the image", "foreground, pseudo-labels", "foreground, labeled set"]
    assert table[0][1:] == [*head, "copies per pair", "pseudo-label IoU"]
    # No EvalNet score: none of the runs has one. sd of 0.8, 0.9, 1.0 is 0.1.
    same = ["25.0 ± 0.0 %", "18.0 ± 0.0 %", "20.0 ± 0.0 %", "2.50", "0.800"]
    assert table[1] == ["0, by LDT", "90.0 ± 10.0 %", *same]
    assert 'class="alarm"' not in text


def test_label_metrics_are_read_from_done_json_too(tmp_path, make_run):
    folder = labeled(make_run, tmp_path / "run", kept_share=None)
    done = folder / "stages/02_label_g0/DONE.json"
    done.write_text(done.read_text().replace('"digest"', '"kept_share": 0.25, "digest"'))
    assert read_run(folder).label_metric(0, "kept_share") == 0.25
    assert read_run(folder).label_metric(0, "pseudo_foreground") == 0.18
    assert read_run(folder).label_metric(1, "kept_share") is None


def test_collapse_warning_is_at_the_top(tmp_path, make_run):
    made = [
        labeled(make_run, tmp_path / "0", 0),
        labeled(make_run, tmp_path / "1", 1, collapsed=1.0, pseudo_foreground=0.0),
    ]
    text, parsed = page(made, tmp_path / "report.html")
    assert text.count('class="alarm"') == 1
    assert "collapsed: IM, generation 0, seed 1:" in text
    assert "(foreground 0.0 %, in the labeled set 20.0 %)" in text
    assert text.index('class="alarm"') < text.index("<h2")
    assert row(parsed, "0, by LDT ⚠")
    assert "seeds" not in pseudo_labels.warn_useless_labels(read(made))[0]


def test_nothing_kept_gives_one_warning(tmp_path, make_run):
    made = [labeled(make_run, tmp_path / str(s), s, kept_share=0.0, collapsed=1.0) for s in (0, 1)]
    text, _ = page(made, tmp_path / "report.html")
    assert text.count('class="alarm"') == 1 and "Nothing kept: IM, generation 0, seeds 0, 1:" in text


def test_ranking_on_test_is_flagged(tmp_path, make_run):
    def make(name, seed, **config):
        return make_run(tmp_path / name, {("ldt", None): [0.6]}, "ldt", seed, spec=ISIC, **config)

    old, new = make("old", 0), make("new", 1, select_on_test=False)
    text, _ = page([old, new], tmp_path / "report.html")
    # Absent and False are the same, and no difference to caution against.
    assert "TEST" not in text and 'class="caution"' not in text and "best on val" in text
    replica = make("replica", 2, select_on_test=True)
    text, parsed = page([old, replica], tmp_path / "report.html")
    assert text.count('class="alarm"') == 1
    assert (
        "ranked on TEST: for replication only. select_on_test is true in LDT (select_on_test True), seed 2:"
        in text
    )
    # Two ways to select are two entries, not two seeds of one.
    assert row(parsed, "LDT (select_on_test True) (ranked on TEST)")[1] == "0.6000"
    assert row(parsed, "LDT (select_on_test False)")[1] == "0.6000"
    assert any("select_on_test True" in svg_of(address) for address in parsed.addresses)
    text, _ = page([replica], tmp_path / "report.html")
    assert "in every run here" in text and "that is best on TEST" in text and "best on val" not in text


def test_mask_table_is_omitted_without_masks(tmp_path, make_run):
    folder = labeled(make_run, tmp_path / "run", inconsistent_pixels=None)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(x for x in lines if "inconsistent_pixels" not in x))
    assert pseudo_labels.measure_masks(read([folder])) == ()
    text, parsed = page([folder], tmp_path / "report.html")
    assert row(parsed, "0, by LDT") and "IM, unlabeled" not in text
    assert plots.plot_learning_curves(read_run(folder))
