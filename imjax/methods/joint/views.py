"""Views of one batch: weak ones of every image, and as many strong ones as a method asks for."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint, View
from imjax.ops import augment, views
from imjax.ops.patches import random_patch


class Views:
    """A batch as the nets see it; labelled images come first.

    Args:
        batch: `labelled` (`image` uint8 `[n, h, w, c]`, `label`) and `unlabelled` (`image` `[m, h, w, c]`);
            of volumes with `d` before `h`. With `joint.patch` a view is of a random part of its image.
        joint: what the views are like.
        free_rotation: whether up and down do not matter.
        key: of this step.
    """

    def __init__(self, batch: dict, joint: Joint, free_rotation: bool, key: jax.Array):
        draws, self._key = jax.random.split(key)
        self._joint, self._strong = joint, 0
        images, label = batch["labelled"]["image"], batch["labelled"]["label"]
        self.labelled = len(images)
        """How many of the images are labelled."""
        other = batch["unlabelled"]["image"]
        # Unlabelled images take a label along that nobody reads: one program for both halves.
        empty = jnp.zeros((len(other), *label.shape[1:]), label.dtype)
        both = jnp.concatenate([images, other]), jnp.concatenate([label, empty])
        chances, strength = _chances(joint.weak, joint), _strength(joint.weak)

        def weak(key, image, label):
            if joint.patch:
                place, key = jax.random.split(key)
                image, label = random_patch(place, image, label, joint.patch)
            return views.weak(key, image, label, chances, strength, free_rotation=free_rotation)

        self.images, labels = jax.vmap(weak)(jax.random.split(draws, len(both[0])), *both)
        """Weak views uint8 `[n + m, h, w, c]`, of volumes `[n + m, d, h, w, c]`."""
        self.label = labels[: self.labelled]
        """uint8 `[n, h, w]` or `[n, h, w, k]`, of the weak views."""

    def parts(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Anything `[n + m, ...]` → of the labelled and of the unlabelled images."""
        return x[: self.labelled], x[self.labelled :]

    def strong(self) -> tuple[jax.Array, jax.Array]:
        """Strong views of the weak ones, drawn anew at each call.

        Returns:
            uint8 `[n + m, h, w, c]`, and the boxes bool `[m, h, w]` in which each unlabelled view shows the
            next image instead (CutMix). Of volumes both have `d` before `h`; a box goes through all slices.
        """
        self._strong += 1
        draws, boxes = jax.random.split(jax.random.fold_in(self._key, self._strong))
        keys = jax.random.split(draws, len(self.images))
        chances, strength = _chances(self._joint.strong, self._joint), _strength(self._joint.strong)
        seen = jax.vmap(lambda k, x: views.strong(k, x, chances, strength))(keys, self.images)
        labelled, other = self.parts(seen)
        shape, chance = other.shape[1:-1], self._joint.cutmix
        draw = jax.vmap(lambda k: jnp.broadcast_to(views.cutmix_box(k, shape[-2:], chance), shape))
        box = draw(jax.random.split(boxes, len(other)))
        return jnp.concatenate([labelled, mix(box, other)]), box


def mix(box: jax.Array, x: jax.Array) -> jax.Array:
    """CutMix of whatever belongs to the unlabelled images, `[m, h, w, ...]`, with the next one's."""
    return jax.vmap(views.cutmix)(box, x, jnp.roll(x, -1, 0))


def _chances(view: View, joint: Joint) -> views.Chances:
    return views.Chances(joint.flip, joint.turn, view.contrast_chance, view.blur_chance, view.noise_chance)


def _strength(view: View) -> augment.Strength:
    return augment.Strength(view.blur, view.noise, view.gain, view.offset)
