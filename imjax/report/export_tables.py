"""The tables of the page as files: CSV for programs and spreadsheets, LaTeX for papers."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from imjax.errors import ErrorCode, file_error
from imjax.report import aggregate, differences, pseudo_labels, tables, timing, worst_images
from imjax.report.load import RunRecord, read_run
from imjax.report.tables import NONE, Table

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "→": r"$\rightarrow$", "–": "--",
    "α": r"$\alpha$", "⚠": "(!)", "“": "``", "”": "''", "’": "'",
}  # fmt: skip
"""Characters that mean something else in LaTeX, or that pdflatex has no letter for."""


def write_tables(workdirs: Sequence[Path], folder: Path) -> list[Path]:
    """Write every table of the page on these runs as `NAME.csv` and `NAME.tex`.

    Args:
        workdirs: folders of runs, as for `write_report`.
        folder: made if missing; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        UserError: a folder is no run's, or a file cannot be written.
    """
    found = collect_tables([read_run(workdir) for workdir in workdirs])
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in found.items():
            paths += [folder / f"{name}.csv", folder / f"{name}.tex"]
            with paths[-2].open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(_list_plain_rows(table))
            paths[-1].write_text(format_latex(table, name), encoding="utf-8")
    except OSError as error:
        raise file_error(
            folder, f"the tables cannot be written: {error.strerror}", ErrorCode.UNWRITABLE
        ) from error
    return paths


def collect_tables(runs: Sequence[RunRecord]) -> dict[str, Table]:
    """Every table of the page that these runs have, by a name for its file: `isic2018_results`."""
    found: dict[str, Table | None] = {}
    for dataset, group in aggregate.group_by_dataset(runs).items():
        results = aggregate.collect_results(group)
        found[f"{dataset}_results"] = tables.tabulate_results(results) if results.entries else None
        found[f"{dataset}_gains"] = tables.tabulate_gaps(results)
        found[f"{dataset}_classes"] = tables.tabulate_classes(results)
        for method, peers in aggregate.group_by_method(group).items():
            sizes = pseudo_labels.measure_masks(peers)
            found[f"{dataset}_{method}_pseudo_labels"] = pseudo_labels.tabulate_labels(group[0].spec, peers)
            found[f"{dataset}_{method}_masks"] = pseudo_labels.tabulate_masks(sizes) if sizes else None
        found[f"{dataset}_times"] = timing.tabulate_methods(group)
        found[f"{dataset}_differences"] = differences.tabulate_differences(group)
        illustrated = aggregate.select_illustrated(group)
        for number, run in enumerate(group):
            if run in illustrated:
                found[f"{dataset}_{run.method}_images"] = worst_images.tabulate_images(run)
            name = f"{dataset}_{run.method}_seed_{run.seed}_stages"
            # The same run may be there twice, made on two machines.
            found[f"{name}_{number}" if name in found else name] = timing.tabulate_stages(run)
    return {re.sub(r"[^\w.+-]+", "_", name).strip("_"): table for name, table in found.items() if table}


def _list_plain_rows(table: Table) -> list[list[str]]:
    """Head and rows, with an empty cell where there is nothing and the minus sign that programs read."""
    return [
        ["" if cell == NONE else cell.replace("−", "-") for cell in row] for row in (table.head, *table.rows)
    ]


def format_latex(table: Table, label: str) -> str:
    """A `table` for LaTeX with the package booktabs; the best cells are bold."""
    words = "l" if table.text else "r"
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{words * (len(table.head) - 1)}}}",
        r"\toprule",
        " & ".join(map(escape_latex, table.head)) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if number in table.breaks:
            lines.append(r"\addlinespace")
        cells = [
            rf"\textbf{{{escape_latex(cell)}}}" if (number, i) in table.best else escape_latex(cell)
            for i, cell in enumerate(row)
        ]
        lines.append(" & ".join(cells) + r" \\")
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^a-zA-Z0-9]+', '-', label)}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(LATEX.get(character, character) for character in text)
