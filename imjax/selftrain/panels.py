"""Image panels: what a person looks at to see whether labels and predictions make sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from imjax.data.spec import VOID, DatasetSpec
from imjax.engine.monitor import Monitor
from imjax.ops import inconsistency
from imjax.selftrain.context import Context

COUNT = 4
"""Images per stage, the same ones in every generation."""

VOID_COLOUR = (0, 0, 0)


def colour(spec: DatasetSpec, labels: np.ndarray) -> np.ndarray:
    """Labels → uint8 RGB `[..., h, w, 3]` in the dataset's colours; void is black.

    Multilabel channels are painted over one another in their order.
    """
    table = np.zeros((256, 3), np.uint8)
    table[VOID] = VOID_COLOUR
    if spec.kind == "multiclass":
        table[: spec.outputs] = spec.palette
        return table[labels]
    channels = labels[..., None] if spec.kind == "binary" else labels
    out = np.zeros((*channels.shape[:-1], 3), np.uint8)
    for channel, rgb in enumerate(spec.palette):
        out[channels[..., channel] == 1] = rgb
    return out


def of_labels(context: Context, pair: inconsistency.Pair, out: Path, monitor: Monitor) -> None:
    """Image, truth if there is any, pseudo-label and inconsistency mask of a few unlabelled images."""
    data, spec = context.packed.splits["unlabelled"], context.packed.spec
    chosen = _chosen(len(data.images))
    masks = np.where(pair.inconsistent[chosen], 255, 0).astype(np.uint8)
    truth = data.labels[chosen]
    _write(
        {
            "image": rgb(data.images[chosen]),
            **({"truth": colour(spec, truth)} if (truth != VOID).any() else {}),
            "pseudo-label": colour(spec, pair.label[chosen]),
            "inconsistency mask": np.repeat(masks[..., None], 3, -1),
        },
        out / "panels.npz",
        monitor,
    )


def of_generation(
    context: Context, labels_of: Callable[[np.ndarray], np.ndarray], out: Path, monitor: Monitor
) -> None:
    """What the best net of a generation predicts for the images whose pseudo-labels `of_labels` shows.

    Args:
        context: of the run.
        labels_of: images uint8 `[n, h, w, c]` → labels of that net, uint8 `[n, ...]`.
        out: folder of the stage.
        monitor: of the stage.
    """
    images, spec = context.packed.splits["unlabelled"].images, context.packed.spec
    chosen = _chosen(len(images))
    # As many images as a batch of val has: the program for these is compiled already.
    batch = min(context.config.predict_batch, len(context.packed.splits["val"].images))
    predicted = labels_of(images[np.resize(chosen, max(batch, len(chosen)))])[: len(chosen)]
    _write({"prediction, unlabelled": colour(spec, predicted)}, out / "unlabelled.npz", monitor)


def of_training(context: Context, predicted: np.ndarray, out: Path, monitor: Monitor) -> None:
    """Image, truth and prediction of a few test images; `predicted` uint8 `[n, ...]` is of all of them."""
    data, spec = context.packed.splits["test"], context.packed.spec
    chosen = _chosen(len(data.images))
    _write(
        {
            "image": rgb(plane(spec, data.images[chosen])),
            "truth": colour(spec, plane(spec, data.labels[chosen])),
            "prediction": colour(spec, plane(spec, predicted[chosen])),
        },
        out / "panels.npz",
        monitor,
    )


def _write(panels: dict[str, np.ndarray], path: Path, monitor: Monitor) -> None:
    np.savez_compressed(path, **panels)
    monitor.images(panels)


def _chosen(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, COUNT).round().astype(int))


def plane(spec: DatasetSpec, values: np.ndarray) -> np.ndarray:
    """What a page can show of images or labels `[n, ...]`: as they are, or the middle slice of volumes."""
    return values[:, values.shape[1] // 2] if spec.dims == 3 else values


def rgb(images: np.ndarray) -> np.ndarray:
    """uint8 `[n, h, w, c]` of one or three channels → `[n, h, w, 3]`."""
    return np.repeat(images, 3, -1) if images.shape[-1] == 1 else np.asarray(images)
