"""Sentences on the images of a split that are empty, and on nets that find nothing in them."""

from __future__ import annotations

from collections.abc import Mapping

from imjax.data.spec import DatasetSpec

COUNTS = ("images", "images_empty", "predicted_nothing", "predicted_one_class")
"""Metrics that are numbers of images, see `metrics.summarize`."""
PER_CHANNEL = ("images_empty", "predicted_nothing")
"""Those that each channel of a multilabel set has as well."""

Counts = Mapping[tuple[str, str], float]
"""(metric, class name or "") → value of one net, with `COUNTS` among them, as `metrics.Figures`."""


def describe_empty_images(spec: DatasetSpec, counts: Counts) -> str:
    """How many images have no object, and what such an image counts; empty if all have one."""
    images, empty = counts.get(("images", ""), 0), counts.get(("images_empty", ""), 0)
    head = f"{empty:.0f} of {images:.0f} images have no object in the ground truth" if empty else ""
    if spec.kind == "multilabel":
        channels = {name: counts.get(("images_empty", name), 0) for name in spec.classes}
        named = ", ".join(f"{name} in {count:.0f}" for name, count in channels.items() if count)
        head = (
            f"labels without an object in the ground truth, of {images:.0f} images: {named}" if named else ""
        )
    if not head:
        return ""
    # Means over several classes, and over volumes, are of what is there.
    if spec.kind == "multiclass" or spec.volumes or spec.dims == 3:
        return f"{head}; no mean over classes or volumes includes them"
    return (
        f"{head}; IoU and Dice of such an image are {spec.empty_iou} if nothing is predicted either, else 0 "
        f"(empty_iou = {'one' if spec.empty_iou else 'zero'})"
    )


def describe_failures(counts: Counts) -> str:
    """On how many images a net predicts nothing, or one class; empty if it never does."""
    images, empty = counts.get(("images", ""), 0), counts.get(("images_empty", ""), 0)
    parts = []
    if nothing := counts.get(("predicted_nothing", ""), 0):
        parts.append(f"nothing on {nothing:.0f} of {images - empty:.0f} images that have an object")
    if uniform := counts.get(("predicted_one_class", ""), 0):
        parts.append(f"one class everywhere on {uniform:.0f} of {images:.0f} images")
    return f"this net predicts {' and '.join(parts)}" if parts else ""


def is_useless(counts: Counts) -> bool:
    """Whether a net predicts nothing or one class on every image that has an object."""
    failures = counts.get(("predicted_nothing", ""), 0) + counts.get(("predicted_one_class", ""), 0)
    return 0 < counts.get(("images", ""), 0) - counts.get(("images_empty", ""), 0) <= failures
