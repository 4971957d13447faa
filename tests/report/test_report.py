from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pages import page, row, svg_of
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.report import aggregate, plots, tables, timing, write_report
from imjax.report.load import read_run

ROOT = Path(__file__).resolve().parents[2]
START = {("ldt", None): [0.40, 0.44, 0.30]}
FIRST = START | {("im_pp", 0): [0.50, 0.48]}
WHOLE = FIRST | {("im_pp", 1): [0.55, 0.57]}


def test_published_values_are_those_of_the_same_label_share(tmp_path, make_run):
    """NEU-Seg is published at five label shares (methods.md 2.1); FDT always has all labels."""
    key = ("neu_seg", "simeps", None, "miou_dataset")
    for share, value in ((0.01, 0.704), (0.1, 0.7595), (0.5, 0.799), (0.2, None)):
        runs = [read_run(make_run(tmp_path / str(share), {("im_pp", 0): [0.5]}, share=share))]
        paper = aggregate.read_published(runs)
        assert paper.get(key) == value and ("suim", "fdt", None, "miou") in paper
        assert (("suim", "im_pp", 1, "miou") in paper) is (share == 0.1)


NEU = {
    "name": "neu_seg", "title": "NEU-Seg", "kind": "multiclass", "classes": ["background", "scratch"],
    "palette": [[0, 0, 0], [0, 0, 255]], "background": True, "primary_metric": "miou_dataset",
}  # fmt: skip


def test_each_share_of_a_sweep_has_its_own_published_value(tmp_path, make_run):
    """A value published for another share stands beside no run, and other settings have none."""

    def made(share, value, method="simeps", **more):
        folder = tmp_path / f"{method}{share}{len(more)}"
        config = {"train": {"steps_per_epoch": round(100 * share)}} | more
        scores = {(method, None): [value]}
        return make_run(folder, scores, method, spec=NEU, share=share, start="supervised", **config)

    sweep = [made(0.01, 0.70), made(0.1, 0.75), made(0.2, 0.77), made(0.1, 0.72, "supervised")]
    text, parsed = page(sweep, tmp_path / "report.html")
    titles = [f"simEps (label_fraction {share}, steps_per_epoch {n})" for share, n in ((0.01, 1), (0.1, 10))]
    assert row(parsed, titles[0])[3:5] == ["0.704", "−0.004"]
    # 0.7595 in the paper.
    assert row(parsed, titles[1])[3:5] == ["0.759", "−0.009"]
    assert row(parsed, "simEps (label_fraction 0.2, steps_per_epoch 20)")[3:5] == ["–", "–"]
    assert row(parsed, "Supervised")[3:5] == ["0.729", "−0.009"]
    both = [*sweep, made(0.01, 0.65, "supervised")]
    _, parsed = page(both, tmp_path / "both.html")
    for settings, gaps in (
        # 0.70 − 0.65, 0.704 − 0.640; 0.75 − 0.72, 0.7595 − 0.729.
        ("(label_fraction 0.01, steps_per_epoch 1)", ["+0.050", "+0.064"]),
        ("(label_fraction 0.1, steps_per_epoch 10)", ["+0.030", "+0.030"]),
    ):
        assert row(parsed, f"Supervised {settings} → simEps {settings}")[1:3] == gaps
    kappa = [sweep[1], made(0.1, 0.76, joint={"kappa": 20.0})]
    _, parsed = page(kappa, tmp_path / "kappa.html")
    assert not [cells for cells in parsed.rows if "published mIoU, dataset" in cells]
    later = made(0.1, 0.74, "uaps")
    _, parsed = page([sweep[1], later], tmp_path / "tenth.html")
    assert row(parsed, "simEps")[3] == "0.759" and row(parsed, "UAPS")[3] == "0.758"


def test_a_leaking_split_has_a_warning(tmp_path, make_run):
    text, _ = page([make_run(tmp_path / "leaks", {("im_pp", 0): [0.5]}, seen=2)], tmp_path / "leaks.html")
    assert "2 of 3 test images have a copy of their scene in training or val" in text
    text, _ = page([make_run(tmp_path / "tight", {("im_pp", 0): [0.5]})], tmp_path / "tight.html")
    assert "copy of their scene" not in text


def test_table_has_measured_and_published_values(tmp_path, make_run):
    text, parsed = page([make_run(tmp_path / "run", WHOLE)], tmp_path / "report.html")
    # suim,im_pp,1,miou is 0.461 in the paper; mean of the best 2 is (0.55 + 0.57) / 2.
    paper = aggregate.read_published()["suim", "im_pp", 1, "miou"]
    expected = ["IM++, gen. 1", "0.5500", "0.5600", f"{paper:.3f}", f"{0.55 - paper:+.3f}", "0.2750"]
    assert row(parsed, "IM++, gen. 1") == expected
    assert row(parsed, "LDT")[1:3] == ["0.4000", "0.4200"]
    assert row(parsed, "diver") == ["diver", "0.100", "0.125", "0.138"]
    assert "+0.150 against LDT, its baseline (0.400)" in text
    assert "Generation 1, training" in text and "4 min 18 s" not in text
    assert row(parsed, "all stages")[2] == "6 min 23 s"  # 3 × 125.0 + 2 × 3.8


def test_masks_are_listed_with_the_nets_that_made_them(tmp_path, make_run):
    _, parsed = page([make_run(tmp_path / "run", WHOLE)], tmp_path / "report.html")
    # 16, 8 and 4 of 8 × 8 pixels.
    sizes = ["16 (25.0 %)", "8 (12.5 %)", "4 (6.2 %)"]
    table = parsed.rows[parsed.rows.index(next(r for r in parsed.rows if r[0] == "nets")) :]
    assert table[1] == ["LDT", "0", *sizes]
    assert table[2][1:3] == ["1", "15 (23.4 %)"]
    assert table[3] == ["generation 1", "–", "–", *sizes[1:]]


def test_labels_are_listed_with_the_generation_that_learns_from_them(tmp_path, make_run):
    _, parsed = page([make_run(tmp_path / "run", WHOLE)], tmp_path / "report.html")
    assert row(parsed, "for generation")[1:] == ["pairs kept", "copies per pair", "pseudo-label mIoU"]
    assert row(parsed, "0, by LDT")[1:] == ["50.0 %", "2.50", "0.750"]
    assert row(parsed, "1, by gen. 0")[1:] == ["50.0 %", "2.50", "0.750"]


def test_seeds_are_averaged(tmp_path, make_run):
    # 0.50, 0.53, 0.56: mean 0.53, deviations −0.03, 0, 0.03, sd √(0.0018 / 2) = 0.03.
    folders = [
        make_run(tmp_path / str(seed), {("im_pp", 0): [value, 0.4]}, seed=seed, generations=1)
        for seed, value in enumerate((0.50, 0.53, 0.56))
    ]
    text, parsed = page(folders, tmp_path / "report.html")
    assert row(parsed, "IM++, gen. 0")[1] == "0.530 ± 0.030 (3)"
    # The means of the best 2: 0.45, 0.465, 0.48.
    assert row(parsed, "IM++, gen. 0")[2] == "0.465 ± 0.015 (3)"
    assert 'class="caution"' not in text


def test_one_seed_twice_counts_once(tmp_path, make_run):
    a = make_run(tmp_path / "a", START, method="ldt")
    same = make_run(tmp_path / "b", FIRST, generations=1)
    text, parsed = page([a, same], tmp_path / "report.html")
    assert row(parsed, "LDT")[1] == "0.4000" and "with other results" not in text
    other = make_run(tmp_path / "c", {("ldt", None): [0.1]}, method="ldt", report_top_k=1)
    text, parsed = page([a, other], tmp_path / "report.html")
    assert row(parsed, "LDT")[1] == "0.4000"
    assert "with other results" in text and "report_top_k (2 / 1)" in text


def test_dropped_candidates_have_a_warning(tmp_path, make_run):
    folder = make_run(tmp_path / "a", FIRST, generations=1)
    assert "Candidates dropped" not in page([folder], tmp_path / "report.html")[0]
    path = folder / "stages" / "03_train_g0" / "train.json"
    training = json.loads(path.read_text())
    path.write_text(
        json.dumps(training | {"ranked": training["ranked"][:-1], "dropped": training["ranked"][-1:]})
    )
    metrics = folder / "metrics.jsonl"
    # A dropped candidate has no further values.
    metrics.write_text(metrics.read_text().replace('"value": 0.25}', '"value": null}'))
    text, _ = page([folder], tmp_path / "report.html")
    assert "Candidates dropped: IM++, seed 0: 1 in " in text and "no ensemble used them" in text


def test_unfinished_runs(tmp_path, make_run):
    running = make_run(tmp_path / "running", FIRST)
    text, parsed = page([running], tmp_path / "report.html")
    assert "1 of 2 generations are finished" in text and row(parsed, "IM++, gen. 0")
    begun = make_run(tmp_path / "begun", START, method="ldt")
    (begun / "results.csv").unlink()
    (begun / "stages/01_train_ldt/DONE.json").unlink()
    text, _ = page([begun], tmp_path / "report.html")
    assert "No test mIoU yet" in text and "LDT, training (not finished)" in text
    (begun / "metrics.jsonl").unlink()
    text, _ = page([begun], tmp_path / "report.html")
    assert "No epoch is finished yet" in text and "Nothing to draw yet" in text


def test_all_is_inside_and_escaped(tmp_path, make_run):
    evil = "<script>alert(1)</script> $x_1$"
    spec = {
        "name": "mine", "title": evil, "kind": "multiclass", "classes": ["inconsistent", "diver"],
        "palette": [[255, 255, 255], [0, 0, 255]], "primary_metric": "miou",
    }  # fmt: skip
    folder = make_run(tmp_path / "<img src=x>", {(evil, 0): [0.5]}, method=evil, spec=spec, generations=1)
    text, parsed = page([folder], tmp_path / "report.html")
    assert "script" not in parsed.tags and "&lt;script&gt;" in text and "&lt;img src=x&gt;" in text
    assert parsed.addresses and all(address.startswith("data:image/") for address in parsed.addresses)
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?https?:""", text)
    for address in parsed.addresses:
        assert "<script" not in svg_of(address)
    assert not list(tmp_path.glob("*.tmp"))


def test_other_kinds_of_labels(tmp_path, make_run):
    spec = {
        "name": "isic2018", "title": "ISIC", "kind": "binary", "classes": ["lesion"],
        "palette": [[0, 0, 255]], "primary_metric": "iou", "selection_metric": "soft_iou",
    }  # fmt: skip
    folder = make_run(tmp_path / "run", START, method="ldt", spec=spec)
    table = (folder / "results.csv").read_text().replace(",miou,", ",iou,").replace(",diver,", ",,")
    (folder / "results.csv").write_text(table)
    text, parsed = page([folder], tmp_path / "report.html")
    assert row(parsed, "LDT")[1:5] == ["0.4000", "0.4200", "0.655", "−0.255"]
    assert "background" in text and ">Classes</h2>" not in text


def test_missing_values_are_dashes():
    assert tables.format_metric(None) == "–" and tables.format_delta(None) == "–"
    assert aggregate.summarize_seeds([None, None]) is None
    assert aggregate.summarize_seeds([None, 0.5]) == aggregate.Spread(0.5, None, 1)
    assert timing.format_duration(59.94) == "59.9 s" and timing.format_duration(7500.0) == "2 h 05 min"


def test_a_page_of_many_runs_stays_small(tmp_path, make_run):
    wide = {("ldt", None): [0.3] * 10} | {("im_pp", g): [0.4] * 5 for g in range(3)}
    folder = make_run(tmp_path / "run", wide, size=256, epochs=50, generations=3)
    for path in folder.glob("stages/*/panels.npz"):
        path.unlink()
    write_report([folder], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 300_000


def test_charts_keep_every_digit_of_their_labels(tmp_path, make_run):
    # Equal values but for the fourth digit, so that the axis needs four.
    run = read_run(make_run(tmp_path / "run", {("ldt", None): [0.5251, 0.5257]}, method="ldt"))
    chart = plots.plot_generations(aggregate.collect_results([run], {}))
    svg = svg_of(chart.src)
    assert re.search(r">0\.525[1-7]<", svg) and "published" not in svg


def test_plots_do_not_change_matplotlib_settings(tmp_path, make_run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    run = read_run(make_run(tmp_path / "run", WHOLE))
    first = plots.plot_generations(aggregate.collect_results([run], aggregate.read_published()))
    assert first == plots.plot_generations(aggregate.collect_results([run], aggregate.read_published()))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", json.dumps({"config": {}, "spec": {}})])
def test_a_folder_that_is_no_run(tmp_path, text):
    code = ErrorCode.UNREADABLE if text is None else ErrorCode.DAMAGED
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with raises_user_error(code, tmp_path / "config.json") as caught:
        write_report([tmp_path], tmp_path / "report.html")
    assert "\n" not in str(caught.value)


def test_damaged_results(tmp_path, make_run):
    folder = make_run(tmp_path / "run", START, method="ldt")
    (folder / "results.csv").write_text("a,b\n1,2\n")
    with raises_user_error(ErrorCode.DAMAGED, folder / "results.csv"):
        write_report([folder], tmp_path / "report.html")


def test_the_command(tmp_path, make_run):
    a = make_run(tmp_path / "a", START, method="ldt")
    b = make_run(tmp_path / "b", START, method="ldt", seed=1)
    c = make_run(tmp_path / "c,d", START, method="ldt", seed=2)
    out = tmp_path / "new" / "report.html"

    def command(*flags: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-X", "importtime", "-m", "imjax.report", *flags]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)

    start = time.monotonic()
    done = command(f"--workdir={a},{b}", str(c), f"--out={out}")
    assert done.returncode == 0 and f"report: {out}" in done.stdout, done.stderr[-2000:]
    assert not re.search(r"\| +(jax|imjax\.training|matplotlib\.pyplot)$", done.stderr, re.M)
    assert time.monotonic() - start < 30
    assert "0.400 ± 0.000 (3)" in out.read_text()
    refused = command(f"--workdir={tmp_path / 'none'}", f"--out={out}")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert f"imjax: {tmp_path / 'none' / 'config.json'}" in refused.stderr.splitlines()[-1]
