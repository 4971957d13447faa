"""Views of one batch: weak ones of every image, and as many strong ones as a method asks for."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint, View
from imjax.ops import augment, views
from imjax.ops.patches import random_patch


class BatchViews:
    """A batch as the nets see it; labeled images come first.

    Args:
        batch: `labeled` (`image` uint8 `[n, h, w, c]`, `label`) and `unlabeled` (`image` `[m, h, w, c]`);
            of volumes with `d` before `h`. With `joint.patch` a view is of a random part of its image.
        joint: what the views are like.
        rotation_invariant: whether up and down do not matter.
        key: of this step.
    """

    def __init__(self, batch: dict, joint: Joint, rotation_invariant: bool, key: jax.Array):
        draws, self._key = jax.random.split(key)
        self._joint, self._strong = joint, 0
        images, label = batch["labeled"]["image"], batch["labeled"]["label"]
        self.labeled = len(images)
        """How many of the images are labeled."""
        other = batch["unlabeled"]["image"]
        # Unlabeled images take a label along that nobody reads: one program for both halves.
        empty = jnp.zeros((len(other), *label.shape[1:]), label.dtype)
        both = jnp.concatenate([images, other]), jnp.concatenate([label, empty])
        chances, strength = _chances(joint.weak, joint), _strength(joint.weak)

        def weak(key, image, label):
            if joint.patch:
                place, key = jax.random.split(key)
                image, label = random_patch(place, image, label, joint.patch)
            return views.weak(key, image, label, chances, strength, rotation_invariant=rotation_invariant)

        self.images, labels = jax.vmap(weak)(jax.random.split(draws, len(both[0])), *both)
        """Weak views uint8 `[n + m, h, w, c]`, of volumes `[n + m, d, h, w, c]`."""
        self.label = labels[: self.labeled]
        """uint8 `[n, h, w]` or `[n, h, w, k]`, of the weak views."""

    def parts(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Anything `[n + m, ...]` → of the labeled and of the unlabeled images."""
        return x[: self.labeled], x[self.labeled :]

    def strong(self) -> tuple[jax.Array, jax.Array]:
        """Strong views of the weak ones, drawn anew at each call.

        Returns:
            uint8 `[n + m, h, w, c]`, and the boxes bool `[m, h, w]` in which each unlabeled view shows the
            next image instead (CutMix). Of volumes both have `d` before `h`; a box goes through all slices.
        """
        self._strong += 1
        draws, boxes = jax.random.split(jax.random.fold_in(self._key, self._strong))
        keys = jax.random.split(draws, len(self.images))
        chances, strength = _chances(self._joint.strong, self._joint), _strength(self._joint.strong)
        seen = jax.vmap(lambda k, x: views.strong(k, x, chances, strength))(keys, self.images)
        labeled, other = self.parts(seen)
        shape, chance = other.shape[1:-1], self._joint.cutmix
        draw = jax.vmap(lambda k: jnp.broadcast_to(views.cutmix_box(k, shape[-2:], chance), shape))
        box = draw(jax.random.split(boxes, len(other)))
        return jnp.concatenate([labeled, mix(box, other)]), box


def mix(box: jax.Array, x: jax.Array) -> jax.Array:
    """CutMix of whatever belongs to the unlabeled images, `[m, h, w, ...]`, with the next one's."""
    return jax.vmap(views.cutmix)(box, x, jnp.roll(x, -1, 0))


def _chances(view: View, joint: Joint) -> views.AugmentProbabilities:
    return views.AugmentProbabilities(
        joint.flip, joint.turn, view.contrast_prob, view.blur_prob, view.noise_prob
    )


def _strength(view: View) -> augment.AugmentStrength:
    return augment.AugmentStrength(view.blur, view.noise, view.gain, view.offset)
