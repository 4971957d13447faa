"""Joint training as a stage: systems of nets, trained side by side, measured net by net and together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data import volume_box
from imjax.json_io import write_json
from imjax.log import logger
from imjax.methods.joint.registry import JOINT_METHODS
from imjax.pipeline import image_panels, loss_visuals, training_sets
from imjax.pipeline.context import Context
from imjax.pipeline.rank_candidates import by_headline, decides, measure, measured_by, report, rows_of
from imjax.pipeline.stages import JointStage
from imjax.pipeline.train_stage import fit_stage
from imjax.training.checkpoints import save_nets
from imjax.training.progress import Monitor
from imjax.training.semi_supervised_objective import System, joint_training, looker, of_nets

ENSEMBLE = "_ensemble"
"""Ending of the method's name in rows of a whole system: the mean probability of its nets."""


def run(stage: JointStage, context: Context, out: Path, monitor: Monitor) -> dict[str, Any]:
    """Train the stage's systems and write nets, ranking and result rows to `out`.

    Members of the rows are single nets, those of one system beside each other; rows of whole systems follow
    under `ENSEMBLE`. Nets are ranked on val by the dataset's headline figure.

    Returns:
        Facts for DONE.json.
    """
    packed = context.packed
    system = make_system(stage, context)
    val = _watched(stage, context)
    together = {
        "labeled": training_sets.of_split(packed, "labeled"),
        "unlabeled": {"image": packed.splits["unlabeled"].images},
    }
    counts = {name: len(part["image"]) for name, part in together.items()}
    monitor.log(f"{counts['labeled']} labeled and {counts['unlabeled']} unlabeled images")
    if not counts["unlabeled"]:
        # Half of a batch is there to be unlabeled: the method adds what it asks of images without a label.
        logger.warning("%s: no image is unlabeled; the labeled ones stand in, without labels", stage.name)
        together["unlabeled"] = {"image": together["labeled"]["image"]}
    objective = joint_training(system, val["image"].shape[1:-1])
    fitted = fit_stage(stage, context, objective, [together], val, monitor)
    nets = of_nets(fitted.variables, system.nets)
    flat = jax.tree.map(lambda *leaves: np.stack(leaves, 1).reshape(-1, *leaves[0].shape[1:]), *nets)
    save_nets(out / "nets", flat)
    measured = measure(context, system.net, flat)
    dropped = np.repeat(fitted.dropped, system.nets)
    order = by_headline(context, measured[decides(stage)], dropped)
    ranked = [net for net in order if not dropped[net]]
    report(stage, context, measured, ranked, monitor)
    rows = rows_of(stage, context, measured, order)
    if system.nets > 1:
        voted = measured_by(context, lambda images: context.voted_labels(system.net, nets, images))
        voted_order = by_headline(context, voted[decides(stage)], fitted.dropped)
        rows += rows_of(stage, context, voted, voted_order, ENSEMBLE)
    # Nets are ranked, systems are watched: the report needs to know which is whose.
    write_json(out / "train.json", fitted.facts() | {"ranked": ranked, "nets": system.nets})
    write_json(out / "rows.json", rows)
    image_panels.of_training(context, measured["test"].labels[ranked[0]], out, monitor)
    if JOINT_METHODS[stage.host].exchanges(stage.joint):
        best = jax.tree.map(lambda leaf: leaf[ranked[0] // system.nets], fitted.variables)
        seen = jax.jit(looker(system))(best, *_first_batch(stage, context, together))
        loss_visuals.write(context, jax.tree.map(np.asarray, seen), out, monitor)
    return {"pairs": sum(counts.values())}


def make_system(stage: JointStage, context: Context) -> System:
    """The nets and the method of a stage."""
    host = JOINT_METHODS[stage.host]
    net = context.unet(stage.alpha, host.auxiliaries)
    return System(net, host, stage.joint, context.packed.spec, stage.weighting)


def _watched(stage: JointStage, context: Context) -> training_sets.Pairs:
    """Val as it is watched during training: whole images, of volumes the part in the middle.

    One part of a patch's size per volume: as quick as an image, the same at every epoch, and hardly ever
    without an object, of which a soft IoU would say nothing. Nets are ranked on the whole volumes afterwards.
    """
    val = training_sets.of_split(context.packed, "val")
    if not stage.joint.patch:
        return val
    parts = [
        volume_box.pad_or_crop(*pair, stage.joint.patch)
        for pair in zip(val["image"], val["label"], strict=True)
    ]
    return dict(zip(("image", "label"), map(np.stack, zip(*parts, strict=True)), strict=True))


def _first_batch(stage: JointStage, context: Context, together: dict[str, Any]) -> tuple[dict, jax.Array]:
    """A batch of the first images, and a key: the same images whatever the method."""
    half = stage.train.batch_size // 2
    batch = {
        name: {key: np.asarray(array[np.arange(half) % len(array)]) for key, array in part.items()}
        for name, part in together.items()
    }
    return batch, rng.key(context.config.seed, "looks")
