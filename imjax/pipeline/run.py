"""A whole run: prepare the data, run every stage that is not done, write results.csv.

The command and the Python API call this. It reads no flags, sets up no logging and installs no signal
handler: in a notebook these are the caller's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imjax.config.convert import flatten
from imjax.config.schema import Config
from imjax.data import pack
from imjax.data.copies import describe_copies
from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.log import logger
from imjax.methods import check_data
from imjax.pipeline import initial_weights, lock, results, runner
from imjax.pipeline import workdir as workdirs
from imjax.pipeline.artifacts import ArtifactStore, shared_inputs
from imjax.pipeline.speeds import SpeedStore
from imjax.pipeline.stages import Stage
from imjax.training import devices, disk, distributed, trackers
from imjax.training.metric_writer import Writer
from imjax.training.runtime import Runtime


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run that is done leaves, beside its files."""

    workdir: Path
    rows: list[dict[str, Any]]
    """Of results.csv."""
    packed: PackedDataset
    """What it was made with."""
    note: str = ""
    """What to say below the table; of a cross-validation its result."""

    @property
    def spec(self) -> DatasetSpec:
        """Of the dataset."""
        return self.packed.spec


def _never() -> bool:
    return False


def run_training(
    config: Config,
    stages: Sequence[Stage],
    workdir: Path,
    reuse: Sequence[Path] = (),
    *,
    pod: bool = False,
    stopping: Callable[[], bool] = _never,
    finish: Callable[[Outcome], None] = lambda outcome: None,
    command: Sequence[str] = (),
) -> Outcome | None:
    """Train and evaluate everything that a configuration asks for; a run that was stopped goes on.

    Args:
        config: checked.
        stages: its plan.
        workdir: the run's folder, made if missing.
        reuse: folders of other runs, whose finished stages are copied where they are the same.
        pod: join the other hosts of a TPU pod.
        stopping: returns True once the run should save itself and stop.
        finish: called at the end in the first process, while the folder is still locked; e.g. to write the
            report. This layer cannot: the report is a layer to its right.
        command: words of the command line, for config.json.

    Returns:
        None in all processes but the first of a run of several.

    Raises:
        UserError: the data or a folder do not fit, another run is in the folder, it cannot be written, or
            other processes are not to be found.
        TrainingError: a stage cannot go on.
        Stopped: `stopping` asked for it; everything is saved.
    """
    trackers.check(config.tracker)
    cache = Path(config.data.cache or pack.default_cache())
    packed = pack.load_packed(pack.prepare_dataset(config.data, cache))
    packed = dataclasses.replace(packed, spec=packed.spec.with_empty_iou(config.empty_iou))
    for line in describe_copies(packed.copies, {name: len(s.names) for name, s in packed.splits.items()}):
        logger.warning(line)
    changes, leaks = workdirs.describe_earlier_run(config, packed)
    if changes:
        logger.info(changes)
    if leaks:
        logger.warning(leaks)
    check_data.check_spec(config, packed.spec)
    check_data.check_truth(config, packed)
    initial_weights.check(config.model)
    # Both must precede the first use of a device.
    nets = max(config.num_nets, config.num_baseline_nets, config.evalnet.num_nets)
    devices.configure(cache, nets * max(config.devices_per_net, 1))
    distributed.start(pod)
    devices.check_backend()
    with disk.translate_disk_errors(workdir), distributed.folder(workdir) as folder, lock.held(folder):
        rows = _run_stages(
            config, stages, packed, folder, reuse, distributed.synchronized_flag(stopping), command
        )
        outcome = None
        if distributed.is_first():
            results.write(folder, rows)
            outcome = Outcome(folder, rows, packed)
            finish(outcome)
        # The first process has more to do at the end; the others must be there until then.
        distributed.barrier()
    return outcome


def _run_stages(
    config: Config,
    stages: Sequence[Stage],
    packed: PackedDataset,
    workdir: Path,
    reuse: Sequence[Path],
    stopping: Callable[[], bool],
    command: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows of results.csv, once every stage is done."""
    distributed.assert_equal_across_processes("settings, data or code", workdirs.digest(config, packed))
    workdirs.open_workdir(workdir, config, packed, command)
    reusable = workdirs.reusable_runs(reuse, workdir)
    first = distributed.is_first()
    tracker = trackers.open_tracker(config.tracker, workdir) if first else None
    writer = Writer(workdir, first, tracker)
    writer.hparams(flatten(dataclasses.asdict(config)))
    try:
        artifacts = ArtifactStore(workdir, stages, shared_inputs(config, packed.manifest["hash"]), reusable)
        speeds = SpeedStore.of(config)
        return runner.run(stages, packed, artifacts, Runtime.of(config), writer, stopping, speeds)
    finally:
        writer.close()
