"""Training stages: candidate U-Nets, trained, ranked on val, measured on val and test."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from imjax import rng
from imjax.data.spec import DatasetSpec
from imjax.json_io import write_json
from imjax.log import logger
from imjax.methods.generational import consistency
from imjax.pipeline import image_panels, training_sets
from imjax.pipeline.context import Context
from imjax.pipeline.rank_candidates import measure, rank_candidates, report, result_rows, selection_split
from imjax.pipeline.stages import TrainStage
from imjax.training import memory
from imjax.training.checkpoints import Checkpoints, save_nets
from imjax.training.data_loader import EnsembleLoader, Examples, PairedLoader
from imjax.training.ensemble_parallel import Members
from imjax.training.loop import TrainResult, fit, steps_per_epoch
from imjax.training.objective import Objective, segmentation_objective, with_consistency_phase
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
    spec = training_spec(stage, context.packed.spec)
    objective = segmentation_objective(net, spec, val["image"].shape[1:3])
    phases = [pairs]
    if stage.consistency:
        objective = _add_consistency(stage, context, objective, net)
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


def training_spec(stage: TrainStage, spec: DatasetSpec) -> DatasetSpec:
    """The dataset's spec for the stage's loss: the consistency method scales no target (methods.md 1.5)."""
    # Of HeLa's positions the target is 3 in every other method.
    return dataclasses.replace(spec, target_scale=(1.0,)) if stage.consistency else spec


def _add_consistency(stage: TrainStage, context: Context, objective: Objective, net: nn.Module) -> Objective:
    spec, best = context.packed.spec, context.best_nets(stage.warm, 1)
    start = jax.tree.map(lambda leaf: leaf[0], best)
    strength = training_sets.kernel_strength(stage.consistency)

    def views(key, image):
        return consistency.two_views(key, image, strength, rotation_invariant=spec.rotation_invariant)

    return with_consistency_phase(objective, net, spec.kind, start, views)


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
    return memory.of_training(objective, [batch(examples) for examples in phases], val_batch)


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
