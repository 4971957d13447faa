"""The whole run: `python -m imjax.main --config=configs/suim_aim_pp.py --workdir=runs/suim_aim_pp`.

Data are prepared if they are not yet, every stage that is not done is run, and a table and `report.html`
close it. The same command goes on where a stopped run was. A preset follows the config after a colon
(`configs/suim_aim_pp.py:tiny`), and any key can be set: `--config.data.dir=/data/suim`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from imjax import cli, log
from imjax.config.constraints import check
from imjax.config.schema import Config, freeze
from imjax.errors import UserError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    config_flags.DEFINE_config_file("config", None, "Configuration file, e.g. configs/demo.py:tiny.")
    flags.DEFINE_string("workdir", None, "Folder of the run: results, figures, nets. Made if missing.")
    flags.DEFINE_multi_string(
        "reuse",
        [],
        "Folder of another run; finished stages that are the same to the last setting, such as LDT's nets, "
        "are copied from there instead of made again. May be repeated.",
    )
    flags.DEFINE_bool("pod", False, "Join the other hosts of a TPU pod; see docs/sweeps.md.")
    flags.DEFINE_bool("plan", False, "Print the stages of the run and stop.")


def main(_: list[str]) -> None:
    """Read the flags and run, or print the plan."""
    config = check(freeze(_config_values()))
    from imjax.pipeline import plan

    stages = plan.make_plan(config)
    if FLAGS.plan:
        print(plan.describe(stages))
        return
    if FLAGS.workdir is None:
        raise UserError("--workdir is missing; name the folder that the run may write to")
    run(config, stages, Path(FLAGS.workdir), [Path(folder) for folder in FLAGS.reuse], FLAGS.pod)


def _config_values() -> dict:
    try:
        if FLAGS.config is None:
            raise UserError("--config is missing; try --config=configs/demo.py --workdir=runs/demo")
        return FLAGS.config.to_dict()
    except OSError as error:
        raise UserError(
            f"--config: {str(error).splitlines()[-1].strip()}; see configs/ for what there is"
        ) from error


def run(config: Config, stages: tuple, workdir: Path, reuse: Sequence[Path] = (), pod: bool = False) -> None:
    """One run, from data to report, which SIGTERM stops and saves; prints its table.

    Args and errors: see `imjax.api.run_with_report`.
    """
    from imjax import api
    from imjax.training import devices

    log.show()
    run = api.run_with_report(
        config, stages, workdir, reuse, pod=pod, stopping=devices.stop_on_sigterm(),
        command=["python", "-m", "imjax.main", *sys.argv[1:]],
    )  # fmt: skip
    if run is not None:
        print(run.table)
        print(f"\nresults: {run.workdir / 'results.csv'}\nreport:  {run.report}")


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    define_flags()
    cli.run(main)
