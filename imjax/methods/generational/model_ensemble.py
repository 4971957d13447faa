"""Model Ensemble (method.md 1.2): the best nets of the last generation vote, and nothing is cut out.

Multiclass and multilabel: the mean of their probabilities decides; binary: a pixel is foreground where every
net says so. The images and these labels join the labelled set. Nets and training stay as they are.
"""

from __future__ import annotations

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import Labeller, Recipe
from imjax.ops import ensemble as vote
from imjax.ops.inconsistency import whole


def labeller(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> Labeller:
    """Every net gives probabilities; the vote decides every pixel."""
    del ensemble, mask

    def look(apply, batch):
        return vote.probabilities(spec.kind, apply(batch["image"]))

    return Labeller(look, lambda probabilities: whole(vote.vote(spec.kind, probabilities)))


RECIPES = {"model_ensemble": Recipe("ldt", labeller=labeller)}
