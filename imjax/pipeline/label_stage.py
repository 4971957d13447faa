"""Label stages: pseudo-label the unlabeled images, choose which to keep and how many copies each gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data.pack import PackedDataset
from imjax.data.spec import VOID, DatasetSpec
from imjax.inference.load_run import load_stage
from imjax.inference.net_functions import Labeling
from imjax.log import logger
from imjax.methods.generational import evalnet
from imjax.ops import pair_scores
from imjax.ops.batched_map import map_images
from imjax.ops.inconsistency import PseudoLabels
from imjax.pipeline import image_panels, training_sets
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.evalnet_stage import make_evalnet_scorer
from imjax.pipeline.stages import LabelStage
from imjax.training import evaluate
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime

HARDLY = 0.05
"""Foreground or background below this part of its share of the labeled set has collapsed. One rule for both:
20 times the labeled set's foreground would often be more than there are pixels."""
NEARLY_ALL = 0.99
"""A class of several with this share of the pixels has swallowed the others."""


def run(
    stage: LabelStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
) -> dict[str, Any]:
    """Label the unlabeled images and write `labels.npz`.

    `labels.npz`: `label` uint8, `inconsistent` bool `[n, h, w]`, `keep` bool `[n]`, `copies` int32 `[n]`,
    `score` float32 `[n]` (EvalNets'; nan without).

    Returns:
        Metadata for DONE.json.
    """
    spec, images = dataset.spec, dataset.splits["unlabeled"].images
    model = load_stage(artifacts.folder(stage.nets), spec, runtime)
    if stage.keep_threshold is None:
        labeling = Labeling(stage.method, spec, stage.ensemble, stage.mask)
        key = rng.key(stage.seed, "label", stage.generation)
        pair = model.pseudo_label(labeling, images, key, stage.members)
        score = _scores(stage, dataset, artifacts, runtime, pair)
    else:
        candidates = model.predict_labels(images, stage.members)
        score_masks = _evalnet_scorer(stage, dataset, artifacts, runtime)
        kept = _previously_kept(stage, artifacts)
        pair, score = select_best_masks(images, [*candidates, *kept], score_masks, stage.keep_threshold)
    copies = _copies(stage, score)
    out = artifacts.folder_in_progress(stage.name)
    np.savez(
        out / "labels.npz", label=pair.label, inconsistent=pair.inconsistent, keep=pair.keep,
        copies=copies, score=score,
    )  # fmt: skip
    kept_labels = _kept(spec, pair)
    reason = describe_collapse(spec, kept_labels, dataset.splits["labeled"].labels)
    metrics = _labeling_metrics(dataset, pair, kept_labels, score, copies)
    metrics["collapsed"] = float(bool(reason))
    finite = _record(metrics, monitor)
    _warn(stage, metrics, reason)
    image_panels.write_label_panels(dataset, pair, out, monitor)
    return finite


def _record(metrics: dict[str, float], monitor: StageLogger) -> dict[str, float]:
    """Write metrics; returns those that are defined."""
    for name, value in metrics.items():
        monitor.scalar("unlabeled", name, value)
    # Without EvalNets there is no score, and without ground truth no accuracy.
    finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
    monitor.log(_describe_labeling(finite))
    return finite


def _describe_labeling(metrics: dict[str, float]) -> str:
    """The metrics that are defined in words; `collapsed` has a line of its own."""
    parts = [
        f"{metrics['kept_share']:.1%} of the images are kept, with {metrics['copies']:.3g} copies each",
        f"the nets disagree on {metrics['inconsistent_share']:.1%} of the pixels",
    ]
    if "score" in metrics:
        parts.append(f"mean score {metrics['score']:.3f}")
    if "pseudo_foreground" in metrics:
        shares = metrics["pseudo_foreground"], metrics.get("labeled_foreground", float("nan"))
        parts.append("foreground {:.1%} of the pixels, {:.1%} in the labeled images".format(*shares))
    accuracy = [name for name in metrics if name.startswith("pseudo_") and name != "pseudo_foreground"]
    parts += [f"{name.removeprefix('pseudo_')} with the true masks {metrics[name]:.4f}" for name in accuracy]
    return "; ".join(parts)


def _evalnet_scorer(
    stage: LabelStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    skip_first: bool = False,
) -> Callable[[training_sets.Pairs], np.ndarray]:
    assert stage.evalnets is not None, "a stage without EvalNets has nothing scored"
    folder = artifacts.folder(stage.evalnets)
    return make_evalnet_scorer(folder, dataset.spec, runtime, stage.num_evalnets, skip_first)


def _scores(
    stage: LabelStage, dataset: PackedDataset, artifacts: ArtifactStore, runtime: Runtime, pair: PseudoLabels
) -> np.ndarray:
    """Score of each blocked pair, float32 `[n]`: EvalNets', the true one, or nan where copies need none."""
    spec, mask, images = dataset.spec, stage.mask, dataset.splits["unlabeled"].images
    if stage.copies not in ("scored", "oracle"):
        return np.full(len(images), np.nan, np.float32)
    # As EvalNets have seen them, whatever the nets are trained on.
    published = dataclasses.replace(mask, image_value="zero", label_value="zero")
    pairs = training_sets.blocked(images, pair.label, pair.inconsistent, published)
    if stage.copies == "oracle":
        truth = dataset.splits["unlabeled"].labels
        return map_images(evalnet.true_score, truth, pairs["label"], pair.inconsistent, spec=spec)
    return _evalnet_scorer(stage, dataset, artifacts, runtime, skip_first=spec.reserved)(pairs)


def _previously_kept(stage: LabelStage, artifacts: ArtifactStore) -> list[np.ndarray]:
    """Masks of the last generation, uint8 `[n, ...]`, which compete again; none in the first."""
    if not stage.previous_labels:
        return []
    return [np.load(artifacts.folder(stage.previous_labels) / "labels.npz")["label"]]


def select_best_masks(
    images: np.ndarray,
    candidates: Iterable[np.ndarray],
    score_masks: Callable[[training_sets.Pairs], np.ndarray],
    threshold: float,
) -> tuple[PseudoLabels, np.ndarray]:
    """The best-scored mask of each image, kept from a score of the threshold on (method `evalnet`).

    Args:
        images: uint8 `[n, h, w, c]`.
        candidates: masks of all images, uint8 `[n, ...]` each; of equal scores the first is taken.
        score_masks: pairs → scores, float32 `[n]`.
        threshold: least score of a mask that is kept.

    Returns:
        Pairs with nothing inconsistent, and the scores float32 `[n]`.
    """
    best: np.ndarray | None = None
    score: np.ndarray | None = None
    for masks in candidates:
        scores = score_masks({"image": images, "label": masks})
        if best is None or score is None:
            best, score = masks.copy(), scores
        else:
            better = scores > score
            best[better], score[better] = masks[better], scores[better]
    assert best is not None and score is not None, "no candidate"
    nothing = np.zeros(best.shape[:3], bool)
    return PseudoLabels(best, nothing, np.zeros(len(best), np.int32), score >= threshold), score


def _copies(stage: LabelStage, score: np.ndarray) -> np.ndarray:
    """Augmented copies per pair, int32 `[n]`."""
    if stage.copies in ("scored", "oracle"):
        return np.asarray(
            jax.vmap(lambda s: pair_scores.count_copies(s, stage.min_score, stage.max_score))(score)
        )
    return np.full(len(score), 1 if stage.copies == "one" else 0, np.int32)


def _labeling_metrics(
    dataset: PackedDataset, pair: PseudoLabels, kept: np.ndarray, score: np.ndarray, copies: np.ndarray
) -> dict[str, float]:
    """Metrics of a labeling for log, metrics and report; nan where they are undefined.

    `kept`: the labels that `_kept` returns for the pair.
    """
    spec, unlabeled = dataset.spec, dataset.splits["unlabeled"]
    void = _void(spec, pair)
    # Accuracy of what is left after blocking; the ground truth is used for this metric only.
    truth = np.where(void | (unlabeled.labels == VOID), VOID, unlabeled.labels)
    accuracy = evaluate.figures(spec, truth=truth.astype(np.uint8), prediction=pair.label)
    metrics = {
        "inconsistent_pixels": float(pair.size.mean()),
        "inconsistent_share": float(pair.inconsistent.mean()),
        "kept_share": float(pair.keep.mean()),
        "score": float(score.mean()),
        "copies": float(copies[pair.keep].mean()) if pair.keep.any() else 0.0,
        f"pseudo_{spec.primary_metric}": accuracy[spec.primary_metric, ""],
    }
    if spec.kind != "multiclass":
        metrics["pseudo_foreground"] = foreground(kept)
        metrics["labeled_foreground"] = foreground(dataset.splits["labeled"].labels)
    return metrics


def _void(spec: DatasetSpec, pair: PseudoLabels) -> np.ndarray:
    """Where the nets disagree, bool, to go with labels."""
    return pair.inconsistent[..., None] if spec.kind == "multilabel" else pair.inconsistent


def _kept(spec: DatasetSpec, pair: PseudoLabels) -> np.ndarray:
    """Labels of the kept pairs, VOID where the nets disagree."""
    return np.where(_void(spec, pair), np.uint8(VOID), pair.label)[pair.keep]


def describe_collapse(spec: DatasetSpec, labels: np.ndarray, labeled: np.ndarray) -> str:
    """How pseudo-labels have collapsed, in words; empty if they have not.

    They have collapsed if all pixels are VOID. Multiclass: if one class has `NEARLY_ALL` of the pixels, and
    less in the labeled set. Binary, and each channel of multilabel: if they hold one value, or if foreground
    or background covers less than `HARDLY` of its share in the labeled set.

    Args:
        spec: of the dataset.
        labels: uint8 `[n, ...]`, VOID where there is no label.
        labeled: those of the labeled set.
    """
    if not (labels != VOID).any():
        return "no pixel has a label"
    if spec.kind == "multiclass":
        counts = np.array([[(x == i).sum() for i in range(spec.outputs)] for x in (labels, labeled)])
        share, usual = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        most = int(share.argmax())
        if share[most] == 1 or share[most] >= NEARLY_ALL > usual[most]:
            return f"{spec.classes[most]} has {share[most]:.1%} of their pixels"
        return ""
    channels = [labels] if spec.kind == "binary" else np.moveaxis(labels, -1, 0)
    usually = [labeled] if spec.kind == "binary" else np.moveaxis(labeled, -1, 0)
    for name, channel, usual in zip(spec.classes, channels, usually, strict=True):
        share, expected = foreground(channel), foreground(usual)
        lost = share < HARDLY * expected or 1 - share < HARDLY * (1 - expected)
        if lost or share in (0, 1):
            return f"{name} has {share:.2%} of their pixels, {expected:.2%} of the labeled set's"
    return ""


def foreground(labels: np.ndarray) -> float:
    """Share of 1 among the entries of 0 or 1; 0 if there are none."""
    counted = (labels != VOID).sum()
    return float((labels == 1).sum() / counted) if counted else 0.0


def _warn(stage: LabelStage, metrics: dict[str, float], reason: str) -> None:
    if not metrics["kept_share"]:
        logger.warning("%s: no pair was kept; the next nets train on the labeled set alone", stage.name)
    elif reason:
        logger.warning(
            "%s: the pseudo-labels have collapsed: %s; more labels or a longer start (train.epochs) may help",
            stage.name, reason,
        )  # fmt: skip
