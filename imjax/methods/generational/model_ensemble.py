"""Model Ensemble (methods.md 1.2): the best nets of the last generation vote, and nothing is cut out.

Multiclass and multilabel: the mean of their probabilities decides; binary: a pixel is foreground where every
net says so. The images and these labels join the labeled set. Nets and training stay as they are.
"""

from __future__ import annotations

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import GenerationalMethod, PseudoLabeler
from imjax.ops import ensemble as vote
from imjax.ops.inconsistency import whole


def labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """Every net gives probabilities; the vote decides every pixel."""
    del ensemble, mask

    def look(apply, batch):
        return vote.probabilities(spec.kind, apply(batch["image"]))

    return PseudoLabeler(look, lambda probabilities: whole(vote.vote(spec.kind, probabilities)))


GENERATIONAL_METHODS = {"model_ensemble": GenerationalMethod("ldt", labeler=labeler)}
