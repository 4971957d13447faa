"""Input Ensemble (arXiv 2401.14387): one net predicts several perturbed views of an image, which vote.

Binary: each view is flipped or rotated and perturbed, its prediction is moved back, and a pixel is foreground
where every view predicts it; a pair is dropped if a 5×5 erosion leaves nothing of its foreground. Multilabel:
photometric views, of which every one must predict a channel's pixel. Multiclass: photometric views, mean
probability. The views are drawn independently of one another and there are n of them; the published code
perturbs the last view once more for the next, and takes n + 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import GenerationalMethod, PseudoLabeler
from imjax.ops import augment, morphology
from imjax.ops import ensemble as ensemble_ops
from imjax.ops.inconsistency import PseudoLabel, without_inconsistency

MIN_FOREGROUND = 5
"""Side of the square of foreground that a binary pair needs to be kept."""


def make_labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """One net predicts the probabilities of `ensemble.tta_views` views, and these vote."""
    del mask
    strength = augment.AugmentStrength(ensemble.blur, ensemble.noise, ensemble.contrast, ensemble.brightness)

    def view_of(number, key, image):
        return random_view(jax.random.fold_in(key, number), image, spec.kind, strength)

    def predict(apply, batch):
        predictions = []
        for number in range(ensemble.tta_views):
            images, geometry = jax.vmap(view_of, in_axes=(None, 0, 0))(number, batch["key"], batch["image"])
            probabilities = ensemble_ops.probabilities(spec.kind, apply(images))
            # Moved back, so that all views show a pixel at the same place when they vote.
            predictions.append(jax.vmap(augment.Geometry.invert)(geometry, probabilities))
        return jnp.stack(predictions, 1)

    def aggregate(probabilities):
        # A single net: its views `[view, h, w, k]` are the members of the vote.
        return aggregate_views(spec.kind, probabilities[0])

    return PseudoLabeler(predict, aggregate)


def aggregate_views(kind: ensemble_ops.Kind, probabilities: jax.Array) -> PseudoLabel:
    """Pseudo-label of the probabilities of an image's views, float32 `[view, h, w, k]`."""
    if kind == "multiclass":
        return without_inconsistency(ensemble_ops.mean_vote(kind, probabilities))
    pair = without_inconsistency(ensemble_ops.unanimous_vote(kind, probabilities))
    if kind == "multilabel":
        return pair
    # Specks of a few pixels are no object: such a pair would teach that an image is all background.
    return pair._replace(keep=morphology.erode(pair.label == 1, MIN_FOREGROUND).any())


def random_view(
    key: jax.Array, image: jax.Array, kind: ensemble_ops.Kind, strength: augment.AugmentStrength
) -> tuple[jax.Array, augment.Geometry]:
    """One view of an image uint8 `[h, w, c]`, and its geometry, which `Geometry.invert` takes back."""
    geometry_key, photometry_key = jax.random.split(key)
    geometry = augment.random_geometry(geometry_key, image.shape, rotation_invariant=True)
    if kind != "binary":
        # Drawn all the same and set to zero: one structure and one order of draws for every kind of label.
        geometry = jax.tree.map(jnp.zeros_like, geometry)
    return augment.perturb(photometry_key, geometry.apply(image), strength), geometry


METHODS = {
    "input_ensemble": GenerationalMethod("ldt", labeler=make_labeler, labeler_selection="best"),
}
