"""Consistency loss (methods.md 1.2): a trained net learns to say the same of two views of an unlabeled image.

No pseudo-labels and no generations. Training starts from the best LDT net; each epoch first takes the
labeled batches with the supervised loss, then the unlabeled ones with the mean squared difference between
the probabilities of two photometric views, the gradient flowing into both. Sets that may be turned freely
are flipped and turned first, both views alike. The epoch's half that is best on the val loss is kept.
Unlabeled images are RGB like the labeled ones; the published code swaps their channels (methods.md 1.12).
"""

from __future__ import annotations

import jax

from imjax.methods.generational.base import GenerationalMethod
from imjax.ops import augment


def two_views(
    key: jax.Array, image: jax.Array, strength: augment.AugmentStrength, *, rotation_invariant: bool
) -> tuple[jax.Array, jax.Array]:
    """Two photometric views of one image uint8 `[h, w, c]`, in the same random position if it may turn."""
    geometry, *photometry = jax.random.split(key, 3)
    if rotation_invariant:
        image = augment.do(image, augment.random_move(geometry, image.shape, rotation_invariant=True))
    first, second = (augment.perturb(k, image, strength) for k in photometry)
    return first, second


GENERATIONAL_METHODS = {"consistency": GenerationalMethod("ldt", generations=False, consistency=True)}
