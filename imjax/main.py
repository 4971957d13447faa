"""The whole run: `imjax train --config=suim_aim_pp --workdir=runs/suim_aim_pp`, or `python -m imjax.main …`.

Data are prepared if they are not yet, every stage that is not done is run, and a table and `report.html`
close it. The same command goes on where a stopped run was. `--config` is a name or a file
(`configs/suim_aim_pp.py`); a preset follows it after a colon (`suim_aim_pp:tiny`). Any key can be set:
`--config.data.dir=/data/suim`; `--help_config` lists the keys.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from imjax import cli, log, processes
from imjax.config import keys
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Config
from imjax.errors import ErrorCode, UserError
from imjax.user_paths import expand_config, expand_path

if TYPE_CHECKING:
    from imjax.data.splits import ImageCounts

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    cli.define_config()
    text = "Folder of your own images and masks: stands for --config=folder:small --config.data.dir=DIR."
    flags.DEFINE_string("data", None, text)
    text = "Folder of an earlier run on the same data: its nets to start from, and its val and test images."
    flags.DEFINE_string("from", None, text)
    flags.DEFINE_bool("help_config", False, "List every key of the configuration and stop.")
    flags.DEFINE_string("workdir", None, "Folder of the run: results, figures, nets. Made if missing.")
    flags.DEFINE_multi_string(
        "reuse",
        [],
        "Folder of another run; finished stages that are the same to the last setting, such as LDT's nets, "
        "are copied from there instead of made again. May be repeated.",
    )
    flags.DEFINE_bool("pod", False, "Join the other hosts of a TPU pod; see docs/how-to/sweeps.md.")
    flags.DEFINE_bool("plan", False, "Print the stages of the run and how long it takes, and stop.")
    text = "With --plan: train a few steps, to know how long the run takes on this machine."
    flags.DEFINE_bool("measure", False, text)


def main(_: list[str]) -> None:
    """Read the flags and run, or print the keys or the plan."""
    processes.follow_parent()
    if FLAGS.help_config:
        print(keys.describe())
        return
    if FLAGS.data is not None:
        # With a folder the flag was replaced by what it stands for.
        raise UserError(
            "--data is empty; expected a folder with images and masks", code=ErrorCode.MISSING, field="--data"
        )
    if FLAGS["from"].value is not None:
        raise UserError(
            "--from is empty; expected the folder of an earlier run", code=ErrorCode.MISSING, field="--from"
        )
    if FLAGS.config is None:
        raise UserError(
            "--config is missing; try --config=demo --workdir=runs/demo",
            code=ErrorCode.MISSING,
            field="--config",
        )
    if FLAGS.measure and not FLAGS.plan:
        raise UserError(
            "--measure is for --plan; expected both, or neither", code=ErrorCode.CONFLICT, field="--measure"
        )
    if FLAGS.workdir is None and not FLAGS.plan:
        raise UserError(
            "--workdir is missing; name the folder that the run may write to",
            code=ErrorCode.MISSING,
            field="--workdir",
        )
    config = check(freeze(expand_config(FLAGS.config.to_dict())))
    log.show()
    if not FLAGS.plan:
        # Before the imports, which take seconds, so that it is to be seen that something happens.
        method, dataset = config.method, config.data.dataset
        log.logger.info("training %s on %s, seed %d: loading libraries", method, dataset, config.seed)
    from imjax.pipeline import plan

    stages = plan.make_plan(config)
    if FLAGS.plan:
        _print_plan(config, stages)
        return
    reuse = [expand_path(folder, "--reuse") for folder in FLAGS.reuse]
    run(config, stages, expand_path(FLAGS.workdir, "--workdir"), reuse, FLAGS.pod)


def _print_plan(config: Config, stages: tuple) -> None:
    """Stages, numbers of images, and the time that the run takes."""
    from imjax.pipeline import plan, speeds

    if FLAGS.measure:
        from imjax.pipeline.trial import measure_speed

        log.logger.info("measuring: the first stage is trained for some seconds, and its result is dropped")
        measure_speed(config, stages)
    counts, where = _count_images(config)
    print(plan.describe(stages, counts))
    print(where)
    runs = 1
    if config.data.is_final:
        print(f"These are the final nets; before them come {config.data.num_folds} folds, a run each.")
        runs += config.data.num_folds
    print(speeds.describe_time(stages, counts, speeds.SpeedStore.of(config), runs))


def _count_images(config: Config) -> tuple[ImageCounts | None, str]:
    """Training images of the dataset and a line that says where the numbers are from."""
    from imjax.data import pack
    from imjax.data.readers import registry

    counts: ImageCounts | None
    try:
        counts = pack.count_training_images(config.data)
        source = f"data in {config.data.dir}" if config.data.dir else "data made on the spot"
    except UserError:
        counts = registry.published_image_counts(config.data)
        source = f"the complete dataset; no data was found in {config.data.dir}"
    if counts is None:
        return None, f"\nNo data was found in {config.data.dir}."
    return counts, f"\n{counts.labeled} labeled and {counts.unlabeled} unlabeled images ({source})."


def run(config: Config, stages: tuple, workdir: Path, reuse: Sequence[Path] = (), pod: bool = False) -> None:
    """One run, from data to report, which SIGTERM stops and saves; prints its table.

    Args and errors: see `imjax.api.run_with_report`.
    """
    from imjax import api
    from imjax.training import devices

    run = api.run_with_report(
        config, stages, workdir, reuse, pod=pod, stopping=devices.stop_on_sigterm(),
        command=["python", "-m", "imjax.main", *sys.argv[1:]],
    )  # fmt: skip
    if run is not None:
        print(f"Results on the test images, of each method's best network:\n{run.table}")
        print(f"\nresults: {run.workdir / 'results.csv'}")
        print(f"report:  {run.report} (curves, images, what to do next; opens in a browser)")


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    sys.argv[1:] = cli.train_arguments(sys.argv[1:])
    define_flags()
    cli.run(main)
