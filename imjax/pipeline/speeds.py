"""How long a plan takes on this machine: speeds of stages that ran before, kept in the cache folder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imjax.config.schema import Config
from imjax.data import pack
from imjax.data.splits import ImageCounts
from imjax.json_io import read_json, write_json
from imjax.log import format_time
from imjax.pipeline.count_steps import count_image_range
from imjax.pipeline.stages import JointStage, LabelStage, PairsStage, Stage, TrainStage
from imjax.training import devices

FOLDER = "speeds"
"""In the cache folder: a json file for each kind of stage."""
SAME = 1.1
"""Two estimates whose ratio is smaller are one to people."""


class Speed(NamedTuple):
    """How fast a stage ran."""

    images_per_second: float
    """Over all nets, with the validation after each epoch; of stages that label, images of the dataset."""
    compile_seconds: float
    """Before its first step: of stages with the same networks the first compiles for all."""
    other_seconds: float
    """After its last step: measuring and saving its nets."""


class Estimate(NamedTuple):
    """Of a plan, in seconds."""

    low: float
    high: float
    """Where only the run will know how many pseudo-labeled pairs there are."""
    borrowed: int
    """Training stages without a speed of their own, for which that of another stage stands."""
    left_out: int
    """Stages that label, without a speed."""


@dataclasses.dataclass(frozen=True)
class SpeedStore:
    """Speeds of stages on this machine's devices, for one size of images."""

    folder: Path
    size: tuple[int, ...]
    """Of the packed images."""

    @classmethod
    def of(cls, config: Config) -> SpeedStore:
        """The store that runs of a configuration write to."""
        data = config.data
        return cls(Path(data.cache or pack.default_cache()) / FOLDER, (data.depth, data.height, data.width))

    def find(self, stage: Stage) -> Speed | None:
        """Of the last stage like this one; None: there was none."""
        # Before the device is asked for its name, which takes seconds.
        if not self.folder.is_dir():
            return None
        try:
            found = read_json(self._path(stage))
            return Speed(*(float(found[name]) for name in Speed._fields))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, stage: Stage, speed: Speed, replace: bool = True) -> None:
        """Keep a speed, if the folder can be written.

        Args:
            stage: that ran.
            speed: of it.
            replace: whether one that is there is replaced: not by a stage that was stopped, whose nets were
                not measured.
        """
        # A run is not to fail for want of an estimate.
        with contextlib.suppress(OSError):
            path = self._path(stage)
            path.parent.mkdir(parents=True, exist_ok=True)
            if replace or not path.exists():
                write_json(path, speed._asdict() | {"stage": describe_kind(stage)})

    def _path(self, stage: Stage) -> Path:
        key = json.dumps([describe_device(), self.size, describe_kind(stage)], sort_keys=True)
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def describe_kind(stage: Stage) -> dict[str, Any]:
    """What the speed of a stage depends on, as a value for json."""
    kind: dict[str, Any] = {"kind": type(stage).__name__}
    if isinstance(stage, LabelStage):
        names = ("method", "members", "copies", "num_evalnets")
        return kind | {name: getattr(stage, name) for name in names}
    if isinstance(stage, PairsStage):
        return kind | {"of": stage.of}
    if isinstance(stage, JointStage):
        kind["joint_method"] = stage.joint_method
    if isinstance(stage, TrainStage) and stage.consistency:
        kind["consistency"] = True
    model = dataclasses.asdict(stage.model)
    return kind | {"model": model, "nets": stage.num_nets, "batch_size": stage.train.batch_size}


@functools.cache
def describe_device() -> str:
    """Kind and number of the devices; of CPUs the processor and the cores that this process may use."""
    import jax

    if jax.default_backend() != "cpu":
        return f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return f"{devices.count_cores()} cores of {devices.name_processor()}"


def estimate_time(stages: Sequence[Stage], counts: ImageCounts, speeds: SpeedStore) -> Estimate | None:
    """Seconds of a plan; None where no training stage of it, or one like it, ran on this machine."""
    found = {stage.name: speeds.find(stage) for stage in stages}
    labels = {stage.name for stage in stages if isinstance(stage, LabelStage | PairsStage)}
    trained = [speed for name, speed in found.items() if speed is not None and name not in labels]
    if not trained:
        return None
    low = high = 0.0
    borrowed = left_out = 0
    compiled = []
    for stage in stages:
        speed = found[stage.name]
        if speed is None and stage.name in labels:
            left_out += 1
            continue
        borrowed += speed is None
        rate, compilation, other = speed or trained[0]
        images = (sum(counts),) * 2 if stage.name in labels else count_image_range(stage, stages, counts)
        if (kind := describe_kind(stage)) not in compiled:
            compiled.append(kind)
            other += compilation
        low, high = low + images[0] / rate + other, high + images[1] / rate + other
    return Estimate(low, high, borrowed, left_out)


def describe_time(
    stages: Sequence[Stage], counts: ImageCounts | None, speeds: SpeedStore, runs: int = 1
) -> str:
    """A sentence on how long a plan takes, and from what that is known.

    Args:
        stages: the plan.
        counts: images of the dataset; None: not known.
        speeds: of stages that ran before.
        runs: how often the plan is run, as of a cross-validation.
    """
    if counts is None:
        return "Time: not known without the data."
    found = estimate_time(stages, counts, speeds)
    if found is None:
        return (
            "Time: not known, since no such network was trained on this machine at this image size. Add "
            "--measure to train a few steps now and estimate it."
        )
    low, high = format_time(runs * found.low), format_time(runs * found.high)
    span = low if found.high < SAME * found.low else f"{low} to {high}, by the number of pairs that are kept"
    text = f"Time: about {span}, from the speed of earlier training on this machine ({describe_device()})."
    if found.borrowed:
        text += (
            f" {found.borrowed} of {len(stages)} stages train networks that were not measured here; they "
            "are taken to be as fast as the others."
        )
    if found.left_out:
        text += f" The time of {found.left_out} stages that label images is not known, and not counted."
    return text
