"""Which images to mask next: order, variety, files that go back into the folder."""

import csv
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from data.folders import values, write
from handmade import make_run, spec
from user_errors import raises_user_error

import imjax
from imjax.config.schema import Data
from imjax.data import duplicates
from imjax.data.folder import check
from imjax.errors import ErrorCode
from imjax.inference import suggestions
from imjax.inference.image_scores import ImageScores
from imjax.inference.suggestions import Known, Seen, choose_images

SPEC = spec("binary", ("foreground",))
SIZE = (12, 20)


def own_folder(raw, bare=6):
    """Four masks of 0 and 255 with names of their own, and images without one."""
    for i in range(4 + bare):
        name = f"cell{i}" if i < 4 else f"bare{i - 4}"
        write(raw / "images" / f"{name}.png", np.random.default_rng(i).integers(0, 256, (*SIZE, 3), np.uint8))
        if i < 4:
            write(raw / "masks" / f"{name}_mask.tif", values(0, 255, size=SIZE))
    return raw


def settings(raw):
    return Data("folder", str(raw), height=16, width=16, label_fraction=1.0, val_fraction=0.2)


def make(tmp_path, nets=3, **more):
    raw = own_folder(tmp_path / "raw", **more)
    data = dataclasses.asdict(settings(raw)) | {"height": 8, "width": 8}
    return raw, make_run(tmp_path / "run", SPEC, ("train_ldt",), nets=nets, method="ldt", data=data)


def problems(raw, tmp_path):
    return check.check_folder(settings(raw), tmp_path / "sheet.png", lambda samples, _: samples)[1]


@pytest.mark.parametrize("nets", [1, 3])
def test_suggestions_go_back_into_the_folder(nets, tmp_path):
    raw, run = make(tmp_path, nets)
    found = imjax.suggest(run, count=4)
    assert [one.score for one in found] == sorted(one.score for one in found)
    assert all(0 <= one.score <= 1 and one.overlay.is_file() for one in found)
    assert {one.image.stem[:4] for one in found} == {"bare"} and len({one.image for one in found}) == 4
    with (run / "suggestions" / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [one.image.name for one in found]
    # In the folder's own format, and taken as its own.
    assert [one.mask.name for one in found] == [f"{one.image.stem}_mask.tif" for one in found]
    for one in found:
        shutil.move(one.mask, raw / "masks" / one.mask.name)
    assert problems(raw, tmp_path) == []
    # The next round: what has a mask by now is not asked for again.
    again = imjax.suggest(run, count=4)
    assert {one.image for one in again}.isdisjoint(one.image for one in found) and len(again) == 2


def test_new_images(tmp_path):
    _, run = make(tmp_path)
    (path,) = [write(tmp_path / "new" / "x.png", np.full((9, 9, 3), 50, np.uint8))]
    (one,) = imjax.suggest(run, tmp_path / "new", out=tmp_path / "out")
    assert one.image == path and one.mask == tmp_path / "out" / "masks" / "x_mask.tif"


def test_a_mask_that_is_being_corrected_is_kept(tmp_path):
    _, run = make(tmp_path)
    first, *_ = imjax.suggest(run, count=3)
    table = run / "suggestions" / "suggestions.csv"
    os.utime(first.mask, ns=(0, table.stat().st_mtime_ns + 10**9))
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        imjax.suggest(run, count=3)
    assert first.mask.is_file()


def test_what_cannot_be_suggested(tmp_path):
    raw, run = make(tmp_path, bare=1)
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "--count"):
        imjax.suggest(run, count=0)
    drawn = tmp_path / "mine"
    write(drawn / "masks" / "a.png", values(0, 255))
    with raises_user_error(ErrorCode.CONFLICT, "--out"):
        imjax.suggest(run, out=drawn)
    write(raw / "masks" / "bare0_mask.tif", values(0, 255, size=SIZE))
    with raises_user_error(ErrorCode.MISSING, raw / "images"):
        imjax.suggest(run)
    shutil.rmtree(raw)
    with raises_user_error(ErrorCode.MISSING, raw):
        imjax.suggest(run)
    published = make_run(tmp_path / "published", SPEC, ("train_ldt",), method="ldt")
    with raises_user_error(ErrorCode.MISSING, "--images"):
        imjax.suggest(published)


def test_other_classes_than_the_nets_learned(tmp_path):
    raw, run = make(tmp_path)
    (raw / "classes.csv").write_text("name\nbackground\nbubble\n")
    with raises_user_error(ErrorCode.CONFLICT, raw / "masks"):
        imjax.suggest(run)


def seen(name, quality, thumbnail, look=(0.0,)):
    scores = ImageScores(0.5, 0.5, 0.5, 0.5, 0.5)
    return Seen(suggestions.Path(name), scores, quality, thumbnail, np.array(look, np.float32))


def draw_thumbnails(count):
    draw = np.random.default_rng(0)
    return draw.uniform(0, 255, (count, duplicates.SIDE, duplicates.SIDE)).astype(np.float32)


def test_near_copies_are_not_asked_for_twice():
    scene, other, masked = draw_thumbnails(3)
    copies = [seen(f"copy{i}", 0.1 + i / 100, np.rot90(scene, i) + 0.3) for i in range(4)]
    copy_of_masked = seen("of a mask", 0.05, masked[:, ::-1] + 0.2)
    known = Known(masked, np.zeros(1, np.float32), is_trained_on=False)
    chosen = choose_images([*copies, copy_of_masked, seen("other", 0.6, other)], [known], 10)
    assert [one.image.name for one in chosen] == ["copy0", "other"]
    assert choose_images([], [known], 2) == []


@pytest.mark.parametrize(("is_trained_on", "expected"), [(True, "rare"), (False, "common")])
def test_looks_that_nets_learn_from_are_not_asked_for_again(is_trained_on, expected):
    """Three images look alike. One that looks so too covers them only if nets are trained on it."""
    *thumbnails, masked = draw_thumbnails(5)
    looks = (0.0, 0.1, -0.1, 5.0)
    names = ("common", "common1", "common2", "rare")
    candidates = [seen(n, 0.5, t, (x,)) for n, t, x in zip(names, thumbnails, looks, strict=True)]
    known = Known(masked, np.zeros(1, np.float32), is_trained_on)
    assert [one.image.name for one in choose_images(candidates, [known], 1)] == [expected]


def test_val_and_test_images_do_not_cover(tmp_path):
    raw, run = make(tmp_path)
    records = {f"cell{i}": {"split": s} for i, s in enumerate(("labeled", "val", "test", "labeled"))}
    text = {name: {**record, "image": "", "truth": ""} for name, record in records.items()}
    (run / "samples.json").write_text(json.dumps(text))
    found = suggestions.find_candidates(run, imjax.load(run), None)
    assert found.held_out == {raw / "images" / "cell1.png", raw / "images" / "cell2.png"}
    assert len(found.masked) == 4
