"""One page on one or several runs, with the published figures beside them.

  python -m imjax.report --workdir=runs/suim_aim_pp --out=report.html
  python -m imjax.report --workdir=runs/seed0 runs/seed1 runs/seed2 --out=report.html
  python -m imjax.report runs/* --out=report.html

Runs of one dataset and method with different seeds are shown as mean ± standard deviation; several datasets
get a panel each. A run that is still going is reported as far as it is.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import cli
from imjax.errors import UserError

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


def main(arguments: list[str]) -> None:
    """Write the page; UserError for what the caller can mend."""
    workdirs = folders([*FLAGS.workdir, *arguments])
    if not workdirs:
        raise UserError("--workdir is missing, expected the folder of a run, e.g. --workdir=runs/demo")
    # One run has its page in its folder; one on several belongs to none of them.
    default = workdirs[0] / "report.html" if len(workdirs) == 1 else Path("report.html")
    out = Path(FLAGS.out) if FLAGS.out else default
    from imjax.report.page import write_report

    write_report(workdirs, out)
    print(f"report: {out}")


def folders(values: Sequence[str]) -> list[Path]:
    """Folders named by the arguments, each once.

    A value is split at commas, and a part with *, ? or [ is taken for a pattern, unless a folder has that
    very name.

    Raises:
        UserError: no run matches a pattern.
    """
    parts = [[value] if Path(value).is_dir() else value.split(",") for value in values]
    once: dict[Path, Path] = {}
    for folder in (folder for group in parts for part in group if part for folder in _matching(part)):
        # `runs/a` and `runs/*` are often given together.
        once.setdefault(folder.resolve(), folder)
    return list(once.values())


def _matching(part: str) -> list[Path]:
    if Path(part).exists() or not glob.has_magic(part):
        return [Path(part)]
    # Logs and caches lie beside runs; a pattern does not mean those.
    found = [path for path in map(Path, sorted(glob.glob(part))) if (path / "config.json").is_file()]
    if not found:
        raise UserError(f"--workdir={part}: no folder of a run (with a config.json) matches this pattern")
    return found


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
