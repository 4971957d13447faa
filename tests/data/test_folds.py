"""Folds: every image with labels is held out once, whatever the seed; final nets learn from all."""

from __future__ import annotations

import dataclasses

import pytest
from user_errors import raises_user_error

from imjax.config.constraints import check
from imjax.config.schema import Config, Data
from imjax.data.readers.base import Sample
from imjax.data.splits import SPLITS, split_samples, split_sources
from imjax.errors import ErrorCode

MASKED = [Sample(f"m{i:02d}", f"m{i:02d}", stratum="ab"[i % 2]) for i in range(12)]
OTHERS = [Sample(f"u{i}", f"u{i}") for i in range(4)]
POOL = {"train_val_test": MASKED, "unlabeled": OTHERS}
OWN = Data("folder", label_fraction=1.0, val_fraction=0.2, folds=5, fold_repeats=2)


def fold(number, data=OWN, parts=POOL):
    return split_sources(dataclasses.replace(data, fold=number), parts)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_image_is_held_out_once_in_each_repeat(seed):
    data = dataclasses.replace(OWN, split_seed=seed)
    names = sorted(s.source for s in MASKED)
    folds = [fold(number, data) for number in range(1, 11)]
    for repeat in (folds[:5], folds[5:]):
        assert sorted(sum((each["test"] for each in repeat), [])) == names
    for each in folds:
        assert sorted(each["labeled"] + each["val"] + each["test"]) == names
        assert len(each["test"]) in (2, 3) and len(each["val"]) == 2
        assert each["unlabeled"] == [s.source for s in OTHERS]
        # Half of them are of either kind, and so in each fold some.
        assert len({s.stratum for s in MASKED if s.source in each["test"]}) == 2
    assert folds[0]["test"] != folds[5]["test"]


def test_final_nets_learn_from_every_image():
    final = fold(0)
    names = sorted(s.source for s in MASKED)
    assert final["labeled"] == final["val"] == final["test"] == names
    chosen = split_samples(OWN, POOL)
    assert [s.name for s in chosen["test"]] == names and len(chosen["unlabeled"]) == 4


def test_without_folds_nothing_changes():
    plain = dataclasses.replace(OWN, folds=1, fold_repeats=1)
    assert fold(0, plain) == split_sources(Data("folder", label_fraction=1.0, val_fraction=0.2), POOL)


def test_a_published_test_set_is_left_alone():
    parts = {"train_val": MASKED, "test": OTHERS}
    data = dataclasses.replace(OWN, label_fraction=0.5, folds=3, fold_repeats=1)
    without = split_sources(dataclasses.replace(data, folds=1), parts)
    held_out = sorted(sum((fold(n, data, parts)["test"] for n in (1, 2, 3)), []))
    assert held_out == sorted(without["labeled"] + without["val"])
    assert fold(1, data, parts)["unlabeled"] == without["unlabeled"]


def test_mistakes():
    with raises_user_error(ErrorCode.TOO_FEW, "data.folds"):
        fold(1, parts={"train_val_test": MASKED[:4], "unlabeled": OTHERS})
    with raises_user_error(ErrorCode.CONFLICT, "data.folds"):
        fold(1, parts=dict.fromkeys((*SPLITS, "train"), []) | {
            "labeled": MASKED[:4], "val": MASKED[4:6], "test": MASKED[6:]})  # fmt: skip
    for key, values in {
        "data.fold": {"folds": 5, "fold": 6},
        "data.fold_repeats": {"fold_repeats": 2},
        "data.by_crop": {"folds": 5, "tile_overlap": 0.5, "by_crop": True},
    }.items():
        with raises_user_error(ErrorCode.CONFLICT, key):
            check(Config(data=Data("folder", **values)))
