"""Which source image goes where: pure functions of the names and a seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from imjax import rng
from imjax.errors import UserError

SPLITS = ("labelled", "unlabelled", "val", "test")


def split(
    parts: Mapping[str, Iterable[str]], label_fraction: float, val_fraction: float, seed: int
) -> dict[str, list[str]]:
    """Divide source images into `SPLITS` (Vorndran & Roeck 2024, data preparation).

    Args:
        parts: source names by part of the original: `train_val` and `test`, or `train`, `val` and
            `test`; `unlabelled` (optional) are further training images without a mask.
        label_fraction: share of the training sources that is labelled, in (0, 1]; at least one.
        val_fraction: share of `train_val` held out for validation, in (0, 1); at least one.
        seed: the permutations are those of the sorted names with this seed, on every platform.

    Returns:
        Sorted source names by split. `unlabelled` is empty only where `label_fraction` leaves nothing.

    Raises:
        UserError: a fraction out of range, too few images, or a source in two parts.
    """
    if not 0 < label_fraction <= 1:
        raise UserError(f"label_fraction = {label_fraction}, expected more than 0 and at most 1")
    if "train_val" in parts:
        if not 0 < val_fraction < 1:
            raise UserError(f"val_fraction = {val_fraction}, expected more than 0 and less than 1")
        train, val = _hold_out(parts["train_val"], val_fraction, seed)
    else:
        train, val = sorted(set(parts["train"])), sorted(set(parts["val"]))
    extra, test = sorted(set(parts.get("unlabelled", ()))), sorted(set(parts["test"]))
    need = 1 if label_fraction == 1 or extra else 2
    for what, names, least in (("training", train, need), ("validation", val, 1), ("test", test, 1)):
        if len(names) < least:
            raise UserError(
                f"{len(names)} source images left for {what}, expected at least {least}; add images"
            )
    labelled, rest = _draw(train, label_fraction, seed, "split/labelled", keep=need - 1)
    out = {"labelled": labelled, "unlabelled": sorted({*rest, *extra}), "val": val, "test": test}
    for pair, common in overlaps(out).items():
        if common:
            raise UserError(
                f"source image {common[0]!r} is in {pair}, expected in one only; remove one of them"
            )
    return out


def overlaps(splits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Sources common to each pair of splits, `"a & b" -> sorted names`; all empty is the proof."""
    return {
        f"{a} & {b}": sorted(set(splits[a]) & set(splits[b])) for a, b in itertools.combinations(splits, 2)
    }


def _hold_out(names: Iterable[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    names = sorted(set(names))
    if not names:
        return [], []
    val, train = _draw(names, fraction, seed, "split/val", keep=0)
    return train, val


def _draw(names: list[str], share: float, seed: int, stream: str, keep: int) -> tuple[list[str], list[str]]:
    """Sorted (drawn, rest): at least one drawn and at least `keep` in the rest."""
    count = min(max(1, round(share * len(names))), len(names) - keep)
    order = rng.numpy(seed, stream).permutation(len(names))
    return sorted(names[i] for i in order[:count]), sorted(names[i] for i in order[count:])
