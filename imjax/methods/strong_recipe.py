"""Random views of labeled images for the strong recipe (methods.md 1.14), drawn anew at each step."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import View
from imjax.config.schema import StrongRecipe
from imjax.ops import augment, views
from imjax.ops.affine import random_zoom_and_turn


def make_training_views(
    key: jax.Array, images: jax.Array, labels: jax.Array, recipe: StrongRecipe, rotation_invariant: bool
) -> tuple[jax.Array, jax.Array]:
    """A view of each image with its label: zoom and turn, mirroring, photometry of the image.

    Args:
        key: of this step.
        images: uint8 `[b, h, w, c]`, of volumes with `d` before `h`.
        labels: uint8 `[b, h, w]` or `[b, h, w, k]`, of volumes with `d` before `h`.
        recipe: strengths and chances.
        rotation_invariant: whether up and down do not matter.
    """
    # The geometry alone; `strong_photometry` also changes the colors of RGB.
    geometry = kernel_probabilities(View(), recipe.flip_prob, recipe.rotate_prob)
    unchanged = kernel_strength(View())

    def view(key, image, label):
        window_key, geometry_key = jax.random.split(key)
        image, label = random_zoom_and_turn(window_key, image, label, recipe.zoom, recipe.turn)
        return views.make_weak_view(
            geometry_key, image, label, geometry, unchanged, rotation_invariant=rotation_invariant
        )

    geometry_key, photometry_key = jax.random.split(key)
    images, labels = jax.vmap(view)(jax.random.split(geometry_key, len(images)), images, labels)
    return strong_photometry(photometry_key, images, recipe.view), labels


def kernel_probabilities(view: View, flip: float = 0.0, rotate: float = 0.0) -> views.AugmentProbabilities:
    """Chances of a view as the kernels take them, with those of mirroring and of a turn by right angles."""
    return views.AugmentProbabilities(flip, rotate, view.contrast_prob, view.blur_prob, view.noise_prob)


def kernel_strength(view: View) -> augment.AugmentStrength:
    """Strengths of a view as the kernels take them."""
    return augment.AugmentStrength(view.blur, view.noise, view.contrast, view.brightness)


def strong_photometry(key: jax.Array, images: jax.Array, view: View) -> jax.Array:
    """A strong view of each image, uint8 `[b, h, w, c]`, of volumes with `d` before `h`."""
    # Its geometry stays: chances of flips and turns are not read.
    chances, strength = kernel_probabilities(view), kernel_strength(view)
    keys = jax.random.split(key, len(images))
    return jax.vmap(lambda key, image: views.make_strong_view(key, image, chances, strength))(keys, images)
