"""Many runs from one command, each in a folder of its own, on this machine or on a cluster.

  imjax sweep --config=camvid_im_pp:small --sweep=seed --set=data.dir=CamVid
  python -m launch.sweep --config=configs/suim_im.py configs/suim_im_pp.py --sweep=n:2,3,4 --sweep=seed:0,1
  python -m launch.sweep --config='configs/dsb2018_*.py:small' --sweep=labels --dry_run
  python -m launch.sweep --config=configs/suim_im.py --sweep=seed:0,1,2 --executor=slurm --slurm=time=240

A sweep is a name from imjax/config/sweeps.py (seed, n, views, level, labels, block, morphology,
pair_filter) or any key with values; several are combined. Stages that several runs have in common, such as
LDT's nets, are made once. The same command goes on where it was stopped: finished runs are skipped, failed
ones are tried again.
"""

from __future__ import annotations

import fnmatch
import glob
import signal
from collections.abc import Sequence

from absl import flags

from imjax import cli
from imjax.config import protocols
from imjax.errors import ErrorCode, TrainingError, UserError
from imjax.user_paths import expand_path
from launch import run_status
from launch.executors import local
from launch.grid import SweepRun, make_points

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_multi_string(
        "config",
        [],
        "Configuration, e.g. suim_im:small or configs/suim_im.py; for more, repeat the flag, name them after "
        "it, or give a pattern with *.",
    )
    flags.DEFINE_multi_string("sweep", [], "Name of a sweep, or key:value,value. May be repeated.")
    flags.DEFINE_multi_string("set", [], "key=value for all runs, e.g. data.dir=CamVid. May be repeated.")
    flags.DEFINE_string("root", "runs", "Folder of the runs' folders.")
    flags.DEFINE_enum("executor", "local", ["local", "slurm"], "This machine, or a Slurm cluster.")
    flags.DEFINE_integer(
        "jobs", 0, "local: runs at a time; more than there are GPUs share them; 0: one per GPU, or one."
    )
    flags.DEFINE_multi_string(
        "slurm",
        [],
        "slurm: key=value as sbatch has it, e.g. time=240 (minutes), partition=gpu, gpus_per_node=1, "
        "array_parallelism=8 (runs at a time), setup='module load cuda'. May be repeated.",
    )
    flags.DEFINE_bool("dry_run", False, "Print the runs and stop.")


def main(arguments: list[str]) -> None:
    """Run every point that is not finished; UserError for what the caller can fix."""
    configs = [path for text in (*FLAGS.config, *arguments) for path in _expand_pattern(text)]
    if not configs:
        raise UserError(
            "--config is missing; try --config=demo:tiny --sweep=seed --dry_run",
            code=ErrorCode.MISSING,
            field="--config",
        )
    points = make_points(configs, FLAGS.sweep, FLAGS.set, expand_path(FLAGS.root, "--root"))
    if FLAGS.dry_run:
        print(
            "\n".join(
                f"{run_status.describe_state(point):8}  {' '.join(run_status.build_command(point)[1:])}"
                for point in points
            )
        )
        return
    # As Ctrl-C; SIGHUP is a terminal that was closed, which Windows does not have.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    failed = _execute(points)
    if failed:
        raise TrainingError(run_status.summarize_failures(failed, len(points)))
    print(f"\nall {len(points)} runs are finished: python -m imjax.report {FLAGS.root}/* --out=report.html")


def _execute(points: Sequence[SweepRun]) -> list[SweepRun]:
    """Run the points; returns those that failed."""
    if FLAGS.executor == "local":
        if FLAGS.slurm:
            raise UserError(
                f"--slurm={FLAGS.slurm[0]}: only with --executor=slurm",
                code=ErrorCode.CONFLICT,
                field="--slurm",
            )
        return local.run_sweep(points, FLAGS.jobs)
    if FLAGS.jobs:
        raise UserError(
            f"--jobs={FLAGS.jobs}: only on this machine; try --slurm=array_parallelism={FLAGS.jobs}",
            code=ErrorCode.CONFLICT,
            field="--jobs",
        )
    from launch.executors import slurm

    return slurm.run_sweep(points, expand_path(FLAGS.root, "--root"), FLAGS.slurm)


def _expand_pattern(text: str) -> list[str]:
    """Configurations that a pattern stands for, each with the preset that follows it."""
    pattern, colon, preset = text.partition(":")
    if not glob.has_magic(pattern):
        return [text]
    if cli.is_name(pattern):
        paths = fnmatch.filter(protocols.list_names(), pattern)
    else:
        paths = sorted(glob.glob(pattern))
    if not paths:
        raise UserError(
            f"--config={text}: no configuration matches this pattern",
            code=ErrorCode.UNKNOWN,
            field="--config",
        )
    return [path + colon + preset for path in paths]


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
