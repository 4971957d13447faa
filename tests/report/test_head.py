"""The head and the end of the page: date, size, warning of smoke runs, contents, glossary, next steps."""

from __future__ import annotations

import json
import os

import pytest
from pages import page, row

from imjax.report import glossary, head, images, tables
from imjax.report.aggregate import collect_results
from imjax.report.images import Picture, Strip
from imjax.report.load import read_run

SCORES = {("ldt", None): [0.4, 0.3], ("im", 0): [0.5, 0.4]}


def set_command(folder, *words):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": list(words)}))


def set_steps(folder, steps):
    for path in folder.glob("stages/*/train.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": steps}))


@pytest.fixture
def run(tmp_path, make_run):
    folder = make_run(tmp_path / "a run", SCORES, method="im", generations=1)
    set_command(folder, "python", "-m", "imjax.main", "--config=suim_im:tiny", f"--workdir={folder}")
    set_steps(folder, 150)
    for path in folder.glob("stages/*/DONE.json"):
        # 2026-03-01, 12:30 UTC.
        os.utime(path, (1772368200, 1772368200))
    return folder


def test_the_head_says_when_how_long_and_what(run):
    # 125 + 3.8 + 125 s.
    assert head.describe_making([read_run(run)]) == (
        "Last stage finished on 2026-03-01, 12:30 UTC; 4 min 14 s for all stages; configuration suim_im:tiny."
    )


def test_a_smoke_run_has_a_warning_by_its_preset_or_its_steps(run):
    (alarm,) = head.warn_smoke_runs([read_run(run)])
    assert alarm.startswith("Smoke run, of at most 150 optimizer steps for a net: ")
    set_command(run, "imjax", "--config", "suim_im:small")
    assert head.find_configuration(read_run(run)) == "suim_im:small"
    assert head.warn_smoke_runs([read_run(run)])
    set_steps(run, head.MIN_STEPS)
    assert not head.warn_smoke_runs([read_run(run)])
    set_command(run, "imjax", "--config=configs/suim_im.py:tiny")
    assert head.warn_smoke_runs([read_run(run)])


def test_next_steps_are_commands_for_this_run(run):
    steps = dict(head.suggest_next_steps([read_run(run)], unfinished=False))
    assert steps["Train for figures that mean something:"] == (
        f"imjax train --config=suim_im:small '--workdir={run}_small'"
    )
    assert f"imjax predict --workdir='{run}' --images=IMAGES --out=MASKS" in steps.values()
    assert "Images to mask next, worst first:" not in steps, "SUIM is not your own folder"
    steps = dict(head.suggest_next_steps([read_run(run)], unfinished=True))
    assert steps["Go on with the run:"].startswith("python -m imjax.main --config=suim_im:tiny")


def test_contents_lead_to_every_section_and_the_glossary_has_the_terms_of_the_page(run, tmp_path):
    text, parsed = page([run], tmp_path / "report.html")
    assert parsed.anchors == parsed.ids and len(set(parsed.ids)) == len(parsed.ids)
    assert {"results", "learning-curves", "next-steps", "glossary"} <= set(parsed.ids)
    assert "<dt>LDT</dt>" in text and "<dt>IM</dt>" in text and "<dt>MetaSSL</dt>" not in text


def test_terms_are_whole_words():
    found = [term for term, _ in glossary.list_terms('<img alt="FDT"><td>IM++, gen. 1</td> mIoU, candidates')]
    assert found == ["candidate", "gen.", "IM++", "mIoU"]


def test_the_mean_names_no_more_candidates_than_there_are(tmp_path, make_run):
    scores = {("ldt", None): [0.4, 0.3, 0.2], ("im", 0): [0.5, 0.4]}
    folder = make_run(tmp_path / "run", scores, method="im", generations=1, report_top_k=4)
    table = tables.tabulate_results(collect_results([read_run(folder)], {}))
    assert table.head[2] == "mIoU, mean of best 2/3"
    assert [cells[2] for cells in table.rows] == ["0.3000 of 3", "0.4500 of 2"]
    text, parsed = page([folder], tmp_path / "report.html")
    assert row(parsed, "LDT")[2] == "0.3000 of 3" and "best 4" not in text
    assert "mean of the best 2 candidates 0.4500" in text


def test_captions_name_only_panels_that_are_there():
    view, region = Picture("", "view", False), Picture("", "region (blue: UC)", False)
    plain = images.describe_loss_strips([Strip("unlabeled image 1", ((view,),))])
    assert plain == "Unlabeled images in the loss after the last step: the view."
    whole = images.describe_loss_strips([Strip("unlabeled image 1", ((view, region),)), Strip("a batch", ())])
    assert "MetaSSL" in whole and "similarity of each image" in whole


def test_the_final_prediction_is_named_only_where_it_is(run, tmp_path):
    text, _ = page([run], tmp_path / "report.html")
    assert "which training never sees, and each generation" in text


def test_a_run_without_a_command_has_no_configuration_to_name(run):
    """`imjax.train` is called with a configuration made in Python."""
    set_command(run)
    assert head.find_configuration(read_run(run)) == ""
