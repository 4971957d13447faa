"""Metrics of segmentation: confusion matrices per image on the device, figures from them on the host.

Definitions: methods.md 1.10, after Vorndran & Roeck 2024 (arXiv 2401.14387). A metric that averages over
images leaves out images without a counted pixel, and is nan if none is left.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int32, UInt8
from numpy.typing import ArrayLike

from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation.image_counts import COUNTS, PER_CHANNEL

Confusions = Int[np.ndarray, "n k k"] | Int[Array, "n k k"]
"""One matrix per image: rows are the truth, columns the prediction, entries pixels."""


def confusion_matrix(
    *, truth: UInt8[Array, "*px"], prediction: UInt8[Array, "*px"], classes: int
) -> Int32[Array, "k k"]:
    """Confusion matrix of one image or volume, rows truth, columns prediction; void truth is not counted.

    Values that are no class, in either map, are not counted either. Binary: `classes=2`.
    """
    # Whole numbers add up to the same in any order. On a CPU this scatter takes 0.7 ms for 208×416 pixels and
    # 35 classes, a product of one-hot matrices 30 ms.
    counted = (truth != VOID) & (truth < classes) & (prediction < classes)
    cell = truth.astype(jnp.int32) * classes + prediction
    outside = classes * classes
    cells = jnp.zeros(outside, jnp.int32).at[jnp.where(counted, cell, outside)].add(1, mode="drop")
    return cells.reshape(classes, classes)


def channel_confusion(
    *, truth: UInt8[Array, "*px c"], prediction: UInt8[Array, "*px c"]
) -> Int32[Array, "c 2 2"]:
    """`confusion_matrix` of 0 and 1 for each channel of a multilabel image."""
    channels = jax.vmap(lambda t, p: confusion_matrix(truth=t, prediction=p, classes=2), in_axes=-1)
    return channels(truth, prediction)


def soft_sums(
    probabilities: Float[Array, "*px k"], labels: UInt8[Array, "*px"]
) -> tuple[Float32[Array, " k"], Float32[Array, " k"], Int32[Array, " k"]]:
    """Soft intersection Σp·y, soft union Σ(p + y − p·y) and true pixels of each class over a batch.

    `*px` are the batch axis and those of the pixels, here and below.
    Void pixels are not counted, so that padding is labeled void.
    """
    p = jnp.where((labels != VOID)[..., None], probabilities.astype(jnp.float32), 0)
    y = labels[..., None] == jnp.arange(p.shape[-1], dtype=jnp.uint8)
    pixels = tuple(range(labels.ndim))
    intersection = jnp.where(y, p, 0).sum(pixels)
    count = y.sum(pixels, dtype=jnp.int32)
    return intersection, p.sum(pixels) + count - intersection, count


def soft_miou(
    probabilities: Float[Array, "*px k"], labels: UInt8[Array, "*px"], first: int = 0
) -> Float32[Array, ""]:
    """Soft mIoU of one batch: mean over the classes from `first` on in its truth; 0 if it has none."""
    intersection, union, count = (sums[first:] for sums in soft_sums(probabilities, labels))
    present = count > 0
    iou = jnp.where(present, intersection / jnp.where(present, union, 1), 0)
    return iou.sum() / jnp.maximum(present.sum(), 1)


def soft_iou(probabilities: Float[Array, "*px 1"], labels: UInt8[Array, "*px"]) -> Float32[Array, ""]:
    """Soft binary IoU of one batch with smooth 1: (Σp·y + 1)/(Σ(p + y − p·y) + 1); void is not counted."""
    p = jnp.where(labels != VOID, probabilities[..., 0].astype(jnp.float32), 0)
    y = (labels == 1).astype(jnp.float32)
    intersection = (p * y).sum()
    return (intersection + 1) / (p.sum() + y.sum() - intersection + 1)


def hard_iou(probabilities: Float[Array, "*px 1"], labels: UInt8[Array, "*px"]) -> Float32[Array, ""]:
    """`soft_iou` of the mask p > 0.5, as ISIC 2018's nets are watched (methods.md 1.5)."""
    return soft_iou((probabilities > 0.5).astype(jnp.float32), labels)


def hard_miou(
    probabilities: Float[Array, "*px k"], labels: UInt8[Array, "*px"], first: int = 0
) -> Float32[Array, ""]:
    """`soft_miou` of the most probable class, for sets with a background.

    Where objects are rare a net as drawn, unsure everywhere, has a larger soft overlap with them than a
    trained one that is sure of the background and finds some: the first epoch would be kept.
    """
    best = probabilities.argmax(-1)[..., None] == jnp.arange(probabilities.shape[-1])
    return soft_miou(best.astype(jnp.float32), labels, first)


def hard_mdice(
    probabilities: Float[Array, "*px k"], labels: UInt8[Array, "*px"], first: int = 0
) -> Float32[Array, ""]:
    """Dice of the most probable class in one batch, mean over the classes from `first` on in its truth.

    0 if it has none of them; void is not counted.
    """
    best = probabilities.argmax(-1)[..., None] == jnp.arange(probabilities.shape[-1])
    intersection, union, count = (sums[first:] for sums in soft_sums(best.astype(jnp.float32), labels))
    present = count > 0
    # |A| + |B| is the union and the intersection.
    dice = jnp.where(present, 2 * intersection / jnp.where(present, union + intersection, 1), 0)
    return dice.sum() / jnp.maximum(present.sum(), 1)


def _parts(confusions: Confusions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per image and class, `[n, k]`: intersection, true pixels, predicted pixels."""
    counts = np.asarray(confusions).astype(np.float64)
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


class Overlap(NamedTuple):
    """IoU and Dice of pairs of masks, float64; nan where both masks are empty."""

    iou: np.ndarray
    dice: np.ndarray


def overlap(intersection: ArrayLike, true: ArrayLike, predicted: ArrayLike) -> Overlap:
    """IoU I/(A+B−I) and Dice 2I/(A+B) from numbers of pixels, of one shape; no smoothing term.

    Every figure that compares two masks is made here. What an empty pair counts is for the caller to say.
    """
    intersection, total = np.asarray(intersection), np.add(true, predicted)
    return Overlap(_ratio(intersection, total - intersection), _ratio(2 * intersection, total))


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Quotient; nan where the denominator is 0."""
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan if there are none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")


def miou_per_image(confusions: Confusions, first: int = 0) -> float:
    """Mean over images of the mean IoU over the classes present in that image's truth.

    Classes before `first` are left out, and images without another one.
    """
    parts = _parts(confusions)
    return _mean(_means_of_present(overlap(*parts).iou, parts[1], first))


def mdice_per_image(confusions: Confusions, first: int = 0) -> float:
    """As `miou_per_image`, of the Dice coefficient."""
    parts = _parts(confusions)
    return _mean(_means_of_present(overlap(*parts).dice, parts[1], first))


def _means_of_present(values: np.ndarray, true: np.ndarray, first: int) -> Float64[np.ndarray, " n"]:
    """Of each image the mean of its values, `[n, k]`, over the classes with true pixels; nan without one."""
    present = (true > 0)[:, first:]
    return _ratio(np.where(present, values[:, first:], 0).sum(1), present.sum(1))


def mpa(confusions: Confusions) -> float:
    """Mean over images of the share of counted pixels with the right class."""
    intersection, true, _ = _parts(confusions)
    return _mean(_ratio(intersection.sum(1), true.sum(1)))


def iou_dataset(confusions: Confusions) -> Float64[np.ndarray, " k"]:
    """IoU of each class over all images together; nan for a class in neither truth nor prediction."""
    return overlap(*(part.sum(0) for part in _parts(confusions))).iou


def dice_dataset(confusions: Confusions) -> Float64[np.ndarray, " k"]:
    """Dice of each class over all images together; nan for a class in neither truth nor prediction."""
    return overlap(*(part.sum(0) for part in _parts(confusions))).dice


def _mean_present(values: np.ndarray, confusions: Confusions, first: int) -> float:
    """Mean over the classes that occur in the truth, so that a class nobody labeled never counts."""
    return _mean(values[first:][_parts(confusions)[1].sum(0)[first:] > 0])


def miou_dataset(confusions: Confusions, first: int = 0) -> float:
    """Mean of `iou_dataset` over the classes, from `first`, that occur in the truth."""
    return _mean_present(iou_dataset(confusions), confusions, first)


def mdice_dataset(confusions: Confusions, first: int = 0) -> float:
    """Mean of `dice_dataset` over the classes, from `first`, that occur in the truth."""
    return _mean_present(dice_dataset(confusions), confusions, first)


def _binary_overlap(confusions: Confusions, empty: int) -> Overlap:
    """IoU and Dice of the foreground of each image, `[n]`; nan for an image without a counted pixel."""
    parts = _parts(confusions)
    counted, (intersection, true, predicted) = parts[1].sum(1) > 0, (part[:, 1] for part in parts)
    found = overlap(intersection, true, predicted)
    iou, dice = (np.where(np.isnan(values), empty, values) for values in found)
    if not empty:
        iou = intersection / (true + predicted - intersection + 1e-7)
    return Overlap(*(np.where(counted, values, np.nan) for values in (iou, dice)))


def binary_iou(confusions: Confusions, empty: int = 1) -> float:
    """Mean over images of the foreground's IoU, from 2×2 matrices; no smoothing term.

    Args:
        confusions: one per image.
        empty: `DatasetSpec.empty_iou`, the value of an image without foreground in truth and prediction. 0
            comes of I/(U+1e-7), as in arXiv 2401.14387; where anything is there the 1e-7 changes nothing.
    """
    return _mean(_binary_overlap(confusions, empty).iou)


def binary_dice(confusions: Confusions, empty: int = 1) -> float:
    """As `binary_iou`, of the Dice coefficient 2I/(|A|+|B|)."""
    return _mean(_binary_overlap(confusions, empty).dice)


def smoothed_dice(confusions: Confusions) -> float:
    """Mean over images of (2I+1)/(|A|+|B|+1), the Dice of arXiv 2401.14387, from 2×2 matrices.

    Finding nothing has the value 1/(|A|+1) here: one half where the object is a single pixel.
    """
    intersection, true, predicted = _parts(confusions)
    counted = true.sum(1) > 0
    return _mean(((2 * intersection + 1) / (true + predicted + 1))[counted, 1])


class ImageScores(NamedTuple):
    """IoU and Dice of each image of a set, float64; nan where there is nothing to compare."""

    mean: Overlap
    """`[n]`, means over the classes of an image."""
    classes: Overlap
    """`[n, k]` of each class of objects, see `object_classes`."""


def object_classes(spec: DatasetSpec) -> tuple[str, ...]:
    """Names of the classes that are objects: neither background nor the reserved one."""
    return spec.classes[_first_object(spec) :]


def _first_object(spec: DatasetSpec) -> int:
    return int(spec.kind == "multiclass" and (spec.background or spec.reserved))


def score_images(
    spec: DatasetSpec, confusions: Confusions | Int[np.ndarray, "n c 2 2"] | Int[Array, "n c 2 2"]
) -> ImageScores:
    """IoU and Dice of each image, of which `summarize` gives means over images.

    Multiclass: mean over the classes in the truth, without a background; nan for an image with none of them.
    Binary: of the foreground, `spec.empty_iou` where neither has any. Multilabel: mean over the channels with
    an object in truth or prediction, `spec.empty_iou` where no channel has one (`miou` is another mean: over
    channels of means over images). nan for an image without a counted pixel.

    Args:
        spec, confusions: as of `summarize`; several pieces of an image may be added up to one matrix.
    """
    counts = np.asarray(confusions)
    if spec.kind == "binary":
        found = _binary_overlap(counts, spec.empty_iou)
        return ImageScores(found, Overlap(*(values[:, None] for values in found)))
    if spec.kind == "multiclass":
        first = _first_object(spec)
        parts = _parts(counts)
        found = overlap(*parts)
        means = Overlap(*(_means_of_present(values, parts[1], first) for values in found))
        classes = (np.where(parts[1] > 0, values, np.nan)[:, first:] for values in found)
        return ImageScores(means, Overlap(*classes))
    # From [n, c, 2, 2] to [n, c] numbers of pixels that are 1.
    found = overlap(counts[..., 1, 1], counts[..., 1, :].sum(-1), counts[..., :, 1].sum(-1))
    counted = counts.sum((1, 2, 3)) > 0

    def mean(values: np.ndarray) -> np.ndarray:
        there = ~np.isnan(values)
        means = _ratio(np.where(there, values, 0).sum(1), there.sum(1))
        return np.where(counted, np.where(np.isnan(means), spec.empty_iou, means), np.nan)

    return ImageScores(Overlap(mean(found.iou), mean(found.dice)), found)


Figures = dict[tuple[str, str], float]
"""(metric, class name or "" for means) → value, as in `results.csv`."""


def _count_images(confusions: np.ndarray, first: int, name: str = "") -> Figures:
    """`COUNTS`, from `[n, k, k]`; classes from `first` on are objects, and with `first` 0 all are."""
    _, true, predicted = _parts(confusions)
    counted = true.sum(1) > 0
    uniform = ((true > 0).sum(1) > 1) & ((predicted > 0).sum(1) == 1)
    figures = {("images", name): counted.sum()}
    if first:
        object_there, object_found = (part[:, first:].sum(1) > 0 for part in (true, predicted))
        figures["images_empty", name] = (counted & ~object_there).sum()
        figures["predicted_nothing", name] = (object_there & ~object_found).sum()
        # Background everywhere has been counted.
        uniform &= object_found
    figures["predicted_one_class", name] = uniform.sum()
    return {(metric, name): float(figures[metric, name]) for metric in COUNTS if (metric, name) in figures}


def _binary_figures(confusions: np.ndarray, spec: DatasetSpec, name: str = "") -> Figures:
    """IoU of one foreground, from `[n, 2, 2]`; where some images lack it, that of the others, and counts."""
    figures = {("iou", name): binary_iou(confusions, spec.empty_iou)}
    counts = _count_images(confusions, 1, name)
    if counts["images_empty", name]:
        figures["iou_nonempty", name] = binary_iou(_nonempty(confusions))
    return figures | {key: value for key, value in counts.items() if name and key[0] in PER_CHANNEL}


def _nonempty(confusions: np.ndarray) -> np.ndarray:
    """The matrices `[n, 2, 2]` with foreground in the truth."""
    return confusions[confusions[:, 1].sum(1) > 0]


def _summarize_multiclass(spec: DatasetSpec, confusions: np.ndarray) -> Figures:
    first = int(spec.background)
    figures = {
        ("miou", ""): miou_per_image(confusions, first),
        ("mpa", ""): mpa(confusions),
        ("miou_dataset", ""): miou_dataset(confusions, first),
        ("dice_dataset", ""): mdice_dataset(confusions, first),
    }
    if spec.background:
        figures["dice", ""] = mdice_per_image(confusions, first)
    for metric, values in (("iou_dataset", iou_dataset), ("dice_dataset", dice_dataset)):
        for name, value in zip(spec.classes, values(confusions), strict=True):
            if not np.isnan(value):
                figures[metric, name] = float(value)
    return figures | _count_images(confusions, first)


def _summarize_multilabel(spec: DatasetSpec, confusions: np.ndarray) -> Figures:
    channels = np.moveaxis(confusions, 1, 0)
    figures: Figures = {}
    for name, channel in zip(spec.classes, channels, strict=True):
        figures |= _binary_figures(channel, spec, name)
    figures["miou", ""] = _mean(np.array([figures["iou", name] for name in spec.classes]))
    if any(metric == "iou_nonempty" for metric, _ in figures):
        nonempty = [figures.get(("iou_nonempty", name), figures["iou", name]) for name in spec.classes]
        figures["miou_nonempty", ""] = _mean(np.array(nonempty))
    if {"alive", "dead"} < set(spec.classes):
        figures["miou_ad", ""] = _mean(np.array([figures["iou", name] for name in ("alive", "dead")]))
    # As for classes, a channel that the truth never has counts in no mean.
    present = channels[:, :, 1].sum((1, 2)) > 0
    for metric, mean, values in (
        ("iou_dataset", "miou_dataset", np.array([iou_dataset(c)[1] for c in channels])),
        ("dice_dataset", "dice_dataset", np.array([dice_dataset(c)[1] for c in channels])),
    ):
        figures[mean, ""] = _mean(values[present])
        named_values = zip(spec.classes, values, strict=True)
        figures |= {(metric, name): float(value) for name, value in named_values if not np.isnan(value)}
    return figures | _count_images(_merge_channels(confusions), 1)


def _merge_channels(confusions: np.ndarray) -> np.ndarray:
    """`[n, c, 2, 2]` → `[n, 2, 2]`: an image has an object where any of its channels has one."""
    return confusions.sum(1)


def _summarize_binary(spec: DatasetSpec, confusions: np.ndarray) -> Figures:
    figures = _binary_figures(confusions, spec)
    figures["dice", ""] = binary_dice(confusions, spec.empty_iou)
    if ("iou_nonempty", "") in figures:
        figures["dice_nonempty", ""] = binary_dice(_nonempty(confusions))
    if not spec.empty_iou:
        # The rules of the paper: its Dice too.
        figures["dice_smooth", ""] = smoothed_dice(confusions)
    figures["iou_dataset", ""] = float(iou_dataset(confusions)[1])
    figures["dice_dataset", ""] = float(dice_dataset(confusions)[1])
    return figures | _count_images(confusions, 1)


def summarize(
    spec: DatasetSpec, confusions: Confusions | Int[np.ndarray, "n c 2 2"] | Int[Array, "n c 2 2"]
) -> Figures:
    """Every figure that the confusion matrices of a split give.

    Args:
        spec: its `kind` decides the metrics, its `classes` name the figures per class, and with `background`
            class 0 is in no mean over classes; it stays in the pixel accuracy and has figures of its own.
        confusions: one per image: multiclass `[n, k, k]`, binary `[n, 2, 2]`, multilabel `[n, c, 2, 2]`.

    Returns:
        Multiclass: miou, mpa, miou_dataset, dice_dataset, and iou_dataset, dice_dataset per class; dice too
        where there is a background. Binary: iou, dice, iou_dataset, dice_dataset of the foreground, and
        dice_smooth where `spec.empty_iou` is 0. Multilabel: iou, iou_dataset, dice_dataset per class, miou,
        miou_dataset, dice_dataset, and miou_ad where there are the classes alive and dead.
        Binary and multilabel, where some images (channels) have no foreground in the truth: iou_nonempty,
        dice_nonempty and miou_nonempty, over the others.
        `COUNTS`: images with a counted pixel; of these those without an object in the truth (images_empty;
        not where every class is an object), those with one of which none is predicted (predicted_nothing),
        and those of several classes to which one is given throughout, an object's where there are others
        (predicted_one_class). Multilabel: `PER_CHANNEL` per class too.
        Classes in neither truth nor prediction have no dataset-level entry; those not in the truth are left
        out of the dataset-level means.
    """
    counts = np.asarray(confusions)
    if spec.kind == "multiclass":
        return _summarize_multiclass(spec, counts)
    if spec.kind == "multilabel":
        return _summarize_multilabel(spec, counts)
    return _summarize_binary(spec, counts)
