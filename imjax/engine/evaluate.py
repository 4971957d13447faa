"""The one evaluation: labels against the truth, by the metrics of the dataset's kind."""

from __future__ import annotations

import jax
import numpy as np

from imjax import metrics
from imjax.data.spec import DatasetSpec
from imjax.engine.images import over_images


def figures(spec: DatasetSpec, *, truth: np.ndarray, prediction: np.ndarray) -> metrics.Figures:
    """Every figure of a set of labels (method.md 1.10).

    Args:
        spec: decides the metrics.
        truth, prediction: uint8 labels `[n, h, w]` or `[n, h, w, k]`.
    """
    return metrics.summarise(spec, over_images(_confusion, truth, prediction, spec=spec))


def _confusion(truth: jax.Array, prediction: jax.Array, *, spec: DatasetSpec) -> jax.Array:
    if spec.kind == "multilabel":
        return metrics.channel_confusion(truth=truth, prediction=prediction)
    return metrics.confusion(truth=truth, prediction=prediction, classes=max(spec.outputs, 2))
