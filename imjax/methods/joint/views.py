"""Views of one batch: weak ones of every image, and as many strong ones as a method draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.config.schema import StrongRecipe
from imjax.methods.strong_recipe import kernel_probabilities, kernel_strength, strong_photometry
from imjax.ops import views
from imjax.ops.affine import random_zoom_and_turn
from imjax.ops.patches import random_patch


class BatchViews:
    """Augmented views of a batch; labeled images come first.

    Args:
        batch: `labeled` (`image` uint8 `[n, h, w, c]`, `label`) and `unlabeled` (`image` `[m, h, w, c]`);
            of volumes with `d` before `h`. With `joint.patch` a view shows a random part of its image.
        joint: settings of the views.
        rotation_invariant: whether up and down do not matter.
        key: of this step.
        recipe: the strong recipe: weak views are zoomed and turned too, and those of labeled images, which
            label nothing, have its photometry.
    """

    def __init__(
        self,
        batch: dict,
        joint: Joint,
        rotation_invariant: bool,
        key: jax.Array,
        recipe: StrongRecipe | None = None,
    ):
        weak_key, self._strong_key = jax.random.split(key)
        self._joint, self._strong_drawn = joint, 0
        images, label = batch["labeled"]["image"], batch["labeled"]["label"]
        self.num_labeled = len(images)
        """Number n of labeled images."""
        unlabeled = batch["unlabeled"]["image"]
        # Unlabeled images get a label that is never read, so that one program makes the views of both halves.
        empty = jnp.zeros((len(unlabeled), *label.shape[1:]), label.dtype)
        pairs = jnp.concatenate([images, unlabeled]), jnp.concatenate([label, empty])
        probabilities = kernel_probabilities(joint.weak, joint.flip_prob, joint.rotate_prob)
        strength = kernel_strength(joint.weak)

        def weak(key, image, label):
            if joint.patch:
                place, key = jax.random.split(key)
                image, label = random_patch(place, image, label, joint.patch)
            if recipe:
                window, key = jax.random.split(key)
                image, label = random_zoom_and_turn(window, image, label, recipe.zoom, recipe.turn)
            return views.make_weak_view(
                key, image, label, probabilities, strength, rotation_invariant=rotation_invariant
            )

        weak_views, labels = jax.vmap(weak)(jax.random.split(weak_key, len(pairs[0])), *pairs)
        if recipe:
            # A number that no strong view has: theirs start from 1.
            photometry_key = jax.random.fold_in(self._strong_key, 0)
            labeled = strong_photometry(photometry_key, weak_views[: self.num_labeled], recipe.view)
            weak_views = weak_views.at[: self.num_labeled].set(labeled)
        self.images = weak_views
        """Weak views uint8 `[n + m, h, w, c]`, of volumes `[n + m, d, h, w, c]`."""
        self.label = labels[: self.num_labeled]
        """uint8 `[n, h, w]` or `[n, h, w, k]`, of the labeled weak views."""

    def split(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[n + m, ...]` → the part of the labeled images and that of the unlabeled ones."""
        return x[: self.num_labeled], x[self.num_labeled :]

    def strong_views(self) -> tuple[jax.Array, jax.Array]:
        """Strong views of the weak views, drawn anew at each call.

        Returns:
            uint8 `[n + m, h, w, c]`, and the CutMix boxes bool `[m, h, w]` in which each unlabeled view shows
            the next image instead. Of volumes both have `d` before `h`; a box goes through all slices.
        """
        self._strong_drawn += 1
        photometry, boxes = jax.random.split(jax.random.fold_in(self._strong_key, self._strong_drawn))
        strong = strong_photometry(photometry, self.images, self._joint.strong)
        labeled, unlabeled = self.split(strong)
        shape, cutmix_prob = unlabeled.shape[1:-1], self._joint.cutmix_prob
        draw_box = jax.vmap(lambda k: jnp.broadcast_to(views.cutmix_box(k, shape[-2:], cutmix_prob), shape))
        box = draw_box(jax.random.split(boxes, len(unlabeled)))
        # Labeled images are not mixed: their ground truth belongs to the whole view.
        return jnp.concatenate([labeled, cutmix_with_next(box, unlabeled)]), box


def cutmix_with_next(box: jax.Array, x: jax.Array) -> jax.Array:
    """CutMix of arrays of the unlabeled images, `[m, h, w, ...]`: inside its box each shows the next one."""
    return jax.vmap(views.cutmix)(box, x, jnp.roll(x, -1, 0))
