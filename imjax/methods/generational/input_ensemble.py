"""Input Ensemble (methods.md 1.2): one net looks at several perturbed views of an image, and the views vote.

Binary: each view is flipped or turned and perturbed, its prediction turned back, and a pixel is foreground
where every view says so. Multiclass, multilabel: photometric views, mean probability. The views are drawn
independently of one another and there are n of them; the published code perturbs the last view once more for
the next, and takes n + 1 (methods.md 1.12).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec
from imjax.methods.generational.base import GenerationalMethod, PseudoLabeler
from imjax.ops import augment
from imjax.ops import ensemble as vote
from imjax.ops.inconsistency import whole


def labeler(spec: DatasetSpec, ensemble: Ensemble, mask: Mask) -> PseudoLabeler:
    """The net gives the probabilities of each view; `ensemble.views` of them vote."""
    del mask
    strength = augment.AugmentStrength(ensemble.blur, ensemble.noise, ensemble.gain, ensemble.offset)

    def one(number, raw, image):
        key = jax.random.fold_in(jax.random.wrap_key_data(raw), number)
        return view(key, image, spec.kind, strength)

    def look(apply, batch):
        seen = []
        for number in range(ensemble.views):
            images, moves = jax.vmap(one, in_axes=(None, 0, 0))(number, batch["key"], batch["image"])
            seen.append(jax.vmap(augment.undo)(vote.probabilities(spec.kind, apply(images)), moves))
        return jnp.stack(seen, 1)

    return PseudoLabeler(look, lambda probabilities: whole(vote.vote(spec.kind, probabilities[0])))


def view(key: jax.Array, image: jax.Array, kind: vote.Kind, strength: augment.AugmentStrength) -> tuple:
    """One view of an image uint8 `[h, w, c]`, and the `augment.Move` that `augment.undo` takes back."""
    geometry, photometry = jax.random.split(key)
    move = augment.random_move(geometry, image.shape, rotation_invariant=True)
    if kind != "binary":
        move = jax.tree.map(jnp.zeros_like, move)
    return augment.perturb(photometry, augment.do(image, move), strength), move


GENERATIONAL_METHODS = {"input_ensemble": GenerationalMethod("ldt", labeler=labeler, labeled_by="best")}
