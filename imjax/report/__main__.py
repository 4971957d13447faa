"""One page on one or several runs, next to the published results.

  python -m imjax.report --workdir=runs/suim_aim_pp --out=report.html
  python -m imjax.report --workdir=runs/seed0 runs/seed1 runs/seed2 --out=report.html
  python -m imjax.report runs/* --out=report.html --tables=tables

Runs of one dataset and method with different seeds are shown as mean ± standard deviation; several datasets
get a panel each. An unfinished run is reported as far as it has come.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import cli, log
from imjax.errors import ErrorCode, UserError
from imjax.user_paths import expand_path

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_multi_string(
        "workdir",
        [],
        "Folder of a run; for more, repeat the flag, name them after it, separate them by commas, or give a "
        "pattern with * that stands for all runs that match it.",
    )
    flags.DEFINE_string(
        "out", None, "The html file to write; default: report.html, of one run in its folder."
    )
    flags.DEFINE_string(
        "tables", None, "Folder for the page's tables as CSV and LaTeX files. Made if missing. Default: none."
    )


def main(arguments: list[str]) -> None:
    """Write the page; UserError for mistakes in the command."""
    given = [*FLAGS.workdir, *arguments]
    workdirs = expand_workdirs([str(expand_path(text, "--workdir")) for text in given])
    if not workdirs:
        raise UserError(
            "--workdir is missing, expected the folder of a run, e.g. --workdir=runs/demo",
            code=ErrorCode.MISSING,
            field="--workdir",
        )
    # One run has its page in its folder; one on several belongs to none of them.
    default = workdirs[0] / "report.html" if len(workdirs) == 1 else Path("report.html")
    out = default if FLAGS.out is None else expand_path(FLAGS.out, "--out")
    log.show()
    log.logger.info("reading %s", workdirs[0] if len(workdirs) == 1 else f"{len(workdirs)} runs")
    from imjax.report.page import write_report

    write_report(workdirs, out)
    print(f"report: {out}")
    if FLAGS.tables is not None:
        from imjax.report.export_tables import write_tables

        folder = expand_path(FLAGS.tables, "--tables")
        print(f"tables: {len(write_tables(workdirs, folder))} files in {folder}")


def expand_workdirs(values: Sequence[str]) -> list[Path]:
    """Folders named by the arguments, each once.

    A value is split at commas, and a part with *, ? or [ is a pattern, unless a folder has that very name.

    Raises:
        UserError: no run matches a pattern.
    """
    parts = [[value] if Path(value).is_dir() else value.split(",") for value in values]
    folders: dict[Path, Path] = {}
    for folder in (folder for group in parts for part in group if part for folder in _expand_pattern(part)):
        # `runs/a` and `runs/*` are often given together.
        folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def _expand_pattern(part: str) -> list[Path]:
    if Path(part).exists() or not glob.has_magic(part):
        return [Path(part)]
    # A pattern often matches logs and caches too.
    runs = [path for path in map(Path, sorted(glob.glob(part))) if (path / "config.json").is_file()]
    if not runs:
        raise UserError(
            f"--workdir={part}: no folder of a run (with a config.json) matches this pattern",
            code=ErrorCode.MISSING,
            field="--workdir",
        )
    return runs


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
