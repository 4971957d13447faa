"""Parts of the page that compare runs: summary, timing, differences, images, pseudo-labels."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pages import page, row, svg_of

from imjax.config import get_config
from imjax.report import (
    aggregate,
    differences,
    images,
    plots,
    pseudo_labels,
    run_warnings,
    summary,
    tables,
    timing,
)
from imjax.report.load import read_run

ISIC = {
    "name": "isic2018", "title": "ISIC 2018", "kind": "binary", "classes": ["lesion"],
    "palette": [[0, 0, 255]], "primary_metric": "iou", "selection_metric": "soft_iou",
}  # fmt: skip


@pytest.fixture
def joint(tmp_path, make_run):
    """Three joint methods, one with an ensemble of its nets that is the best of all."""
    return [
        make_run(tmp_path / name, values, method=name, start="supervised", spec=ISIC)
        for name, values in (
            ("supervised", {("supervised", None): [0.5]}),
            ("cps", {("cps", None): [0.6], ("cps_ensemble", None): [0.7]}),
            ("simeps", {("simeps", None): [0.4]}),
        )
    ]


def write_sentences(runs):
    return summary.write_sentences(aggregate.collect_results(runs, aggregate.read_published()))


def test_the_best_of_several_methods_without_generations(joint):
    (sentence,) = write_sentences([read_run(folder) for folder in joint])
    assert sentence.startswith("Best of 3 methods: CPS, ensemble reaches a test IoU of 0.7000 with one seed")


def test_fdt_is_an_upper_bound_and_not_the_best(tmp_path, make_run):
    made = [
        make_run(tmp_path / name, {("ldt", None): [0.5], (name, 0): [value]}, method=name, spec=ISIC)
        for name, value in (("im", 0.6), ("im_p", 0.7), ("im_pp", 0.65))
    ]
    made.append(make_run(tmp_path / "fdt", {("fdt", None): [0.9]}, method="fdt", spec=ISIC))
    (sentence,) = write_sentences([read_run(folder) for folder in made])
    # LDT is one of the four; the sentence gives its gap, and that of FDT.
    assert sentence.startswith("Best of 4 methods: IM+ reaches")
    assert "+0.200 against LDT, its baseline (0.500)" in sentence
    assert "−0.200 against FDT, all labels (0.900)" in sentence


def test_one_seed_does_not_rank_methods(tmp_path, joint):
    assert page(joint, tmp_path / "report.html")[0].count("One seed each") == 1
    run = read_run(joint[0])
    (few,) = run_warnings.note_small_samples(aggregate.collect_results([run]).entries, [run])
    assert few.startswith("The test set has 3 images")
    many = dataclasses.replace(run, record=run.record | {"counts": {"test": run_warnings.MIN_TEST_IMAGES}})
    assert run_warnings.note_small_samples(aggregate.collect_results([run]).entries, [many]) == []


@pytest.mark.parametrize(
    ("epoch", "epochs", "is_short"), [(20, 20, True), (19, 20, True), (18, 20, False), (9, 9, False)]
)
def test_training_that_was_best_at_its_end_may_have_been_too_short(tmp_path, joint, epoch, epochs, is_short):
    run = read_run(joint[0])
    stages = []
    for stage in run.stages:
        # Only the candidate that is ranked first counts.
        training = stage.training | {"epochs": epochs, "epoch": [1, epoch], "ranked": [1, 0]}
        stages.append(dataclasses.replace(stage, training=training if stage.training else {}))
    notes = run_warnings.note_short_training([dataclasses.replace(run, stages=tuple(stages))])
    assert bool(notes) == is_short and all("very end of training" in note for note in notes)


def test_the_page_says_what_the_nets_started_from(tmp_path, make_run):
    model = {"backbone": "efficientnet_lite0", "weights": "imagenet"}
    folder = make_run(tmp_path / "run", {("im_pp", 0): [0.5]}, model=model, recipe="strong")
    text, _ = page([folder], tmp_path / "report.html")
    assert "efficientnet_lite0, encoder from ImageNet, strong recipe" in text


def add_metadata(folder, stage, **more):
    done = next(folder.glob(f"stages/*_{stage}")) / "DONE.json"
    done.write_text(json.dumps(json.loads(done.read_text()) | more))


def test_times_and_throughput(tmp_path, make_run):
    folder = make_run(tmp_path / "a", {("ldt", None): [0.5], ("im", 0): [0.6]}, method="im", generations=1)
    before = timing.tabulate_stages(read_run(folder))
    assert before.head == ("stage", "pairs", "time", "best epochs")
    add_metadata(folder, "train_ldt", steps=600, steps_before=0, images_per_second=412.4)
    add_metadata(folder, "train_g0", steps=600, steps_before=120, images_per_second=98.6)
    table = timing.tabulate_stages(read_run(folder))
    assert table.head == ("stage", "pairs", "time", "steps", "images/s", "best epochs")
    assert table.rows[0] == ("LDT, training", "1,234", "2 min 05 s", "600", "412", "3")
    # How long the process before the resume took is unknown.
    assert table.rows[2][2:5] == ("2 min 05 s since step 120", "600", "99")
    other = make_run(tmp_path / "b", {("ldt", None): [0.5]}, method="ldt")
    _, parsed = page([folder, other], tmp_path / "report.html")
    parsed.rows = [row for row in parsed.rows if row[-1:] == ["1 × cpu"]]
    # 125 + 3.8 + 125 s, of which training 250.
    assert row(parsed, "IM")[1:] == ["1", "4 min 14 s", "4 min 10 s", "99–412", "1 × cpu"]
    assert ["LDT", "1", "2 min 05 s", "2 min 05 s", "–", "1 × cpu"] in parsed.rows


def test_differences_between_runs(tmp_path, make_run):
    made = [
        make_run(tmp_path / f"{name}{seed}", {(name, None): [0.5]}, method=name, seed=seed, report_top_k=top)
        for name, seed, top in (("ldt", 0, 2), ("ldt", 1, 3), ("fdt", 0, 2), ("aldt", 0, 2))
    ]
    path = made[2] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "8 × tpu"}))
    table = differences.tabulate_differences([read_run(folder) for folder in made])
    assert table.rows == (
        ("report_top_k", "3", "LDT seed 1"),
        ("", "2", "all others"),
        ("(device)", "8 × tpu", "FDT"),
        ("", "1 × cpu", "all others"),
    )
    assert table.breaks == {2}
    assert differences.tabulate_differences([read_run(made[0])]) is None


def test_methods_side_by_side_on_the_same_images(tmp_path, make_run):
    scored = {("ldt", None): [0.5], ("im", 0): [0.6], ("im", 1): [0.7]}
    im = make_run(tmp_path / "im", scored, method="im")
    fdt = make_run(tmp_path / "fdt", {("fdt", None): [0.8]}, method="fdt")
    other = make_run(tmp_path / "other", {("aldt", None): [0.8]}, method="aldt", size=16)
    runs = [read_run(folder) for folder in (im, fdt, other)]
    strips = images.compare_methods(runs, 3)
    assert len(strips) == 3
    # LDT is in the run of IM; ALDT has different images.
    titles = [[picture.title for picture in group] for group in strips[0].groups]
    assert titles == [["image", "truth"], ["FDT"], ["LDT"], ["IM"]]
    assert images.compare_methods(runs[1:2], 3) == []
    text, _ = page([im, fdt], tmp_path / "report.html")
    assert "Predictions side by side" in text
    assert "Predictions side by side" not in page([im], tmp_path / "report.html")[0]


def test_final_prediction_is_next_to_the_ground_truth(tmp_path, make_run):
    folder = make_run(
        tmp_path / "run", {("ldt", None): [0.5], ("im", 0): [0.6], ("im", 1): [0.7]}, method="im"
    )
    strip = images.build_stage_strips(read_run(folder), 1)[0][0]
    pairs = [[f"gen. {g}: pseudo-label", f"gen. {g}: inconsistency mask"] for g in (0, 1)]
    assert [[picture.title for picture in group] for group in strip.groups] == [["image", "truth"], *pairs]
    for stage, value in (("train_g0", 50), ("train_g1", 200)):
        prediction = np.full((4, 8, 8, 3), value, np.uint8)
        np.savez(next(folder.glob(f"stages/*_{stage}")) / "unlabeled.npz", prediction=prediction)
    first = images.build_stage_strips(read_run(folder), 1)[0][0].groups[0]
    assert [picture.title for picture in first] == ["image", "truth", "final prediction"]
    assert first[2].src == images.encode_picture(np.full((8, 8, 3), 200, np.uint8), "").src


def test_mask_sizes_and_kept_pairs_over_generations(tmp_path, make_run):
    made = [
        make_run(tmp_path / name, {("ldt", None): [0.5], (name, 0): [0.6], (name, 1): [0.6]}, method=name,
                 labeling={g: {"inconsistent_share": share} for g in (0, 1)})
        for name, share in (("im", 0.2), ("noisy_student", 0.0))
    ]  # fmt: skip
    runs = [read_run(folder) for folder in made]
    chart = plots.plot_pseudo_labels(runs[0].spec, runs)
    svg = svg_of(chart.src)
    assert all(f">{title}<" in svg for title in ("inconsistent, %", "pairs kept, %", "pseudo-label mIoU"))
    assert ">IM<" in svg and ">Noisy Student<" in svg
    assert plots.plot_pseudo_labels(runs[0].spec, [read_run(_plain(make_run, tmp_path))]) is None


def _plain(make_run, tmp_path):
    return make_run(tmp_path / "ldt", {("ldt", None): [0.5]}, method="ldt")


def test_generations_with_one_fault_are_one_line(tmp_path, make_run):
    scored = {("ldt", None): [0.5], ("im", 0): [0.6], ("im", 1): [0.6]}
    nothing = {"kept_share": 0.0}
    folder = make_run(tmp_path / "run", scored, method="im", labeling={0: nothing, 1: nothing})
    (line,) = pseudo_labels.warn_useless_labels([read_run(folder)])
    assert "IM, generations 0, 1, seed 0" in line and "these generations learned" in line


def test_the_command_can_be_copied(tmp_path, make_run):
    folder = make_run(tmp_path / "a b", {("ldt", None): [0.5]}, method="ldt")
    text, _ = page([folder], tmp_path / "report.html")
    assert f"python -m imjax.main \\\n  &#39;--workdir={folder}&#39;</pre>" in text


@pytest.mark.parametrize(("rule", "said"), [(0, "are 0, as in the"), (1, "are 1 (the Incons")])
def test_the_table_says_which_rule_empty_images_follow(rule, said, tmp_path, make_run):
    made = make_run(tmp_path / "run", {("ldt", None): [0.5]}, method="ldt", spec=ISIC | {"empty_iou": rule})
    table = tables.tabulate_results(aggregate.collect_results([read_run(made)], {}))
    assert f"without object in ground truth and prediction {said}" in table.caption


@pytest.mark.parametrize(
    ("by_crop", "said"),
    [(False, "labeled share is that of the images"), (True, "of the crops, so that overlapping crops lie")],
)
def test_the_table_says_what_the_labeled_share_is_of(by_crop, said, tmp_path, make_run):
    run = read_run(make_run(tmp_path / "run", {("ldt", None): [0.5]}, method="ldt", spec=ISIC))
    table = tables.tabulate_results(aggregate.collect_results([run], {}))
    assert "labeled share" not in table.caption
    # The configuration's own keys: under another name the table would say nothing.
    run.config["data"] |= get_config("hela", "ldt").data.to_dict() | {"by_crop": by_crop}
    assert said in tables.tabulate_results(aggregate.collect_results([run], {})).caption


def test_a_chart_promises_only_what_it_shows(tmp_path, make_run):
    def caption(*runs):
        return plots.caption_generations(aggregate.collect_results([read_run(run) for run in runs]))

    one = make_run(tmp_path / "one", {("im", 0): [0.6]}, method="im", spec=ISIC | {"name": "toy"})
    assert caption(one) == "Test metric over the generations, the candidate ranked first."
    scores = {("ldt", None): [0.5, 0.4], ("im_pp", 0): [0.6, 0.5]}
    two = [make_run(tmp_path / str(seed), scores, seed=seed) for seed in (0, 1)]
    assert caption(*two) == (
        "Test metric over the generations, mean over seeds (bars: standard deviation) of the candidate "
        "ranked first. Horizontal lines: methods without generations, their bars left of 0. Faint points: "
        "every candidate. Hollow: published."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_ensemble_of_a_generational_method_is_a_column(seeds, tmp_path, make_run):
    runs = [
        read_run(
            make_run(
                tmp_path / str(seed),
                {("ldt", None): [0.40, 0.44], ("ldt_ensemble", None): [0.5 + seed / 100], ("im", 0): [0.6]},
                method="im", seed=seed, generations=1,
            )
        )
        for seed in range(seeds)
    ]  # fmt: skip
    results = aggregate.collect_results(aggregate.disambiguate_runs(runs), {})
    assert [(entry.method, entry.generation) for entry in results.entries] == [("ldt", None), ("im", 0)]
    table = tables.tabulate_results(results)
    column = table.head.index("mIoU, ensemble")
    assert column == 2 and table.rows[0][column] == ("0.5000" if seeds == 1 else "0.505 ± 0.007 (2)")
    assert table.rows[1][column] == tables.NONE and "imjax predict" in table.caption
