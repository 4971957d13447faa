"""Inconsistency masks (IM): where the members of an ensemble disagree about one image.

Vorndran & Roeck 2024 (arXiv 2401.14387), Inconsistency Masks. Repeating a member changes nothing, so any
number of members becomes a fixed n by repeating the first: one program for all numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, UInt8

from imjax.data.spec import VOID
from imjax.ops import morphology
from imjax.ops.ensemble import Kind, Label

Members = UInt8[Array, "n h w"] | UInt8[Array, "n h w k"]


class PseudoLabel(NamedTuple):
    """The pseudo-label that n members give one image."""

    label: Label
    """Consensus, 0 where the members disagree; not yet blocked by a dilated IM."""
    inconsistent: Bool[Array, "h w"]
    """The IM, after morphology."""
    size: Int32[Array, ""]
    """Pixels of the IM before morphology; multilabel: summed over the channels, so a pixel may count several
    times."""
    keep: Bool[Array, ""]
    """False: the pair is not used for training. Decided before morphology too."""


class PseudoLabels(NamedTuple):
    """The pseudo-labels of n images on the host; fields as of `PseudoLabel`, with an axis of images first."""

    label: np.ndarray
    inconsistent: np.ndarray
    size: np.ndarray
    keep: np.ndarray


def multiclass(labels: UInt8[Array, "n h w"]) -> tuple[UInt8[Array, "h w"], Bool[Array, "h w"]]:
    """Consensus class (0 where the members differ) and IM of n class maps."""
    inconsistent = (labels != labels[:1]).any(0)
    return jnp.where(inconsistent, 0, labels[0]), inconsistent


def binary(masks: UInt8[Array, "n h w"]) -> tuple[UInt8[Array, "h w"], Bool[Array, "h w"]]:
    """Consensus (1 where all members have 1) and IM (neither all 0 nor all 1) of n masks of 0 and 1."""
    unanimous, any_member = masks.astype(bool).all(0), masks.astype(bool).any(0)
    return unanimous.astype(jnp.uint8), any_member & ~unanimous


def multilabel(masks: UInt8[Array, "n h w k"]) -> tuple[UInt8[Array, "h w k"], Bool[Array, "h w k"]]:
    """`binary` for each of the k channels: consensus and IM per channel."""
    return jax.vmap(binary, in_axes=-1, out_axes=-1)(masks)


def without_inconsistency(label: Label) -> PseudoLabel:
    """A pseudo-label without inconsistent pixels; the pair is kept."""
    nothing = jnp.zeros(label.shape[:2], bool)
    return PseudoLabel(label, nothing, jnp.zeros((), jnp.int32), jnp.ones((), bool))


def block(
    image: UInt8[Array, "h w c"],
    label: Label,
    inconsistent: Bool[Array, "h w"],
    *,
    zero_image: bool = True,
    zero_label: bool = True,
    image_value: str = "zero",
    label_value: str = "zero",
) -> tuple[UInt8[Array, "h w c"], Label]:
    """Block image pixels (`zero_image`) and label pixels (`zero_label`) under the IM.

    Args:
        image, label: a pair.
        inconsistent: the IM.
        zero_image, zero_label: static; whether they are blocked at all.
        image_value: static; `zero`, as published, or `mean`, of the pixels that are not blocked.
        label_value: static; `zero`, as published, or `void`.
    """
    if zero_image:
        image = block_image(image, inconsistent, image_value)
    if zero_label:
        value = VOID if label_value == "void" else 0
        label = jnp.where(inconsistent if label.ndim == 2 else inconsistent[..., None], value, label)
    return image, label


def block_image(
    image: UInt8[Array, "*px c"], inconsistent: Bool[Array, "*px"], value: str = "zero"
) -> UInt8[Array, "*px c"]:
    """Set the pixels under the IM to 0 in all channels; for images, volumes and batches of them.

    With `value="mean"`, of one image, they get the mean of each channel over all other pixels.
    """
    blocked = inconsistent[..., None]
    if value == "zero":
        return jnp.where(blocked, 0, image)
    pixels = tuple(range(inconsistent.ndim))
    total = jnp.where(blocked, 0, image).astype(jnp.float32).sum(pixels)
    mean = jnp.round(total / jnp.maximum((~blocked).sum(pixels), 1)).astype(jnp.uint8)
    return jnp.where(blocked, mean, image)


def keep_binary(consensus: UInt8[Array, "h w"], size: Int32[Array, ""]) -> Bool[Array, ""]:
    """True if the consensus has foreground, and more of it than the IM has pixels."""
    foreground = jnp.sum(consensus != 0, dtype=jnp.int32)
    return (foreground > size) & (foreground > 0)


def have_same_classes(labels: Members, classes: int) -> Bool[Array, ""]:
    """True if every member predicts the same set of classes (`[n, h, w, k]`: of channels) in the image."""
    if labels.ndim == 4:
        present = labels.astype(bool).any((1, 2))
    else:
        present = (labels[..., None] == jnp.arange(classes, dtype=jnp.uint8)).any((1, 2))
    return (present == present[:1]).all()


def _dilate_label(kind: Kind, label: Array, channels: tuple[int, ...]) -> Array:
    """3×3 gray dilation of a multiclass label, or of the named channels of a multilabel one."""
    if kind == "multiclass":
        return morphology.dilate_classes(label, 3)
    for channel in channels:
        label = label.at[..., channel].set(morphology.dilate_classes(label[..., channel], 3))
    return label


def make_pseudo_label(
    kind: Kind,
    members: Members,
    *,
    classes: int,
    erode: morphology.Size = 0,
    dilate: morphology.Size = 0,
    dilate_channels: tuple[int, ...] = (),
    dilate_label: bool = True,
    require_same_classes: bool = False,
) -> PseudoLabel:
    """Consensus label, IM, its size, and whether to keep the pair, for any kind of label.

    Args:
        kind: static.
        members: labels of the n members; binary and multiclass `[n, h, w]`, multilabel `[n, h, w, k]`.
        classes: number of classes; binary: 2; multilabel: k.
        erode, dilate: square kernels for the IM, in this order; for multilabel of the union over the
            channels. A Python int is static; a traced size must be one of `morphology.CHOICES`.
        dilate_channels: multilabel channels that are dilated by 3 when the IM is eroded (HeLa: alive, dead).
            A multiclass label always is, so that pixels freed by the erosion get a class; a binary one never.
        dilate_label: False: no label is dilated, as in EvalNet's data (methods.md 1.6).
        require_same_classes: drop the pair when the members' sets of predicted classes differ.

    Raises:
        ValueError: a static kernel size that is even or negative.
    """
    consensus = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}[kind]
    label, inconsistent = consensus(members)

    # Size and decision before morphology, as published: they say how far the members disagree, which an
    # erosion of the mask would hide.
    size = jnp.sum(inconsistent, dtype=jnp.int32)
    keep = keep_binary(label, size) if kind == "binary" else jnp.bool_(True)
    if require_same_classes:
        keep &= have_same_classes(members, classes)
    if dilate_label and kind != "binary" and not (isinstance(erode, int) and erode <= 1):
        label = jnp.where(erode > 1, _dilate_label(kind, label, dilate_channels), label)
    # A pixel of the image is blocked if any of its channels is inconsistent: the union is what is eroded.
    union = inconsistent.any(-1) if kind == "multilabel" else inconsistent
    reshaped = morphology.dilate_by_choice(morphology.erode_by_choice(union, erode), dilate)
    return PseudoLabel(label, reshaped, size, keep)
