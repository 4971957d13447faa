"""Model Ensemble (arXiv 2401.14387): the best nets of the last generation vote, and nothing is masked out.

Multiclass and multilabel: by the mean of their probabilities; binary: a pixel is foreground where every net
predicts it. The images and these labels join the labeled set. Width and training stay the same.
"""

from __future__ import annotations

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import GenerationalMethod, PseudoLabeler
from imjax.ops import ensemble as ensemble_ops
from imjax.ops.inconsistency import without_inconsistency


def make_labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """Every net predicts probabilities; the vote gives the label."""
    del ensemble, mask

    def predict(apply, batch):
        return ensemble_ops.probabilities(spec.kind, apply(batch["image"]))

    def aggregate(probabilities):
        return without_inconsistency(ensemble_ops.vote(spec.kind, probabilities))

    return PseudoLabeler(predict, aggregate)


METHODS = {"model_ensemble": GenerationalMethod("ldt", labeler=make_labeler)}
