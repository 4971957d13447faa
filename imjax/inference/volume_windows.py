"""Prediction through overlapping windows, of volumes that no net sees whole.

The windows' probabilities are averaged where they overlap, as in the benchmark of the left atrium (UA-MT, Yu
et al. 2019, arXiv 1907.07034). All volumes of a set have one size, so that one program serves all windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, UInt8

from imjax.data.preprocess import window_starts
from imjax.log import track
from imjax.training import apply_nets
from imjax.training.data_loader import EnsembleLoader
from imjax.training.ensemble_parallel import Chunks, Members

Place = tuple[slice, ...]
"""Of a window in a volume."""


def places(shape: tuple[int, ...], sides: tuple[int, ...], overlap: float) -> list[Place]:
    """The windows of a volume of that shape, see `crops.starts`."""
    axes = [window_starts(length, side, overlap) for length, side in zip(shape, sides, strict=True)]
    return [
        tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*axes)
    ]


def labels(
    members: Members,
    mapped: Callable,
    variables: Chunks,
    images: UInt8[np.ndarray, "n d h w c"],
    where: list[Place],
    batch: int,
    harden: Callable[[Float32[np.ndarray, "d h w k"]], np.ndarray],
) -> UInt8[np.ndarray, "m n ..."]:
    """Labels of whole volumes, one volume after the other.

    Args:
        members: as the function was mapped by.
        mapped: `members.map` of (variables, batch) → probabilities `[b, *window, k]`.
        variables: per member.
        images: volumes.
        where: the windows; together they cover a volume.
        batch: windows per call.
        harden: mean probabilities of one volume → its label.

    Returns:
        `[member, n, d, h, w]`, or what `harden` gives, `[member, n, ...]`.
    """
    shape = images.shape[1:-1]
    seen = np.zeros((*shape, 1), np.float32)
    for place in where:
        seen[place] += 1
    out = []
    for volume in track(images, "predicting"):
        # Only one volume's windows, and only one batch of probabilities, exist at a time.
        source = EnsembleLoader(
            {"image": np.stack([volume[place] for place in where])}, members, max_device_dataset_mib=0
        )
        out.append(_labels(apply_nets.sweep(members, mapped, variables, source, batch), where, seen, harden))
    return np.stack(out, 1)


def _labels(parts, where: list[Place], seen: np.ndarray, harden: Callable) -> np.ndarray:
    """Labels of one volume, `[member, ...]`, from batches of its windows in their order."""
    total, todo = None, iter(where)
    for said, counted in parts:
        if total is None:
            total = np.zeros((len(said), *seen.shape[:-1], said.shape[-1]), np.float32)
        for i, place in enumerate(itertools.islice(todo, counted)):
            total[(slice(None), *place)] += said[:, i]
    assert total is not None
    return np.stack([np.asarray(harden(one / seen)) for one in total])
