"""Training stages: candidate U-Nets, trained, ranked on val, measured on val and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from clu import parameter_overview

from imjax import rng
from imjax.engine import evaluate
from imjax.engine.checkpoints import Checkpoints, save_nets
from imjax.engine.fit import Fitted, fit, steps_per_epoch
from imjax.engine.monitor import Monitor
from imjax.engine.objective import Objective, segmentation
from imjax.log import logger
from imjax.selftrain import panels, sets
from imjax.selftrain.context import Context
from imjax.selftrain.plan import TrainStage
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
    example = {name: array[:1] for name, array in val.items()}
    objective = segmentation(net, context.packed.spec, example)
    fitted = fit_stage(stage, context, objective, pairs, val, monitor, stage.candidates)
    ranked = fitted.ranked()
    save_nets(out / "nets", fitted.variables)
    write_json(out / "train.json", fitted.facts())
    rows = _measure(stage, context, fitted, ranked, monitor)
    write_json(out / "rows.json", rows)
    panels.of_training(context, net, fitted.variables, ranked, out, monitor)
    return {"pairs": len(pairs["image"])}


def fit_stage(
    stage: Any,
    context: Context,
    objective: Objective,
    train: sets.Pairs,
    val: sets.Pairs,
    monitor: Monitor,
    candidates: int,
) -> Fitted:
    """`fit` with the stage's name, options and checkpoints; shared by U-Nets and EvalNets."""
    members = context.members(candidates)
    overview(objective)
    checkpoints = Checkpoints(context.store.checkpoints(stage.name))
    try:
        fitted = fit(
            objective,
            stage.train,
            members,
            [context.source(train, members)],
            context.source(val, members),
            steps=steps_per_epoch(stage.train, [len(next(iter(train.values())))]),
            seed=context.config.seed,
            stage=stage.name,
            predict_batch=context.config.predict_batch,
            checkpoints=checkpoints,
            monitor=monitor,
        )
    finally:
        checkpoints.close()
    return fitted


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
    parts.append(sets.labelled(packed, stage.start, stage.aldt, stage.aldt_copies, seed))
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


def _measure(
    stage: TrainStage, context: Context, fitted: Fitted, ranked: list[int], monitor: Monitor
) -> list[dict[str, Any]]:
    """Rows of results.csv for every candidate on val and test, and the mean IM sizes there."""
    spec, net = context.packed.spec, context.unet(stage.alpha)
    rows = []
    for split in ("val", "test"):
        data = context.packed.splits[split]
        labels = context.predicted_labels(net, fitted.variables, data.images)
        for rank, member in enumerate(ranked, 1):
            figures = evaluate.figures(spec, truth=data.labels, prediction=labels[member])
            rows += [_row(stage, context, member, rank, split, key, value) for key, value in figures.items()]
        ensemble = labels[np.array(ranked[: stage.mask.members])]
        monitor.scalar(split, "inconsistent_pixels", float(context.consensus(ensemble).size.mean()))
    best = {
        row["metric"]: row["value"]
        for row in rows
        if row["rank"] == 1 and row["split"] == "test" and not row["class"]
    }
    for metric, value in best.items():
        monitor.scalar("test", metric, value)
    monitor.log(f"test {spec.headline} {best[spec.headline]:.4f} (best on val of {stage.candidates})")
    return rows


def _row(
    stage: TrainStage,
    context: Context,
    member: int,
    rank: int,
    split: str,
    key: tuple[str, str],
    value: float,
) -> dict[str, Any]:
    return {
        "dataset": context.packed.spec.name,
        "method": stage.method,
        "seed": context.config.seed,
        "generation": stage.generation,
        "member": member,
        "rank": rank,
        "split": split,
        "metric": key[0],
        "class": key[1],
        "value": round(value, 6) if np.isfinite(value) else None,
    }
