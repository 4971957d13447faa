"""Image panels for a person to check whether labels and predictions make sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from imjax.data.pack import PackedDataset
from imjax.data.palette import paint_labels, to_rgb
from imjax.data.spec import VOID, DatasetSpec
from imjax.data.splits import choose_evenly
from imjax.evaluation.per_image import FILES
from imjax.ops import inconsistency
from imjax.training.progress import StageLogger

HELD_OUT = "held_out.npz"
"""In a training stage's folder of a fold: labels of all test images by the net ranked first."""
COUNT = 4
"""Images per stage, the same ones in every generation."""


def write_label_panels(
    dataset: PackedDataset, pair: inconsistency.PseudoLabels, out: Path, monitor: StageLogger
) -> None:
    """Write image, ground truth if any, pseudo-label and inconsistency mask of a few unlabeled images."""
    data, spec = dataset.splits["unlabeled"], dataset.spec
    chosen = choose_evenly(len(data.images), COUNT)
    masks = np.where(pair.inconsistent[chosen], 255, 0).astype(np.uint8)
    truth = data.labels[chosen]
    _write(
        {
            "image": to_rgb(data.images[chosen], spec.channel_names),
            **({"truth": paint_labels(spec, truth)} if (truth != VOID).any() else {}),
            "pseudo-label": paint_labels(spec, pair.label[chosen]),
            "inconsistency mask": np.repeat(masks[..., None], 3, -1),
        },
        out / "panels.npz",
        monitor,
        np.array(data.titles)[chosen].tolist(),
    )


def write_generation_panels(
    dataset: PackedDataset,
    labels_of: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
    out: Path,
    monitor: StageLogger,
) -> None:
    """Write the best net's predictions for the images whose pseudo-labels `write_label_panels` shows.

    Args:
        dataset: of the run.
        labels_of: images uint8 `[n, h, w, c]` → labels of that net, uint8 `[n, ...]`.
        batch_size: images that it takes at once.
        out: folder of the stage.
        monitor: of the stage.
    """
    images, spec = dataset.splits["unlabeled"].images, dataset.spec
    chosen = choose_evenly(len(images), COUNT)
    # As many images as a batch of val has: the program for these is compiled already.
    batch = min(batch_size, len(dataset.splits["val"].images))
    predicted = labels_of(images[np.resize(chosen, max(batch, len(chosen)))])[: len(chosen)]
    _write({"prediction, unlabeled": paint_labels(spec, predicted)}, out / "unlabeled.npz", monitor)


def write_training_panels(
    dataset: PackedDataset, predicted: np.ndarray, out: Path, monitor: StageLogger
) -> None:
    """Image, truth and prediction of a few test images; `predicted` uint8 `[n, ...]` is of all of them."""
    data, spec = dataset.splits["test"], dataset.spec
    chosen = choose_evenly(len(data.images), COUNT)
    _write(
        {
            "image": to_rgb(plane(spec, data.images[chosen]), spec.channel_names),
            "truth": paint_labels(spec, plane(spec, data.labels[chosen])),
            "prediction": paint_labels(spec, plane(spec, predicted[chosen])),
        },
        out / "panels.npz",
        monitor,
        np.array(data.titles)[chosen].tolist(),
    )
    if dataset.fold:
        # The masks of a fold's held-out images, for `pipeline.out_of_fold`.
        np.savez_compressed(out / HELD_OUT, labels=predicted)


def _write(
    panels: dict[str, np.ndarray], path: Path, monitor: StageLogger, titles: Sequence[str] = ()
) -> None:
    """`titles`: what people know the images by, for the report."""
    save(panels, path, titles)
    monitor.images(panels)


def save(panels: Mapping[str, np.ndarray], path: Path, titles: Sequence[str] = ()) -> None:
    """Write uint8 RGB images `[n, h, w, 3]` by title, and what people know the n images by, to one file."""
    files = {FILES: np.array(titles)} if titles else {}
    # numpy's stubs take any name for `allow_pickle`.
    np.savez_compressed(path, **panels, **files)  # type: ignore[arg-type]


def plane(spec: DatasetSpec, values: np.ndarray) -> np.ndarray:
    """What a page can show of images or labels `[n, ...]`: as they are, or the middle slice of volumes."""
    return values[:, values.shape[1] // 2] if spec.dims == 3 else values
