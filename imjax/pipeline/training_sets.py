"""Training sets of the stages, built in memory from packed data and label stages."""

from __future__ import annotations

import jax
import numpy as np

from imjax import rng
from imjax.config.schema import Aldt, AugmentStrength, Mask
from imjax.data.pack import PackedDataset
from imjax.ops import augment, inconsistency
from imjax.ops.batched_map import map_images

Pairs = dict[str, np.ndarray]
"""`image` uint8 `[n, h, w, c]` and `label` uint8 `[n, h, w]` or `[n, h, w, k]`; volumes: `d` after `n`."""


def of_split(packed: PackedDataset, *names: str) -> Pairs:
    """Whole splits, one after the other, with their true labels."""
    splits = [packed.splits[name] for name in names]
    return join(*({"image": s.images, "label": s.labels} for s in splits))


def join(*parts: Pairs) -> Pairs:
    """Sets one after the other; a single one is not copied, since it may be larger than the memory."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def augmented(
    pairs: Pairs, copies: np.ndarray, strength: AugmentStrength, rotation_invariant: bool, key: jax.Array
) -> Pairs:
    """Augmented copies of pairs (methods.md 1.8), without the originals.

    Args:
        pairs: n pairs.
        copies: number of copies of each, integers `[n]`.
        strength: of the photometry.
        rotation_invariant: whether up and down do not matter.
        key: each copy draws from its own fold of it.
    """
    chosen = np.repeat(np.arange(len(copies)), copies)
    numbers = np.arange(len(chosen), dtype=np.uint32)
    image, label = map_images(
        _copy, numbers, pairs["image"][chosen], pairs["label"][chosen],
        shared=(key, kernel_strength(strength)), rotation_invariant=rotation_invariant,
    )  # fmt: skip
    return {"image": image, "label": label}


def _copy(
    key: jax.Array,
    strength: augment.AugmentStrength,
    number: jax.Array,
    image: jax.Array,
    label: jax.Array,
    *,
    rotation_invariant: bool,
) -> tuple[jax.Array, jax.Array]:
    return augment.augment(
        jax.random.fold_in(key, number), image, label, strength, rotation_invariant=rotation_invariant
    )


def kernel_strength(strength: AugmentStrength) -> augment.AugmentStrength:
    """The configuration's strength as the pytree that the augmentation kernels take."""
    return augment.AugmentStrength(strength.blur, strength.noise, strength.contrast, strength.brightness)


def blocked(images: np.ndarray, labels: np.ndarray, masks: np.ndarray, settings: Mask) -> Pairs:
    """Cut the inconsistent pixels out of images and pseudo-labels.

    Args:
        images: uint8 `[n, h, w, c]`.
        labels: uint8 pseudo-labels.
        masks: bool `[n, h, w]`, True where the members disagree.
        settings: whether images and labels are cut, and what is put there.
    """
    image, label = map_images(
        inconsistency.block, images, labels, masks,
        zero_image=settings.zero_image, zero_label=settings.zero_label,
        image_value=settings.image_value, label_value=settings.label_value,
    )  # fmt: skip
    return {"image": image, "label": label}


def labeled(packed: PackedDataset, start: str, aldt: Aldt, seed: int) -> Pairs:
    """The labeled part of a training set (methods.md 1.1): `ldt`, `aldt`, or everything for `fdt`."""
    if start == "fdt":
        return of_split(packed, "labeled", "unlabeled")
    pairs = of_split(packed, "labeled")
    if start == "ldt":
        return pairs
    copies = np.full(len(pairs["image"]), aldt.copies)
    extra = augmented(pairs, copies, aldt, packed.spec.rotation_invariant, rng.key(seed, "aldt"))
    return join(pairs, extra)
