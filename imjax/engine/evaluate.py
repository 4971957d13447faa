"""The one evaluation: labels against the truth, by the metrics of the dataset's kind."""

from __future__ import annotations

import jax
import numpy as np

from imjax import cells, metrics
from imjax.data.spec import DatasetSpec
from imjax.engine.images import over_images


def figures(spec: DatasetSpec, *, truth: np.ndarray, prediction: np.ndarray) -> metrics.Figures:
    """Every figure of a set of labels (method.md 1.10).

    Args:
        spec: decides the metrics.
        truth, prediction: uint8 labels `[n, h, w]` or `[n, h, w, k]`.
    """
    if spec.counts_cells:
        # As the truth is: a disc at each mark (method.md 1.10).
        prediction = cells.redraw(prediction)
    found = metrics.summarise(spec, over_images(_confusion, truth, prediction, spec=spec))
    if spec.counts_cells:
        found["mcce", ""] = cells.cell_count_error(truth=truth, prediction=prediction)
    return found


def _confusion(truth: jax.Array, prediction: jax.Array, *, spec: DatasetSpec) -> jax.Array:
    if spec.kind == "multilabel":
        return metrics.channel_confusion(truth=truth, prediction=prediction)
    return metrics.confusion(truth=truth, prediction=prediction, classes=max(spec.outputs, 2))
