"""Joint training as a stage: systems of nets, trained side by side, measured per net and per system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data import volume_box
from imjax.json_io import write_json
from imjax.log import logger
from imjax.methods.registry import JOINT_METHODS
from imjax.pipeline import image_panels, loss_visuals, training_sets
from imjax.pipeline.context import Context
from imjax.pipeline.rank_candidates import (
    measure,
    measure_labels,
    rank_candidates,
    report,
    result_rows,
    selection_split,
)
from imjax.pipeline.stages import JointStage
from imjax.pipeline.train_stage import fit_stage
from imjax.training.checkpoints import save_nets
from imjax.training.progress import StageLogger
from imjax.training.semi_supervised_objective import System, joint_objective, make_loss_visualizer, split_nets

ENSEMBLE = "_ensemble"
"""Ending of the method's name in rows of a whole system: the mean probability of its nets."""


def run(stage: JointStage, context: Context, out: Path, monitor: StageLogger) -> dict[str, Any]:
    """Train the stage's systems and write nets, ranking and result rows to `out`.

    Members of the rows are single nets, those of one system next to each other; rows of whole systems follow
    under `ENSEMBLE`. Nets are ranked on val by the dataset's primary metric.

    Returns:
        Metadata for DONE.json.
    """
    packed = context.packed
    system = make_system(stage, context)
    val = _validation_set(stage, context)
    examples = {
        "labeled": training_sets.of_split(packed, "labeled"),
        "unlabeled": {"image": packed.splits["unlabeled"].images},
    }
    counts = {name: len(part["image"]) for name, part in examples.items()}
    monitor.log(f"{counts['labeled']} labeled and {counts['unlabeled']} unlabeled images")
    if not counts["unlabeled"]:
        # Half of each batch has to be unlabeled, because the method's unlabeled losses need images.
        logger.warning("%s: no image is unlabeled; the labeled ones stand in, without labels", stage.name)
        examples["unlabeled"] = {"image": examples["labeled"]["image"]}
    objective = joint_objective(system, val["image"].shape[1:-1])
    fitted = fit_stage(stage, context, objective, [examples], val, monitor)
    nets = split_nets(fitted.variables, system.num_nets)
    flat = jax.tree.map(lambda *leaves: np.stack(leaves, 1).reshape(-1, *leaves[0].shape[1:]), *nets)
    save_nets(out / "nets", flat)
    measured = measure(context, system.net, flat)
    dropped = np.repeat(fitted.dropped, system.num_nets)
    order = rank_candidates(context, measured[selection_split(stage)], dropped)
    ranked = [net for net in order if not dropped[net]]
    report(stage, context, measured, ranked, monitor)
    rows = result_rows(stage, context, measured, order)
    if system.num_nets > 1:
        voted = measure_labels(context, lambda images: context.voted_labels(system.net, nets, images))
        voted_order = rank_candidates(context, voted[selection_split(stage)], fitted.dropped)
        rows += result_rows(stage, context, voted, voted_order, ENSEMBLE)
    # Nets are ranked, systems are trained: the report needs the number of nets to map one to the other.
    write_json(out / "train.json", fitted.metadata() | {"ranked": ranked, "nets": system.num_nets})
    write_json(out / "rows.json", rows)
    image_panels.write_training_panels(context, measured["test"].labels[ranked[0]], out, monitor)
    if JOINT_METHODS[stage.joint_method].num_pairs(stage.joint):
        best = jax.tree.map(lambda leaf: leaf[ranked[0] // system.num_nets], fitted.variables)
        visuals = jax.jit(make_loss_visualizer(system))(best, *_first_batch(stage, context, examples))
        loss_visuals.write(context, jax.tree.map(np.asarray, visuals), out, monitor)
    return {"pairs": sum(counts.values())}


def make_system(stage: JointStage, context: Context) -> System:
    """The nets and the method of a stage."""
    method = JOINT_METHODS[stage.joint_method]
    net = context.unet(stage.width, method.auxiliary_decoders)
    return System(net, method, stage.joint, context.packed.spec)


def _validation_set(stage: JointStage, context: Context) -> training_sets.Pairs:
    """Val as training evaluates it: whole images, and of each volume a patch from the middle.

    One patch per volume is as quick as an image, is the same at every epoch, and hardly ever lacks an object,
    where a soft IoU would mean nothing. Nets are ranked on the whole volumes afterwards.
    """
    val = training_sets.of_split(context.packed, "val")
    if not stage.joint.patch:
        return val
    parts = [
        volume_box.pad_or_crop(*pair, stage.joint.patch)
        for pair in zip(val["image"], val["label"], strict=True)
    ]
    return dict(zip(("image", "label"), map(np.stack, zip(*parts, strict=True)), strict=True))


def _first_batch(stage: JointStage, context: Context, examples: dict[str, Any]) -> tuple[dict, jax.Array]:
    """A batch of the first images, and a key: the same images for every method."""
    half = stage.train.batch_size // 2
    batch = {
        name: {key: np.asarray(array[np.arange(half) % len(array)]) for key, array in part.items()}
        for name, part in examples.items()
    }
    return batch, rng.key(context.config.seed, "looks")
