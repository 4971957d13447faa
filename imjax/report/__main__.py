"""One page on one or several runs, with the published figures beside them.

  python -m imjax.report --workdir=runs/suim_aim_pp --out=report.html
  python -m imjax.report --workdir=runs/seed0,runs/seed1 --workdir=runs/seed2 --out=report.html

Runs of one dataset and method with different seeds are shown as mean ± standard deviation. A run that is
still going is reported as far as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import door
from imjax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_multi_string(
        "workdir", [], "Folder of a run; repeat the flag or separate folders by commas."
    )
    flags.DEFINE_string("out", None, "The html file to write.")


def main(arguments: list[str]) -> None:
    """Write the page; UserError for what the caller can mend."""
    del arguments
    workdirs = folders(FLAGS.workdir)
    if not workdirs:
        raise UserError("--workdir is missing, expected the folder of a run, e.g. --workdir=runs/demo")
    if FLAGS.out is None:
        raise UserError("--out is missing, expected the html file to write, e.g. --out=report.html")
    from imjax.report.page import write_report

    write_report(workdirs, Path(FLAGS.out))
    print(f"report: {FLAGS.out}")


def folders(values: Sequence[str]) -> list[Path]:
    """Folders named by the flag's values, split at commas unless a folder has one in its name."""
    parts = [[value] if Path(value).is_dir() else value.split(",") for value in values]
    return [Path(part) for group in parts for part in group if part]


if __name__ == "__main__":
    define_flags()
    door.run(main)
