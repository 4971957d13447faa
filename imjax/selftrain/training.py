"""Training stages: candidate U-Nets, trained, ranked on val, measured on val and test."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from flax import linen as nn

from imjax import rng
from imjax.engine import evaluate
from imjax.engine.checkpoints import Checkpoints, save_nets
from imjax.engine.fit import Fitted, fit, steps_per_epoch
from imjax.engine.monitor import Monitor
from imjax.engine.objective import Objective, segmentation, with_consistency
from imjax.log import logger
from imjax.methods import consistency
from imjax.metrics import Figures
from imjax.selftrain import panels, sets
from imjax.selftrain.context import Context
from imjax.selftrain.stages import TrainStage
from imjax.selftrain.store import write_json


def run(stage: TrainStage, context: Context, out: Path, monitor: Monitor) -> dict[str, Any]:
    """Train the stage's candidates and write nets, ranking and result rows to `out`.

    Returns:
        Facts for DONE.json.
    """
    pairs = training_set(stage, context)
    monitor.log(f"{len(pairs['image'])} training pairs")
    val = sets.of_split(context.packed, "val")
    net = context.unet(stage.alpha)
    objective = segmentation(net, context.packed.spec, val["image"].shape[1:3])
    phases = [pairs]
    if stage.consistency:
        objective = _consistent(stage, context, objective, net)
        phases.append({"image": context.packed.splits["unlabelled"].images})
    full = sum(len(context.packed.splits[name].names) for name in ("labelled", "unlabelled"))
    least = int(stage.least_share * full)
    fitted = fit_stage(stage, context, objective, phases, val, monitor, least_images=least)
    save_nets(out / "nets", fitted.variables)
    measured = _measure(context, net, fitted.variables)
    ranked = fitted.ranked()
    if stage.select_on_test:
        headline = [figures[context.packed.spec.headline, ""] for figures in measured["test"].figures]
        ranked = [int(i) for i in np.argsort(-np.array(headline), kind="stable")]
    _report(stage, context, measured, ranked, monitor)
    write_json(out / "train.json", fitted.facts() | {"ranked": ranked})
    write_json(out / "rows.json", _rows(stage, context, measured, ranked))
    panels.of_training(context, measured["test"].labels[ranked[0]], out, monitor)
    return {"pairs": len(pairs["image"])}


def _consistent(stage: TrainStage, context: Context, objective: Objective, net: nn.Module) -> Objective:
    spec, best = context.packed.spec, context.best_nets(stage.warm, 1)
    start = jax.tree.map(lambda leaf: leaf[0], best)
    strength = sets.power(stage.consistency)

    def views(key, image):
        return consistency.two_views(key, image, strength, free_rotation=spec.free_rotation)

    return with_consistency(objective, net, spec.kind, start, views)


def fit_stage(
    stage: Any,
    context: Context,
    objective: Objective,
    phases: Sequence[dict[str, np.ndarray]],
    val: sets.Pairs,
    monitor: Monitor,
    least_images: int = 0,
) -> Fitted:
    """`fit` with the stage's name, options and checkpoints; shared by U-Nets and EvalNets.

    `phases` are the training sets of the objective's losses; see `steps_per_epoch` for `least_images`.
    """
    members = context.members(stage.candidates)
    overview(objective)
    checkpoints = Checkpoints(context.store.checkpoints(stage.name))
    sources = [context.source(examples, members) for examples in phases]
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
            predict_batch=context.config.predict_batch,
            checkpoints=checkpoints,
            monitor=monitor,
        )
    finally:
        checkpoints.close()


@functools.lru_cache(maxsize=32)
def overview(objective: Objective) -> None:
    """Log the net's parameters, once per shape of net."""
    shapes = jax.eval_shape(objective.init, rng.key(0, "overview"))
    logger.info("\n%s", parameter_overview.get_parameter_overview(shapes["params"], include_stats=False))


def training_set(stage: TrainStage, context: Context) -> sets.Pairs:
    """Labelled part, and for a generation the pseudo-labelled pairs (method.md 1.2)."""
    packed, seed = context.packed, context.config.seed
    parts = []
    if stage.pseudo:
        parts = _pseudo(stage, context)
    parts.append(sets.labelled(packed, stage.start, stage.aldt, seed))
    return sets.join(*parts)


def _pseudo(stage: TrainStage, context: Context) -> list[sets.Pairs]:
    folder, mask = context.store.folder(stage.pseudo), stage.mask
    data = np.load(folder / "labels.npz")
    keep = data["keep"]
    pairs = sets.blocked(
        context.packed.splits["unlabelled"].images[keep], data["label"][keep], data["inconsistent"][keep],
        mask.block_input, mask.block_output,
    )  # fmt: skip
    parts = [pairs] if stage.originals else []
    if stage.strength:
        key = rng.key(context.config.seed, "augment", stage.generation)
        free = context.packed.spec.free_rotation
        parts.append(sets.augmented(pairs, data["copies"][keep], stage.strength, free, key))
    return parts


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What candidates do on one split."""

    labels: np.ndarray
    """uint8 `[member, n, ...]`."""
    figures: list[Figures]
    """Per member."""


def _measure(context: Context, net: nn.Module, variables: Any) -> dict[str, _Measured]:
    out = {}
    for split in ("val", "test"):
        data = context.packed.splits[split]
        labels = context.predicted_labels(net, variables, data.images)
        out[split] = _Measured(
            labels,
            [
                evaluate.figures(context.packed.spec, truth=data.labels, prediction=one, names=data.names)
                for one in labels
            ],
        )
    return out


def _report(
    stage: TrainStage, context: Context, measured: dict[str, _Measured], ranked: list[int], monitor: Monitor
) -> None:
    """Scalars of the stage: IM sizes of its best nets, and the best candidate's test figures."""
    for split, found in measured.items():
        best = found.labels[np.array(ranked[: stage.ensemble])]
        monitor.scalar(split, "inconsistent_pixels", context.inconsistent_pixels(best))
    figures, headline = measured["test"].figures[ranked[0]], context.packed.spec.headline
    for (metric, label), value in figures.items():
        if not label:
            monitor.scalar("test", metric, value)
    chosen = "test" if stage.select_on_test else "val"
    monitor.log(f"test {headline} {figures[headline, '']:.4f} (best on {chosen} of {stage.candidates})")


def _rows(
    stage: TrainStage, context: Context, measured: dict[str, _Measured], ranked: list[int]
) -> list[dict[str, Any]]:
    """Rows of results.csv: every candidate on val and test."""
    return [
        {
            "dataset": context.packed.spec.name,
            "method": stage.method,
            "seed": context.config.seed,
            "generation": stage.generation,
            "member": member,
            "rank": rank,
            "split": split,
            "metric": metric,
            "class": label,
            "value": round(value, 6) if np.isfinite(value) else None,
        }
        for split, found in measured.items()
        for rank, member in enumerate(ranked, 1)
        for (metric, label), value in found.figures[member].items()
    ]
