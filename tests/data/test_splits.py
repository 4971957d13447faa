from __future__ import annotations

import pytest
from user_errors import raises_user_error

from imjax.data.splits import SPLITS, count_common_sources, split_parts
from imjax.errors import ErrorCode

NAMES = [f"s{i:04d}" for i in range(1525)]
TEST = [f"t{i:03d}" for i in range(110)]


def test_published_suim_counts():
    out = split_parts({"train_val": NAMES, "test": TEST}, 0.1, 0.1, seed=0)
    # 1525 / 10 = 152.5 -> 152 (half to even); of the other 1373, 137 are labeled.
    assert [len(out[name]) for name in SPLITS] == [137, 1236, 152, 110]
    assert sorted(sum(out.values(), [])) == sorted(NAMES + TEST)
    assert not any(count_common_sources(out).values()) and len(count_common_sources(out)) == 6


def test_order_and_copies_of_names_do_not_matter():
    shuffled = NAMES[::-1] + NAMES[:7]
    parts = {"train_val": NAMES, "test": TEST}
    assert split_parts(parts, 0.1, 0.1, 3) == split_parts({**parts, "train_val": shuffled}, 0.1, 0.1, 3)
    assert split_parts(parts, 0.1, 0.1, 3) != split_parts(parts, 0.1, 0.1, 4)


def test_val_does_not_depend_on_label_fraction():
    parts = {"train_val": NAMES, "test": TEST}
    assert split_parts(parts, 0.1, 0.1, 0)["val"] == split_parts(parts, 0.5, 0.1, 0)["val"]
    assert set(split_parts(parts, 0.1, 0.1, 0)["labeled"]) < set(split_parts(parts, 0.5, 0.1, 0)["labeled"])


def test_official_parts_stay():
    out = split_parts({"train": NAMES, "val": ["v"], "test": TEST}, 1.0, 0.1, seed=0)
    assert out == {"labeled": NAMES, "unlabeled": [], "val": ["v"], "test": TEST}


def test_images_without_mask_are_unlabeled():
    out = split_parts({"train": ["a"], "val": ["v"], "test": ["t"], "unlabeled": ["u"]}, 0.1, 0.1, 0)
    assert out == {"labeled": ["a"], "unlabeled": ["u"], "val": ["v"], "test": ["t"]}


def test_chosen_labels_are_not_drawn():
    parts = {"labeled": ["b", "a"], "train": list("cdefgh"), "val": ["v"], "test": ["t"]}
    for seed in range(3):
        out = split_parts(parts, 0.1, 0.1, seed)
        assert out == {"labeled": ["a", "b"], "unlabeled": list("cdefgh"), "val": ["v"], "test": ["t"]}
    everything = {"labeled": ["a"], "train": [], "val": ["v"], "test": ["t"]}
    assert split_parts(everything, 1.0, 0.1, 0)["unlabeled"] == []
    pool = split_parts({"labeled": ["a"], "train_val": list("bcd"), "test": ["t"]}, 0.1, 0.1, 0)
    assert pool["labeled"] == ["a"] and [len(pool[name]) for name in SPLITS] == [1, 2, 1, 1]


def test_smallest_sets_fill_every_split():
    out = split_parts({"train_val": list("abcd"), "test": list("xy")}, 0.1, 0.1, 0)
    assert [len(out[name]) for name in SPLITS] == [1, 2, 1, 2]
    out = split_parts({"train_val": list("abc"), "test": ["x"]}, 0.99, 0.1, 0)
    assert [len(out[name]) for name in SPLITS] == [1, 1, 1, 1]


def test_one_pool_is_divided_by_shares_of_the_whole():
    out = split_parts({"train_val_test": NAMES[:1000]}, 0.1, 0.1, seed=0, test_fraction=0.2)
    assert [len(out[name]) for name in SPLITS] == [70, 630, 100, 200]
    assert sorted(sum(out.values(), [])) == NAMES[:1000] and not any(count_common_sources(out).values())
    again = split_parts({"train_val_test": NAMES[999::-1]}, 0.1, 0.1, seed=0, test_fraction=0.2)
    assert out == again != split_parts({"train_val_test": NAMES[:1000]}, 0.1, 0.1, seed=1, test_fraction=0.2)
    # The test set does not depend on what is held out beside it.
    assert split_parts({"train_val_test": NAMES[:1000]}, 0.5, 0.3, 0, 0.2)["test"] == out["test"]


def test_every_stratum_gives_its_share():
    rare = {name: "rare" for name in NAMES[:1000:100]}
    out = split_parts({"train_val_test": NAMES[:1000]}, 0.5, 0.1, 0, 0.2, rare)
    # 10 of 1000: 2 test, 1 val, and of the other 7 half, or one more, are labeled.
    assert [len(set(out[name]) & set(rare)) for name in SPLITS] in ([4, 3, 1, 2], [3, 4, 1, 2])
    assert [len(out[name]) for name in SPLITS] == [350, 350, 100, 200]
    # One kind is no kind: the draw is that without.
    alone = split_parts({"train_val_test": NAMES}, 0.1, 0.1, 0, 0.2, dict.fromkeys(NAMES, "one"))
    assert alone == split_parts({"train_val_test": NAMES}, 0.1, 0.1, 0, 0.2)


def test_published_cityscapes_counts():
    val = [f"v{i:03d}" for i in range(500)]
    out = split_parts({"train": [f"t{i:04d}" for i in range(2975)], "val_test": val}, 0.1, 0.1, seed=0)
    # 2975 / 10 = 297.5 -> 298 (half to even).
    assert [len(out[name]) for name in SPLITS] == [298, 2677, 250, 250]
    assert sorted(out["val"] + out["test"]) == val
    # A permutation, not the first half of the names (that is, of the cities).
    assert 90 < sum(name < "v250" for name in out["val"]) < 160


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ({"train_val": ["a", "b"], "test": ["x"]}, ErrorCode.TOO_FEW, "training"),
        ({"train_val": [], "test": ["x"]}, ErrorCode.TOO_FEW, "training"),
        ({"train": ["a", "b"], "val": [], "test": ["x"]}, ErrorCode.TOO_FEW, "validation"),
        ({"train_val": list("abc"), "test": []}, ErrorCode.TOO_FEW, "test"),
        ({"train_val": list("abc"), "test": ["a"]}, ErrorCode.CONFLICT, "a"),
        ({"train": list("abc"), "val_test": ["v"]}, ErrorCode.TOO_FEW, "test"),
        ({"train": list("abc"), "val_test": list("cd")}, ErrorCode.CONFLICT, "c"),
        ({"train_val_test": list("abc")}, ErrorCode.TOO_FEW, "training"),
        ({"train_val_test": []}, ErrorCode.TOO_FEW, "training"),
        (
            {"labeled": [], "train": ["a"], "val": ["v"], "test": ["t"]},
            ErrorCode.TOO_FEW,
            "labeled training",
        ),
        (
            {"labeled": ["a"], "train": [], "val": ["v"], "test": ["t"]},
            ErrorCode.TOO_FEW,
            "unlabeled training",
        ),
        ({"labeled": ["a"], "train": ["a", "b"], "val": ["v"], "test": ["t"]}, ErrorCode.CONFLICT, "a"),
    ],
)
def test_too_few_or_shared(parts, code, field):
    with raises_user_error(code, field):
        split_parts(parts, 0.1, 0.1, 0)


@pytest.mark.parametrize(
    ("label", "val", "field"),
    [
        (0.0, 0.1, "data.label_fraction"),
        (1.1, 0.1, "data.label_fraction"),
        (0.1, 0.0, "data.val_fraction"),
        (0.1, 1.0, "data.val_fraction"),
    ],
)
def test_fractions_out_of_range(label, val, field):
    with raises_user_error(ErrorCode.OUT_OF_RANGE, field):
        split_parts({"train_val": NAMES, "test": TEST}, label, val, 0)


@pytest.mark.parametrize(
    ("val", "test", "code", "field"),
    [
        (0.1, 0.0, ErrorCode.OUT_OF_RANGE, "data.test_fraction"),
        (0.1, 1.0, ErrorCode.OUT_OF_RANGE, "data.test_fraction"),
        (0.0, 0.2, ErrorCode.OUT_OF_RANGE, "data.val_fraction"),
        (0.5, 0.5, ErrorCode.CONFLICT, "data.test_fraction"),
    ],
)
def test_shares_of_a_pool_out_of_range(val, test, code, field):
    with raises_user_error(code, field):
        split_parts({"train_val_test": NAMES}, 0.1, val, 0, test)
