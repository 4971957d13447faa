"""Label stages: consensus of the best nets, inconsistency masks, and how many copies each pair gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax.data.spec import VOID, DatasetSpec
from imjax.engine import evaluate, predict
from imjax.engine.images import over_images
from imjax.engine.monitor import Monitor
from imjax.ops import inconsistency, scores
from imjax.selftrain import panels, sets
from imjax.selftrain.context import Context
from imjax.selftrain.plan import LabelStage


def run(stage: LabelStage, context: Context, out: Path, monitor: Monitor) -> dict[str, Any]:
    """Label the unlabelled images and write `labels.npz` to `out`.

    `labels.npz`: `label` uint8 consensus, `inconsistent` bool `[n, h, w]`, `keep` bool `[n]`, `copies`
    int32 `[n]`, `score` float32 `[n]` (EvalNet's; nan without).

    Returns:
        Facts for DONE.json.
    """
    unlabelled = context.packed.splits["unlabelled"]
    net = context.unet(context.store.stage(stage.nets).alpha)
    variables = context.best_nets(stage.nets, stage.mask.members)
    pair = context.consensus(context.predicted_labels(net, variables, unlabelled.images))
    score = _scores(stage, context, unlabelled.images, pair)
    copies = _copies(stage, score)
    np.savez(
        out / "labels.npz", label=pair.label, inconsistent=pair.inconsistent, keep=pair.keep,
        copies=copies, score=score,
    )  # fmt: skip
    facts = _facts(context, pair, score, copies)
    for name, value in facts.items():
        monitor.scalar("unlabelled", name, value)
    monitor.log(", ".join(f"{name} {value:.4g}" for name, value in facts.items()))
    panels.of_labels(context, pair, out, monitor)
    return {name: value for name, value in facts.items() if np.isfinite(value)}


def _scores(stage: LabelStage, context: Context, images: np.ndarray, pair: inconsistency.Pair) -> np.ndarray:
    """EvalNets' score of each blocked pair, float32 `[n]`; nan where the method has none."""
    if stage.evalnets is None:
        return np.full(len(images), np.nan, np.float32)
    judges = context.store.stage(stage.evalnets)
    net = context.evalnet(judges.alpha)
    variables = context.best_nets(stage.evalnets, judges.top)
    members = context.members(jax.tree.leaves(variables)[0].shape[0])
    mask = stage.mask
    pairs = sets.blocked(images, pair.label, pair.inconsistent, mask.block_input, mask.block_output)
    source = context.source({"image": pairs["image"], "mask": pairs["label"]}, members)

    def judge(v, batch):
        iou, detection = net.apply(v, batch["image"], batch["mask"])
        return jax.nn.sigmoid(iou), jax.nn.sigmoid(iou if detection is None else detection)

    iou, detection = predict.per_image(
        members, judge, members.spread(variables), source, context.config.predict_batch
    )
    return over_images(_score, np.moveaxis(iou, 0, 1), np.moveaxis(detection, 0, 1), spec=context.packed.spec)


def _score(iou: jax.Array, detection: jax.Array, *, spec: DatasetSpec) -> jax.Array:
    known = None if spec.kind == "binary" else detection
    return scores.pair_score(iou, known, skip_first=spec.reserved)


def _copies(stage: LabelStage, score: np.ndarray) -> np.ndarray:
    """Augmented copies per pair, int32 `[n]`."""
    if stage.copies == "scored":
        return np.asarray(jax.vmap(lambda s: scores.copies(s, stage.lowest, stage.highest))(score))
    return np.full(len(score), 1 if stage.copies == "one" else 0, np.int32)


def _facts(
    context: Context, pair: inconsistency.Pair, score: np.ndarray, copies: np.ndarray
) -> dict[str, float]:
    """What the log, the metrics and the report say of a labelling."""
    spec, unlabelled = context.packed.spec, context.packed.splits["unlabelled"]
    void = pair.inconsistent if spec.kind != "multilabel" else pair.inconsistent[..., None]
    # Accuracy of what is left after blocking; the truth is used for this figure only.
    truth = np.where(void | (unlabelled.labels == VOID), VOID, unlabelled.labels)
    figures = evaluate.figures(spec, truth=truth.astype(np.uint8), prediction=pair.label)
    return {
        "inconsistent_pixels": float(pair.size.mean()),
        "inconsistent_share": float(pair.inconsistent.mean()),
        "kept_share": float(pair.keep.mean()),
        "score": float(score.mean()),
        "copies": float(copies[pair.keep].mean()) if pair.keep.any() else 0.0,
        f"pseudo_{spec.headline}": figures[spec.headline, ""],
    }
