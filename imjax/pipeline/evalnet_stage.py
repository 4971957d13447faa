"""EvalNets: pairs of known quality from the start stages' candidates, nets that learn it, their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.config.convert import freeze
from imjax.config.schema import Model
from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.inference.load_run import load_stage
from imjax.inference.trained_model import TrainedModel
from imjax.json_io import read_json, write_json
from imjax.methods.generational import evalnet
from imjax.models.factory import create_evalnet
from imjax.models.network import Network
from imjax.ops import augment
from imjax.ops.batched_map import map_images
from imjax.pipeline import training_sets
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.stages import EvalNetStage, PairsStage
from imjax.pipeline.train_stage import fit_stage
from imjax.training.checkpoints import load_nets, save_nets
from imjax.training.objective import evalnet_objective
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime

STREAMS = {"labeled": "pairs/labelled", "val": "pairs/val"}
"""Random stream of each split's pairs. A stream's name seeds it, so the old spelling stays: another one would
draw other pairs than the runs that the documented results are from."""


def make_pairs(
    stage: PairsStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
) -> dict[str, Any]:
    """Write `labeled.npz` and `val.npz` (fields of `evalnet.EvalNetExample`, methods.md 1.6).

    Returns:
        Metadata for DONE.json.
    """
    counts, out = {}, artifacts.folder_in_progress(stage.name)
    # All of a stage's nets in the order of training, those that were dropped too: their masks are masks.
    models = [
        load_stage(artifacts.folder(nets), dataset.spec, runtime, with_dropped=True) for nets in stage.nets
    ]
    for split in ("labeled", "val"):
        make = _pairs_of_ensembles if stage.of == "ensembles" else _pairs_of_candidates
        pairs = make(stage, dataset, models, split)
        # numpy's stubs take any name for `allow_pickle`.
        np.savez(out / f"{split}.npz", **pairs)  # type: ignore[arg-type]
        counts[split] = len(pairs["image"])
    monitor.log(f"{counts['labeled']} training pairs, {counts['val']} validation pairs")
    return counts


def _pairs_of_candidates(
    stage: PairsStage, dataset: PackedDataset, models: list[TrainedModel], split: str
) -> training_sets.Pairs:
    """Each image with each candidate's mask (on val, a few of each stage's), and once with the truth."""
    data = dataset.splits[split]
    count = 0 if split == "labeled" else stage.pairs.val_members
    masks = [model.predict_labels(data.images, count) for model in models]
    parts = [
        map_images(evalnet.candidate_example, data.images, data.labels, mask, spec=dataset.spec)
        for mask in [*np.concatenate(masks), data.labels]
    ]
    return training_sets.join(*(part._asdict() for part in parts))


def _pairs_of_ensembles(
    stage: PairsStage, dataset: PackedDataset, models: list[TrainedModel], split: str
) -> training_sets.Pairs:
    """Passes over the images, each with a drawn ensemble's blocked pair."""
    data, settings, seed = dataset.splits[split], stage.pairs, stage.seed
    labels = np.concatenate([model.predict_labels(data.images) for model in models])
    parts = []
    for number in range(settings.epochs if split == "labeled" else settings.val_epochs):
        draws = rng.numpy(seed, STREAMS[split], number)
        members = _draw_members(draws, labels, settings.min_members, settings.max_members)
        kernels = draws.choice(np.array(settings.kernels, np.int32), (len(data.images), 2))
        keys = jax.random.split(rng.key(seed, STREAMS[split], number), len(data.images))
        parts.append(
            map_images(
                _pair,
                keys,
                data.images,
                data.labels,
                members,
                kernels,
                shared=(training_sets.kernel_strength(settings),),
                spec=dataset.spec,
            )  # fmt: skip
        )
    return training_sets.join(*(part._asdict() for part in parts))


def _pair(
    strength: augment.AugmentStrength,
    key: jax.Array,
    image: jax.Array,
    truth: jax.Array,
    members: jax.Array,
    kernels: jax.Array,
    *,
    spec: DatasetSpec,
) -> evalnet.EvalNetExample:
    return evalnet.ensemble_example(
        key, image, truth, members, kernels[0], kernels[1],
        spec=spec, strength=strength,
    )  # fmt: skip


def _draw_members(
    draws: np.random.Generator, labels: np.ndarray, min_members: int, max_members: int
) -> np.ndarray:
    """Labels of so many different candidates per image, `[n, max_members, ...]`, repeats filling up.

    A repeated member changes no consensus, so the number varies while the shape does not.
    """
    count, n = labels.shape[:2]
    max_members = min(max_members, count)
    chosen = np.argsort(draws.random((n, count)), 1)[:, :max_members]
    size = draws.integers(min(min_members, max_members), max_members + 1, (n, 1))
    chosen = np.where(np.arange(max_members) < size, chosen, chosen[:, :1])
    return labels[chosen, np.arange(n)[:, None]]


def train(
    stage: EvalNetStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
) -> dict[str, Any]:
    """Train EvalNets and write nets and ranking.

    Returns:
        Metadata for DONE.json.
    """
    folder, out = artifacts.folder(stage.pairs), artifacts.folder_in_progress(stage.name)
    learn, val = (dict(np.load(folder / f"{split}.npz")) for split in ("labeled", "val"))
    net = create_evalnet(stage.model, dataset.spec)
    objective = evalnet_objective(net, dataset.spec, val["image"].shape[1:3])
    fitted = fit_stage(stage, objective, [learn], val, dataset.image_counts, artifacts, runtime, monitor)
    save_nets(out / "nets", fitted.variables)
    write_json(out / "train.json", fitted.metadata() | {"model": dataclasses.asdict(stage.model)})
    best = fitted.value[fitted.ranked()[0]]
    monitor.log(f"val {objective.selection_metric} {best:.4f} by the best of {stage.num_nets} EvalNets")
    return {"pairs": len(learn["image"])}


def make_evalnet_scorer(
    folder: Path, spec: DatasetSpec, runtime: Runtime, count: int, skip_first: bool = False
) -> Callable[[training_sets.Pairs], np.ndarray]:
    """The best EvalNets of a finished stage as a scoring function.

    Args:
        folder: of the stage.
        spec: of the dataset.
        runtime: of the run.
        count: number of its best nets; fewer where others were dropped.
        skip_first: class 0 does not count.

    Returns:
        A function from images and the labels to score to scores, float32 `[n]`, 0..1.
    """
    record = read_json(folder / "train.json")
    net = create_evalnet(freeze(record["model"], Model, "model."), spec)
    chosen = np.array(record["ranked"][:count])
    variables = jax.tree.map(lambda leaf: leaf[chosen], load_nets(folder / "nets"))

    def score(pairs: training_sets.Pairs) -> np.ndarray:
        examples = {"image": pairs["image"], "mask": pairs["label"]}
        outputs = runtime.apply(EvalNetScores(net), variables, examples)
        iou, detection = (np.moveaxis(leaf, 0, 1) for leaf in outputs)
        return map_images(_pair_score, iou, detection, spec=spec, skip_first=skip_first)

    return score


@dataclasses.dataclass(frozen=True)
class EvalNetScores:
    """IoU and detection that an EvalNet gives to pairs; equal ones share compiled programs."""

    net: Network

    def __call__(self, variables: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """See `NetFunction`; the batch has `image` and `mask`."""
        iou, detection = self.net.apply(variables, batch["image"], batch["mask"])
        return jax.nn.sigmoid(iou), jax.nn.sigmoid(iou if detection is None else detection)


def _pair_score(iou: jax.Array, detection: jax.Array, *, spec: DatasetSpec, skip_first: bool) -> jax.Array:
    return evalnet.pair_score(iou, detection, spec=spec, skip_first=skip_first)
