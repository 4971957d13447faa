"""Consistency loss (arXiv 2401.14387): a trained net learns equal predictions for two views of an image.

No pseudo-labels and no generations. Training starts from the best LDT net. Each epoch first takes the labeled
batches with the supervised loss, then the unlabeled ones with the mean squared difference between the
probabilities of two photometric views; the gradient flows into both. Rotation-invariant datasets are first
flipped and rotated, both views alike. The state with the lowest validation loss is kept, of those after every
phase. Unlabeled images are RGB like the labeled ones; the published code swaps their channels.
"""

from __future__ import annotations

import jax

from imjax.methods.generational.base import GenerationalMethod
from imjax.ops import augment


def two_views(
    key: jax.Array, image: jax.Array, strength: augment.AugmentStrength, *, rotation_invariant: bool
) -> tuple[jax.Array, jax.Array]:
    """Two photometric views of one image uint8 `[h, w, c]`, with the same random geometry if allowed."""
    geometry_key, *photometry_keys = jax.random.split(key, 3)
    if rotation_invariant:
        geometry = augment.random_geometry(geometry_key, image.shape, rotation_invariant=True)
        image = geometry.apply(image)
    first, second = (augment.perturb(k, image, strength) for k in photometry_keys)
    return first, second


METHODS = {"consistency": GenerationalMethod("ldt", generations=False, consistency=True)}
