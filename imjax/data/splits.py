"""Which source image goes where: pure functions of the samples' names and kinds, and a seed."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from imjax import rng
from imjax.config.schema import Data
from imjax.data.folds import divide_into_folds
from imjax.data.readers.base import Sample
from imjax.errors import ErrorCode, UserError


class ImageCounts(NamedTuple):
    """Packed images (slices, crops) or volumes of the training splits."""

    labeled: int
    unlabeled: int


SPLITS = ("labeled", "unlabeled", "val", "test")


@dataclasses.dataclass(frozen=True)
class StratifiedSampler:
    """Draws names by a seed, the same share of every stratum."""

    seed: int
    strata: Mapping[str, str]

    def sample(
        self, names: list[str], share: float, stream: str, keep: int = 0
    ) -> tuple[list[str], list[str]]:
        """Sorted (drawn, rest): about `share` names, at least one, and at least `keep` in the rest."""
        count = min(max(1, round(share)), len(names) - keep)
        order = self._order(names, stream)
        return sorted(order[:count]), sorted(order[count:])

    def _order(self, names: list[str], stream: str) -> list[str]:
        """A permutation that spreads every stratum evenly, so that any beginning has its share of each."""
        drawn = [names[i] for i in rng.numpy(self.seed, stream).permutation(len(names))]
        kinds = [self.strata.get(name, "") for name in drawn]
        sizes, before = Counter(kinds), Counter[str]()
        places = []
        for kind in kinds:
            places.append((before[kind] + 0.5) / sizes[kind])
            before[kind] += 1
        return [drawn[i] for i in sorted(range(len(drawn)), key=places.__getitem__)]


def split_parts(
    parts: Mapping[str, Iterable[str]],
    label_fraction: float,
    val_fraction: float,
    seed: int,
    test_fraction: float = 0.2,
    strata: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Divide source images into `SPLITS` (Vorndran & Roeck 2024, data preparation).

    Args:
        parts: source names by part of the original. Either `train`, `val` and `test`; or `train_val` and
            `test`; or `train` and `val_test`, which is cut in half; or one pool `train_val_test`.
            `unlabeled` (optional) are further training images that count as such, e.g. for want of a mask.
            `labeled` (optional) are the training sources that are labeled, `train` then being the others:
            none are drawn.
        label_fraction: share of the training sources that is labeled, in (0, 1]; at least one.
        val_fraction: share of `train_val` or of the pool held out for validation, in (0, 1); at least one.
        seed: the permutations are those of the sorted names with this seed, on every platform.
        test_fraction: share of the pool held out for the test, in (0, 1); at least one.
        strata: kind of each source, where the same share of every kind is to be drawn, as far as whole
            sources allow; sources without an entry are one kind.

    Returns:
        Sorted source names by split. `unlabeled` is empty only where `label_fraction` leaves nothing, or
        where a reader says so, by a part `unlabeled` with nothing in it.

    Raises:
        UserError: a fraction out of range, too few images, or a source in two parts.
    """
    if not 0 < label_fraction <= 1:
        raise UserError(
            f"label_fraction = {label_fraction}, expected more than 0 and at most 1",
            code=ErrorCode.OUT_OF_RANGE,
            field="data.label_fraction",
        )
    names = {part: sorted(set(members)) for part, members in parts.items()}
    sampler = StratifiedSampler(seed, strata or {})
    train, val, test = _divide(names, val_fraction, test_fraction, sampler)
    extra = names.get("unlabeled", [])
    keep = 0 if label_fraction == 1 or "unlabeled" in names else 1
    labeled, unlabeled = _label(train, names.get("labeled"), label_fraction, sampler, keep)
    _check_enough("validation", val, 1)
    _check_enough("test", test, 1)
    out = {"labeled": labeled, "unlabeled": sorted({*unlabeled, *extra}), "val": val, "test": test}
    for pair, common in count_common_sources(out).items():
        if common:
            raise UserError(
                f"source image {common[0]!r} is in {pair}, expected in one only; remove one of them",
                code=ErrorCode.CONFLICT,
                field=common[0],
            )
    return out


def choose_evenly(count: int, most: int) -> list[int]:
    """Numbers below `count`, all of them or `most` evenly spaced ones with the first and the last."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist() if count else []


def split_sources(data: Data, parts: Mapping[str, Sequence[Sample]]) -> dict[str, list[str]]:
    """`split_parts` of a reader's samples, by their sources and strata, as the configuration says.

    With `data.folds` those of `folds.divide_into_folds`, where the final nets have images in several splits.

    Raises:
        UserError: as `split_parts` and `divide_into_folds`; or folds where the division is given.
    """
    sources = {part: [s.source for s in samples] for part, samples in parts.items()}
    strata = {s.source: s.stratum for s in itertools.chain(*parts.values())}
    shares = data.label_fraction, data.val_fraction, data.split_seed, data.test_fraction
    splits = split_parts(sources, *shares, strata)
    if not data.num_folds:
        return splits
    if "labeled" in parts:
        raise UserError(
            f"config key 'data.folds' is {data.folds}, but the division is given, by splits.csv or by the "
            "dataset; expected 1, or no such table",
            code=ErrorCode.CONFLICT,
            field="data.folds",
        )
    sampler = StratifiedSampler(data.split_seed, strata)
    return divide_into_folds(data, splits, "train_val_test" in parts, sampler.sample)


def split_samples(data: Data, parts: Mapping[str, Sequence[Sample]]) -> dict[str, list[Sample]]:
    """Samples by split, in the order of their names; UserError as for `split_sources`."""
    members = {name: set(sources) for name, sources in split_sources(data, parts).items()}
    samples = sorted(itertools.chain(*parts.values()), key=lambda s: s.name)
    return {name: [s for s in samples if s.source in members[name]] for name in SPLITS}


def count_leaked_test_images(chosen: Mapping[str, Sequence[Sample]]) -> int:
    """How many test images show what an image of another split shows too."""
    others = {s.scene or s.source for name, samples in chosen.items() if name != "test" for s in samples}
    return sum((s.scene or s.source) in others for s in chosen["test"])


def count_common_sources(splits: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Sources common to each pair of splits, `"a & b" -> sorted names`; all empty is the proof."""
    return {
        f"{a} & {b}": sorted(set(splits[a]) & set(splits[b])) for a, b in itertools.combinations(splits, 2)
    }


def _divide(
    names: dict[str, list[str]], val_fraction: float, test_fraction: float, sampler: StratifiedSampler
) -> tuple[list[str], list[str], list[str]]:
    """Sorted sources for training, validation and test, from whatever parts the original has."""
    if "train_val_test" in names:
        _check_fractions(val_fraction=val_fraction, test_fraction=test_fraction)
        pool = names["train_val_test"]
        _check_pool(len(pool))
        # The test set first, so that it stays the same whatever is held out for validation.
        test, training_pool = sampler.sample(pool, test_fraction * len(pool), "split/test")
        val, train = sampler.sample(training_pool, val_fraction * len(pool), "split/val")
        return train, val, test
    if "val_test" in names:
        val, test = sampler.sample(names["val_test"], len(names["val_test"]) / 2, "split/val_test")
        return names["train"], val, test
    if "train_val" in names:
        _check_fractions(val_fraction=val_fraction)
        val, train = sampler.sample(names["train_val"], val_fraction * len(names["train_val"]), "split/val")
        return train, val, names["test"]
    return names["train"], names["val"], names["test"]


def _label(
    train: list[str], chosen: list[str] | None, fraction: float, sampler: StratifiedSampler, keep: int
) -> tuple[list[str], list[str]]:
    """Training sources with labels and without, at least `keep` of the latter; drawn unless chosen."""
    if chosen is not None:
        _check_enough("labeled training", chosen, 1)
        _check_enough("unlabeled training", train, keep)
        return chosen, train
    _check_enough("training", train, 1 + keep)
    # The name of a random stream: spelled otherwise it would draw another split.
    return sampler.sample(train, fraction * len(train), "split/labelled", keep)


def _check_pool(count: int) -> None:
    if 0 < count < 3:
        raise UserError(
            f"images with a mask: {count}, expected at least 3: one to train with, one to choose the best "
            f"nets by (val) and one to test; add masks: at least {3 - count}. Of a few masks every figure "
            "is a matter of chance: data.folds tests on each of them once",
            code=ErrorCode.TOO_FEW,
            field="training",
        )


def _check_enough(what: str, names: list[str], least: int) -> None:
    if len(names) < least:
        raise UserError(
            f"{len(names)} source images left for {what}, expected at least {least}; add images",
            code=ErrorCode.TOO_FEW,
            field=what,
        )


def _check_fractions(**fractions: float) -> None:
    for name, value in fractions.items():
        if not 0 < value < 1:
            raise UserError(
                f"{name} = {value}, expected more than 0 and less than 1",
                code=ErrorCode.OUT_OF_RANGE,
                field=f"data.{name}",
            )
    if sum(fractions.values()) >= 1:
        given = " and ".join(f"{name} = {value}" for name, value in fractions.items())
        raise UserError(
            f"{given} leave nothing for training, expected a sum less than 1",
            code=ErrorCode.CONFLICT,
            field="data.test_fraction",
        )
