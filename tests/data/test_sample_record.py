"""What has changed since an earlier run, and which images stay in val and test."""

import json

import pytest
from folders import values, write
from user_errors import raises_user_error

from imjax.config.schema import Data
from imjax.data import pack, sample_record
from imjax.errors import ErrorCode


def record(split, image="i", truth="t"):
    return {"split": split, "image": image, "truth": truth}


BEFORE = {
    "a": record("labeled"), "b": record("labeled"), "c": record("unlabeled", truth=""), "v": record("val"),
    "t": record("test"), "u": record("unlabeled", truth=""),
}  # fmt: skip


def test_changes_by_hand():
    now = BEFORE | {
        "a": record("labeled", truth="corrected"), "c": record("labeled"), "n": record("labeled"),
        "u": record("unlabeled", image="other", truth=""),
    }  # fmt: skip
    del now["b"]
    assert sample_record.describe_changes(BEFORE, now) == (
        "2 masks more (c, n), 1 mask gone (b), 1 mask changed (a), 1 image more (n), 1 image gone (b), "
        "1 image changed (u)"
    )
    assert sample_record.describe_changes(BEFORE, BEFORE) == ""
    moved = BEFORE | {"a": record("test")}
    assert sample_record.describe_changes(BEFORE, moved) == "1 image in or out of val or test (a)"
    assert sample_record.list_leaks(BEFORE, moved) == ["a"] and not sample_record.list_leaks(BEFORE, now)


def make_folder(raw, masks, bare):
    for i in range(masks + bare):
        write(raw / "images" / f"{i}.png", values(i, 3 * i, 255 - i, size=(16, 16)))
        if i < masks:
            write(raw / "masks" / f"{i}.png", values(0, 255, size=(16, 16)))
    return raw


def splits(packed):
    return {name: set(split.names) for name, split in packed.splits.items()}


def prepare(raw, cache, **more):
    data = Data("folder", str(raw), height=16, width=16, label_fraction=1.0, val_fraction=0.2, **more)
    return pack.load_packed(pack.prepare_dataset(data, cache))


def test_new_masks_are_labeled_and_nothing_moves(tmp_path):
    raw = make_folder(tmp_path / "raw", 10, 6)
    first = prepare(raw, tmp_path / "cache")
    run = tmp_path / "run"
    run.mkdir()
    (run / sample_record.FILE).write_text(json.dumps(first.samples))
    for i in (10, 11, 12):
        write(raw / "masks" / f"{i}.png", values(255, 0, size=(16, 16)))
    before, drawn = splits(first), splits(prepare(raw, tmp_path / "cache"))
    kept = prepare(raw, tmp_path / "cache", keep_split=str(run))
    after = splits(kept)
    # A division that is drawn anew moves images that were trained on into the test.
    assert drawn["test"] != before["test"]
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    assert after["labeled"] == before["labeled"] | {"10", "11", "12"}
    assert after["unlabeled"] == before["unlabeled"] - after["labeled"]
    assert sample_record.describe_changes(first.samples, kept.samples) == "3 masks more (10, 11, 12)"
    count = pack.count_training_images(
        Data("folder", str(raw), height=16, width=16, label_fraction=1.0, keep_split=str(run))
    )
    assert count == kept.image_counts
    # The whole test set is gone.
    for name in before["test"]:
        (raw / "images" / f"{name}.png").unlink()
        (raw / "masks" / f"{name}.png").unlink()
    with raises_user_error(ErrorCode.TOO_FEW, "test"):
        prepare(raw, tmp_path / "cache", keep_split=str(run))


def test_of_a_share_the_others_stay_unlabeled():
    pool = [pack.Sample(name, name) for name in ("a", "c", "v", "t", "new")]
    parts = sample_record.keep_division({"train_val_test": pool}, BEFORE, 0.5)
    assert {part: [s.name for s in samples] for part, samples in parts.items()} == {
        "labeled": ["a", "new"], "train": ["c"], "val": ["v"], "test": ["t"], "unlabeled": [],
    }  # fmt: skip
    whole = sample_record.keep_division({"train_val_test": pool}, BEFORE, 1.0)
    assert [s.name for s in whole["labeled"]] == ["a", "c", "new"]
    own = {"train": pool[:2], "val": pool[2:3], "test": pool[3:]}
    assert sample_record.keep_division(own, BEFORE, 0.5) == own


@pytest.mark.parametrize(
    ("text", "code"),
    [(None, ErrorCode.UNREADABLE), ("{", ErrorCode.DAMAGED), ('{"a": {"split": "val"}}', ErrorCode.DAMAGED)],
)
def test_no_earlier_run(text, code, tmp_path):
    if text:
        (tmp_path / sample_record.FILE).write_text(text)
    with raises_user_error(code, tmp_path / sample_record.FILE):
        sample_record.read_records(tmp_path)
