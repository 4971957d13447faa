"""Training stages: candidate U-Nets, trained, ranked on val, measured on val and test."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.json_io import write_json
from imjax.log import logger
from imjax.pipeline import image_panels, training_sets
from imjax.pipeline.context import Context
from imjax.pipeline.rank_candidates import measure, rank_candidates, report, result_rows, selection_split
from imjax.pipeline.stages import TrainStage
from imjax.training import memory
from imjax.training.checkpoints import Checkpoints, save_nets
from imjax.training.data_loader import EnsembleLoader, Examples, PairedLoader
from imjax.training.ensemble_parallel import Members
from imjax.training.loop import TrainResult, fit, steps_per_epoch
from imjax.training.objective import Objective, consistency_objective, segmentation_objective
from imjax.training.progress import StageLogger


def run(stage: TrainStage, context: Context, out: Path, monitor: StageLogger) -> dict[str, Any]:
    """Train the stage's candidates and write nets, ranking and result rows to `out`.

    Candidates are ranked by the dataset's primary metric, see `rank_candidates`.

    Returns:
        Metadata for DONE.json.
    """
    pairs = training_set(stage, context)
    monitor.log(f"{len(pairs['image'])} training pairs")
    val = training_sets.of_split(context.packed, "val")
    net = context.unet(stage.alpha)
    setting = (net, context.packed.spec, val["image"].shape[1:3])
    objective, phases = segmentation_objective(*setting), [pairs]
    if stage.consistency:
        start = jax.tree.map(lambda leaf: leaf[0], context.best_nets(stage.warm, 1))
        objective = consistency_objective(*setting, stage.consistency, start)
        phases.append({"image": context.packed.splits["unlabeled"].images})
    full = sum(len(context.packed.splits[name].names) for name in ("labeled", "unlabeled"))
    least = int(stage.least_share * full)
    fitted = fit_stage(stage, context, objective, phases, val, monitor, least_images=least)
    save_nets(out / "nets", fitted.variables)
    measured = measure(context, net, fitted.variables)
    # The monitored value only picked each candidate's epoch; the metric ranks candidates (methods.md 1.1).
    order = rank_candidates(context, measured[selection_split(stage)], fitted.dropped)
    ranked = [member for member in order if not fitted.dropped[member]]
    report(stage, context, measured, ranked, monitor)
    write_json(out / "train.json", fitted.metadata() | {"ranked": ranked})
    write_json(out / "rows.json", result_rows(stage, context, measured, order))
    image_panels.write_training_panels(context, measured["test"].labels[ranked[0]], out, monitor)
    if stage.pseudo:

        def labels_of(images):
            return context.predicted_labels(net, fitted.variables, images)[ranked[0]]

        image_panels.write_generation_panels(context, labels_of, out, monitor)
    return {"pairs": len(pairs["image"])}


def fit_stage(
    stage: Any,
    context: Context,
    objective: Objective,
    phases: Sequence[Examples | dict[str, Examples]],
    val: training_sets.Pairs,
    monitor: StageLogger,
    least_images: int = 0,
) -> TrainResult:
    """`fit` with the stage's name, options and checkpoints; shared by U-Nets, systems of them, and EvalNets.

    `phases` are the training sets of the objective's losses, or several by name that share every batch; see
    `steps_per_epoch` for `least_images`.
    """
    members = context.members(stage.candidates, lambda: _member_bytes(stage, context, objective, phases, val))
    log_parameter_overview(objective)
    checkpoints = Checkpoints(context.store.checkpoints(stage.name))
    sources = [_make_loader(context, members, examples) for examples in phases]
    try:
        return fit(
            objective,
            stage.train,
            members,
            sources,
            context.source(val, members),
            steps=steps_per_epoch(stage.train, [source.count for source in sources], least_images),
            seed=context.config.seed,
            stage=stage.name,
            eval_batch_size=context.config.eval_batch_size,
            checkpoints=checkpoints,
            stage_logger=monitor,
            drop=context.config.on_nan == "drop",
        )
    finally:
        checkpoints.close()


def _member_bytes(
    stage: Any, context: Context, objective: Objective, phases: Sequence, val: training_sets.Pairs
) -> int:
    """Bytes that training one member takes."""

    def batch(examples: Any) -> Any:
        if _is_paired(examples):
            share = stage.train.batch_size // len(examples)
            return {name: memory.shapes(part, share) for name, part in examples.items()}
        return memory.shapes(examples, stage.train.batch_size)

    val_batch = memory.shapes(val, context.config.eval_batch_size)
    return memory.training_memory(objective, [batch(examples) for examples in phases], val_batch)


def _is_paired(examples: Any) -> bool:
    """Whether these are several training sets that share every batch."""
    return all(isinstance(part, dict) for part in examples.values())


def _make_loader(context: Context, members: Members, examples: Any) -> EnsembleLoader | PairedLoader:
    if _is_paired(examples):
        return PairedLoader({name: context.source(part, members) for name, part in examples.items()})
    return context.source(examples, members)


@functools.lru_cache(maxsize=32)
def log_parameter_overview(objective: Objective) -> None:
    """Log the net's parameters, once per shape of net."""
    # Imported here, so that other users of this module need no clu.
    from clu import parameter_overview

    shapes = jax.eval_shape(objective.init, rng.key(0, "overview"))
    logger.info("\n%s", parameter_overview.get_parameter_overview(shapes["params"], include_stats=False))


def training_set(stage: TrainStage, context: Context) -> training_sets.Pairs:
    """Labeled part, and for a generation the pseudo-labeled pairs (methods.md 1.2)."""
    packed, seed = context.packed, context.config.seed
    parts = []
    if stage.pseudo:
        parts = _pseudo_labeled_pairs(stage, context)
    parts.append(training_sets.labeled(packed, stage.start, stage.aldt, seed))
    return training_sets.join(*parts)


def _pseudo_labeled_pairs(stage: TrainStage, context: Context) -> list[training_sets.Pairs]:
    folder, mask = context.store.folder(stage.pseudo), stage.mask
    data = np.load(folder / "labels.npz")
    keep = data["keep"]
    pairs = training_sets.blocked(
        context.packed.splits["unlabeled"].images[keep], data["label"][keep], data["inconsistent"][keep],
        mask.zero_image, mask.zero_label,
    )  # fmt: skip
    parts = [pairs] if stage.originals else []
    if stage.strength:
        key = rng.key(context.config.seed, "augment", stage.generation)
        free = context.packed.spec.rotation_invariant
        parts.append(training_sets.augmented(pairs, data["copies"][keep], stage.strength, free, key))
    return parts
