"""The tables of the page as CSV and LaTeX files."""

from __future__ import annotations

import csv

from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.report.export_tables import escape_latex, format_latex, write_tables
from imjax.report.tables import Table


def test_tables_of_a_run(tmp_path, make_run):
    scores = {("ldt", None): [0.30, 0.34], ("im_pp", 0): [0.50, 0.48]}
    folder = make_run(tmp_path / "run", scores, generations=1)
    written = write_tables([folder], tmp_path / "tables")
    names = [
        "results",
        "gains",
        "classes",
        "im_pp_pseudo_labels",
        "im_pp_masks",
        "times",
        "im_pp_seed_0_stages",
    ]
    files = [f"suim_{name}.{kind}" for name in names for kind in ("csv", "tex")]
    assert sorted(path.name for path in written) == sorted(files)
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(files)
    with (tmp_path / "tables" / "suim_results.csv").open(newline="", encoding="utf-8") as file:
        first, ldt, im = csv.reader(file)
    assert first[:3] == ["method", "mIoU", "mIoU, mean of best 2"]
    assert ldt[:3] == ["LDT", "0.3000", "0.3200"] and im[:2] == ["IM++, gen. 0", "0.5000"]
    # Programs read no typographic minus sign.
    assert float(ldt[4]) < 0


def test_latex_has_every_character_of_the_table():
    table = Table(
        ("method", "a_b"), (("x & y", "0.5 ± 0.1 (3)"), ("z", "–")), "100 % of it", frozenset({(0, 1)})
    )
    text = format_latex(table, "suim_results")
    assert r"x \& y & \textbf{0.5 $\pm$ 0.1 (3)} \\" in text and r"a\_b" in text
    assert r"\caption{100 \% of it}" in text and r"\label{tab:suim-results}" in text
    assert r"\begin{tabular}{lr}" in text and r"z & -- \\" in text
    assert escape_latex("\\{}") == r"\textbackslash{}\{\}"


def test_a_folder_that_cannot_be_made(tmp_path, make_run):
    folder = make_run(tmp_path / "run", {("ldt", None): [0.4]}, method="ldt")
    (tmp_path / "file").write_text("")
    with raises_user_error(ErrorCode.UNWRITABLE, tmp_path / "file"):
        write_tables([folder], tmp_path / "file")
