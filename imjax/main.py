"""The whole run: `python -m imjax.main --config=configs/suim_aim_pp.py --workdir=runs/suim_aim_pp`.

Data are prepared if they are not yet, every stage that is not done is run, and a table and `report.html`
close it. The same command goes on where a stopped run was. A preset follows the config after a colon
(`configs/suim_aim_pp.py:tiny`), and any key can be set: `--config.data.dir=/data/suim`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import config_flags

from imjax import cli, log
from imjax.config.constraints import check
from imjax.config.schema import Config, flatten, freeze
from imjax.errors import UserError

if TYPE_CHECKING:
    from imjax.data.pack import PackedDataset

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
    flags.DEFINE_bool("pod", False, "Join the other hosts of a TPU pod; see docs/how-to/sweeps.md.")
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
    """One run, from data to report.

    Args:
        config: checked.
        stages: its plan.
        workdir: the run's folder.
        reuse: folders of other runs, whose finished stages are taken over where they are the same.
        pod: join the other hosts of a TPU pod.

    Raises:
        UserError: the data or a folder do not fit, another run is in the folder, it cannot be written, or
            other processes are not to be found.
    """
    from imjax.data import pack
    from imjax.data.options import DataOptions
    from imjax.methods import check_data
    from imjax.training import devices

    log.show()
    stopping = devices.stop_on_sigterm()
    cache = Path(config.data.cache or pack.default_cache())
    packed_root = pack.prepare(DataOptions.of(config.data), cache)
    packed = pack.load(packed_root)
    check_data.check_spec(config.method, packed.spec)
    check_data.check_truth(config, packed)
    devices.configure(cache, max(config.candidates, config.num_baseline_nets, config.evalnet.candidates))

    from imjax.pipeline import lock
    from imjax.training import disk, distributed

    distributed.start(pod)
    with disk.explained(workdir), distributed.folder(workdir) as folder, lock.held(folder):
        _run(config, stages, packed, folder, reuse, distributed.agreed(stopping))
        # The first process has more to do at the end; the others must be there until then.
        distributed.wait()


def _run(
    config: Config,
    stages: tuple,
    packed: PackedDataset,
    workdir: Path,
    reuse: Sequence[Path],
    stopping: Callable[[], bool],
) -> None:
    """The part of `run` that needs JAX."""
    from imjax.pipeline import results, runner
    from imjax.pipeline import workdir as workdirs
    from imjax.pipeline.artifacts import ArtifactStore, basis
    from imjax.pipeline.context import Context
    from imjax.report import write_report
    from imjax.training import distributed
    from imjax.training.metric_writer import Writer

    distributed.same("settings or data", workdirs.digest(config, packed))
    workdirs.open_workdir(workdir, config, packed)
    lenders = workdirs.lenders(reuse, workdir)
    writer = Writer(workdir, events=distributed.is_first())
    writer.hparams(flatten(dataclasses.asdict(config)))
    try:
        store = ArtifactStore(workdir, stages, basis(config, packed.manifest["hash"]), lenders)
        rows = runner.run(stages, Context(config, packed, store), writer, stopping)
    finally:
        writer.close()
    if not distributed.is_first():
        return
    results.write(workdir, rows)
    write_report([workdir], workdir / "report.html")
    print(results.table(rows, packed.spec.headline, config.top))
    print(f"\nresults: {workdir / 'results.csv'}\nreport:  {workdir / 'report.html'}")


if __name__ == "__main__":
    from imjax.training.devices import keep_memory

    keep_memory()
    define_flags()
    cli.run(main)
