"""EvalNets: pairs of known quality from the start stages' candidates, nets that learn it, their scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from imjax import rng
from imjax.data.spec import DatasetSpec
from imjax.json_io import write_json
from imjax.methods.generational import evalnet
from imjax.ops import augment
from imjax.ops.batched_map import map_images
from imjax.pipeline import training_sets
from imjax.pipeline.context import Context
from imjax.pipeline.stages import EvalNetStage, PairsStage
from imjax.pipeline.train_stage import fit_stage
from imjax.training import apply_nets, memory
from imjax.training.checkpoints import load_nets, save_nets
from imjax.training.ensemble_parallel import Members
from imjax.training.objective import evalnet_objective
from imjax.training.progress import StageLogger

STREAMS = {"labeled": "pairs/labelled", "val": "pairs/val"}
"""Random stream of each split's pairs. A stream's name seeds it, so the old spelling stays: another one would
draw other pairs than the runs that the documented results are from."""


def make_pairs(stage: PairsStage, context: Context, out: Path, monitor: StageLogger) -> dict[str, Any]:
    """Write `labeled.npz` and `val.npz` (fields of `evalnet.EvalNetExample`) to `out` (methods.md 1.6).

    Returns:
        Metadata for DONE.json.
    """
    counts = {}
    for split in ("labeled", "val"):
        make = _pairs_of_ensembles if stage.of == "ensembles" else _pairs_of_candidates
        pairs = make(stage, context, split)
        np.savez(out / f"{split}.npz", **pairs)
        counts[split] = len(pairs["image"])
    monitor.log(f"{counts['labeled']} training pairs, {counts['val']} validation pairs")
    return counts


def _labels(context: Context, nets: str, images: np.ndarray, count: int | None = None) -> np.ndarray:
    """Labels by the first `count` (None: all) candidates of a stage, `[member, n, ...]`."""
    net = context.unet(context.store.stage(nets).alpha)
    variables = load_nets(context.store.folder(nets) / "nets")
    return context.predicted_labels(net, jax.tree.map(lambda leaf: leaf[:count], variables), images)


def _pairs_of_candidates(stage: PairsStage, context: Context, split: str) -> training_sets.Pairs:
    """Each image with each candidate's mask (on val, a few of each stage's), and once with the truth."""
    data = context.packed.splits[split]
    count = None if split == "labeled" else stage.pairs.val_candidates
    masks = [_labels(context, nets, data.images, count) for nets in stage.nets]
    parts = [
        map_images(evalnet.candidate_example, data.images, data.labels, mask, spec=context.packed.spec)
        for mask in [*np.concatenate(masks), data.labels]
    ]
    return training_sets.join(*(part._asdict() for part in parts))


def _pairs_of_ensembles(stage: PairsStage, context: Context, split: str) -> training_sets.Pairs:
    """Passes over the images, each with a drawn ensemble's blocked pair."""
    data, settings, seed = context.packed.splits[split], stage.pairs, context.config.seed
    labels = np.concatenate([_labels(context, nets, data.images) for nets in stage.nets])
    parts = []
    for number in range(settings.passes if split == "labeled" else settings.val_passes):
        draws = rng.numpy(seed, STREAMS[split], number)
        members = _draw_members(draws, labels, settings.fewest, settings.most)
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
                spec=context.packed.spec,
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


def _draw_members(draws: np.random.Generator, labels: np.ndarray, fewest: int, most: int) -> np.ndarray:
    """Labels of `fewest` to `most` different candidates per image, `[n, most, ...]`, repeats filling up.

    A repeated member changes no consensus, so the number varies while the shape does not.
    """
    count, n = labels.shape[:2]
    most = min(most, count)
    chosen = np.argsort(draws.random((n, count)), 1)[:, :most]
    size = draws.integers(min(fewest, most), most + 1, (n, 1))
    chosen = np.where(np.arange(most) < size, chosen, chosen[:, :1])
    return labels[chosen, np.arange(n)[:, None]]


def train(stage: EvalNetStage, context: Context, out: Path, monitor: StageLogger) -> dict[str, Any]:
    """Train EvalNets and write nets and ranking to `out`.

    Returns:
        Metadata for DONE.json.
    """
    folder = context.store.folder(stage.pairs)
    learn, val = (dict(np.load(folder / f"{split}.npz")) for split in ("labeled", "val"))
    objective = evalnet_objective(context.evalnet(stage.alpha), context.packed.spec, val["image"].shape[1:3])
    fitted = fit_stage(stage, context, objective, [learn], val, monitor)
    save_nets(out / "nets", fitted.variables)
    write_json(out / "train.json", fitted.metadata())
    best = fitted.value[fitted.ranked()[0]]
    monitor.log(f"val {objective.selection_metric} {best:.4f} (best of {stage.candidates})")
    return {"pairs": len(learn["image"])}


def make_evalnet_scorer(
    context: Context, evalnets: str, count: int, skip_first: bool = False
) -> Callable[[training_sets.Pairs], np.ndarray]:
    """The best EvalNets of a finished stage as a scoring function.

    Args:
        context: of the run.
        evalnets: name of the stage.
        count: number of its best nets; fewer where others were dropped.
        skip_first: class 0 does not count.

    Returns:
        A function from images and the labels to score to scores, float32 `[n]`, 0..1.
    """
    stage, spec = context.store.stage(evalnets), context.packed.spec
    net, variables = context.evalnet(stage.alpha), context.best_nets(evalnets, count)
    batch, labeled = context.config.eval_batch_size, context.packed.splits["labeled"]
    shapes = memory.shapes({"image": labeled.images, "mask": labeled.labels}, batch)
    need = memory.inference_memory(_score_fn(net), variables, shapes)
    members = context.members(jax.tree.leaves(variables)[0].shape[0], need)
    placed, mapped = members.shard(variables), _compiled_scores(members, net)

    def score(pairs: training_sets.Pairs) -> np.ndarray:
        source = context.source({"image": pairs["image"], "mask": pairs["label"]}, members)
        outputs = apply_nets.per_image(members, mapped, placed, source, batch)
        iou, detection = (np.moveaxis(leaf, 0, 1) for leaf in outputs)
        return map_images(_pair_score, iou, detection, spec=spec, skip_first=skip_first)

    return score


@functools.lru_cache(maxsize=8)
def _compiled_scores(members: Members, net: nn.Module) -> Callable:
    return members.map(_score_fn(net))


def _score_fn(net: nn.Module) -> Callable:
    def score_batch(variables, batch):
        iou, detection = net.apply(variables, batch["image"], batch["mask"])
        return jax.nn.sigmoid(iou), jax.nn.sigmoid(iou if detection is None else detection)

    return score_batch


def _pair_score(iou: jax.Array, detection: jax.Array, *, spec: DatasetSpec, skip_first: bool) -> jax.Array:
    return evalnet.pair_score(iou, detection, spec=spec, skip_first=skip_first)
